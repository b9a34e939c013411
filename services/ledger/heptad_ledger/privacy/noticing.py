"""Which entries of a batch concern erasures: they are queued with their wave.

They are looked at after it: what such an entry means is found out by opening its record, and what
is needed for that (the subject's keys, the record itself) may come with the very same wave. The
queue is in the transaction of the wave, so nothing is forgotten by a crash in between.

What is queued of a record is its routing header as it came: it says nothing once its routing key is
destroyed, and no longer than the replicas' copies do.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from heptad.crypto.filing import routing_box
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.own_actions import ERASE, OWN_SERVICE
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry

ORDERED_ACT: Final = "erasure.ordered"
REFUSED_ACT: Final = "erasure.refused"

DECISIONS: Final = frozenset({ORDERED_ACT, REFUSED_ACT})
"""What officers decide about erasures, by the action of its record of access. (Holds are read out
of the subject's records when they are needed: `heptad_ledger.privacy.holds`.)"""

STATED: Final = frozenset(map(int, (Kind.ERASURE_ORDERED, Kind.ERASED, Kind.ERASURE_REFUSED)))


def noticed(
    *,
    first_index: int,
    entries: Sequence[bytes],
    facts: Sequence[tuple[int, str]],
    records: Sequence[bytes],
) -> Iterator[tuple[int, bytes]]:
    """Index and routing header (nothing for public statements) of what is to be looked at.

    `facts` are those of `heptad.wire.convert.entry_facts.entry_facts`.
    """
    for offset, (kind, service) in enumerate(facts):
        if kind in STATED:
            yield first_index + offset, b""
        elif service == OWN_SERVICE and records[offset]:
            entry = readable(entries[offset])
            if entry is not None and _concerns(entry):
                yield first_index + offset, routing_box(records[offset])


def readable(entry: bytes) -> Entry | None:
    """The entry, if it can be read: an evil validator may have written anything."""
    try:
        return decode_entry(entry)
    except (MalformedError, Problem):
        return None


def _concerns(entry: Entry) -> bool:
    if entry.kind is Kind.ACCESS:
        return entry.action in DECISIONS
    is_asked = entry.kind is Kind.REQUEST and entry.action == ERASE
    return is_asked and entry.outcome is Outcome.ALLOWED
