"""Bundles as the log holds them: their own entry, which says how many events stand behind it.

A validator may have written anything, so all of it is read with care. What is not as a bundle must
be has no events here, and so no receipts of them.
"""

from collections.abc import Sequence

from heptad.crypto.bundles import SignedBundle, membership_path, parse_statement
from heptad.crypto.sealing import COMMITMENT_BYTES
from heptad.model.bundles import leaves_of_entries
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.store import Snapshot


def stated_bundle(entry: bytes) -> SignedBundle | None:
    """The statement of a bundle's entry, not verified; None if there is none that can be read."""
    try:
        known = decode_entry(entry)
        return parse_statement(known.statement) if known.kind is Kind.BUNDLE else None
    except (MalformedError, Problem):
        return None


def bundle_at(snapshot: Snapshot, index: int) -> list[bytes]:
    """The bundle's entry at `index` and those of its events; empty if there is no such bundle."""
    first = snapshot.entry(index)
    statement = stated_bundle(first)
    if statement is None or index + 1 + statement.count > snapshot.state().size:
        return []
    entries = [first, *snapshot.entries(index + 1, statement.count)]
    return entries if len(events_of(entries)) == statement.count else []


def path_in_bundle(entries: Sequence[bytes], event: int) -> tuple[bytes, ...]:
    """What proves event number `event` (from 0) to be in the signed tree; `entries` of `bundle_at`.

    It leads to the signed root if the validator was honest: whoever checks it sees.
    """
    events = events_of(entries)
    leaves = leaves_of_entries(events, service=events[event].service)
    return membership_path(leaves, event)


def events_of(entries: Sequence[bytes]) -> list[Entry]:
    """The events among the entries behind a bundle's own."""
    events: list[Entry] = []
    for data in entries[1:]:
        try:
            entry = decode_entry(data)
        except MalformedError:
            continue
        if entry.kind is Kind.EVENT and len(entry.commitment) == COMMITMENT_BYTES:
            events.append(entry)
    return events
