"""What a ledger has to know of each leaf as it files it, on the hot path.

`heptad.wire.convert.entry.decode_entry` refuses what no validator writes and makes a whole value of
the rest, for 2 µs; a ledger keeps every leaf whatever it says, and needs two fields of it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from heptad.model.queries import EntryFilter
from heptad.wire.convert.parsing import parse
from heptad.wire.entry.v1 import entry_pb2 as pb

_parse_entry: Final = pb.Entry.FromString


class EntryFacts(NamedTuple):
    """The kind's number (0 for bytes that are no entry) and the service."""

    kind: int
    service: str


_UNREADABLE: Final = EntryFacts(0, "")


def entry_facts(entries: Iterable[bytes]) -> Sequence[tuple[int, str]]:
    """For each entry its `EntryFacts`, as plain tuples; nothing that an entry says is an error."""
    facts: list[tuple[int, str]] = []
    for entry in entries:
        try:
            message = _parse_entry(entry)
        except DecodeError:
            facts.append(_UNREADABLE)
        else:
            facts.append((message.kind, message.service))
    return facts


def entry_test(wanted: EntryFilter, *, with_service: bool) -> Callable[[bytes], bool]:
    """A function that tells whether an entry's bytes say what the filter wants of their inside.

    Index and time are not looked at, the service only if asked for. Bytes that are no entry say
    nothing that could be wanted.
    """
    kinds = frozenset(map(int, wanted.kinds))
    action, outcome = wanted.action, int(wanted.outcome)
    validator, service = wanted.validator, wanted.service if with_service else ""

    def test(entry: bytes) -> bool:
        try:
            message = _parse_entry(entry)
        except DecodeError:
            return False
        return (
            (not kinds or int(message.kind) in kinds)
            and (not action or message.action == action)
            and (not outcome or message.outcome == outcome)
            and (not validator or message.validator == validator)
            and (not service or message.service == service)
        )

    return test


def encode_duplicate(*, index: int, first_index: int) -> bytes:
    """A DuplicateStatement: entry `index` is a later copy of entry `first_index`."""
    return pb.DuplicateStatement(index=index, first_index=first_index).SerializeToString()


def decode_duplicate(statement: bytes) -> tuple[int, int]:
    """Index and first index of a DuplicateStatement. Raises: Problem `frame_malformed`."""
    message = parse(pb.DuplicateStatement, statement)
    return message.index, message.first_index
