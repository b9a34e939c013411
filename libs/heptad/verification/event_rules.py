"""Did a service sign the events that the log holds? What a range of entries shows of it.

The log takes whatever validators batch: replicas do not look into entries. So a validator can write
events that no service has signed, or a bundle's entry over other events than those that were; all
of it is there for everybody to see, and an auditor is who looks. Two things are shown by nothing
but entries that stand next to each other in the log:

- A bundle's entry, and behind it other entries than those that its service has signed.
- An event with no bundle's entry in front that reaches as far. A bundle has at most 999 events, so
  with the 999 entries in front of it everything is there that could.
"""

from collections.abc import Sequence

from heptad.crypto.bundles import SignedBundle, parse_statement
from heptad.model.bundles import EVENTS_MAX
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.model.problems import Problem
from heptad.verification.bundles import Keys, examine_entries
from heptad.wire.convert.entry import decode_entry


def statement_of(entry: Entry) -> SignedBundle | None:
    """What a bundle's entry states, not verified; None for any other entry."""
    try:
        return parse_statement(entry.statement) if entry.kind is Kind.BUNDLE else None
    except Problem:
        return None


def unsigned_fault(
    entries: Sequence[bytes], *, first_index: int, log_size: int, keys: Keys | None
) -> str:
    """What was not signed in this stretch of a log; empty if it shows nothing of the kind.

    The stretch begins at `first_index`. Without `keys` no signature is judged. Entries of a bundle
    never come under two checkpoints, so a bundle that has not ended with the log has been cut off.
    """
    head = _decoded(entries[0])
    statement = None if head is None else statement_of(head)
    fault = ""
    if statement is not None:
        is_at_end = first_index + len(entries) == log_size
        fault = bundle_fault(entries, statement, is_at_end=is_at_end, keys=keys)
    return fault or _orphan_fault(entries, first_index)


def bundle_fault(
    entries: Sequence[bytes], statement: SignedBundle, *, is_at_end: bool, keys: Keys | None
) -> str:
    """What is wrong with a bundle's entry and those behind it; see `unsigned_fault`."""
    events = entries[1:]
    is_cut = len(events) < statement.count and not is_at_end
    if len(events) > statement.count or (is_cut and (not events or is_event(events[-1]))):
        return ""  # More than the bundle, or less than would be there to see.
    for finding in examine_entries(entries[0], events, keys=keys).findings:
        if not finding.holds:
            return f"{finding.subject}: {finding.detail}"
    return ""


def is_event(data: bytes) -> bool:
    """Whether these bytes are an entry of kind EVENT."""
    entry = _decoded(data)
    return entry is not None and entry.kind is Kind.EVENT


def _orphan_fault(entries: Sequence[bytes], first_index: int) -> str:
    last = len(entries) - 1
    if not is_event(entries[last]) or (first_index and last < EVENTS_MAX):
        return ""
    for place, data in enumerate(entries[:last]):
        entry = _decoded(data)
        statement = None if entry is None else statement_of(entry)
        if statement is not None and place + statement.count >= last:
            return ""
    return "an EVENT that no BUNDLE in front of it reaches"


def _decoded(data: bytes) -> Entry | None:
    try:
        return decode_entry(data)
    except MalformedError:
        return None
