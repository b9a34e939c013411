"""What a ledger has to know of each leaf as it files it, on the hot path.

`heptad.wire.convert.entry.decode_entry` refuses what no validator writes and makes a whole value of
the rest, for 2 µs; a ledger keeps every leaf whatever it says, and needs two fields of it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from heptad.model.canonical import DIGEST_BYTES
from heptad.model.problems import Problem
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


def encode_policy_change(*, cell_sha256: bytes, previous_sha256: bytes) -> bytes:
    """A PolicyChangeStatement: the file of the first digest has followed that of the second."""
    return pb.PolicyChangeStatement(
        cell_sha256=cell_sha256, previous_sha256=previous_sha256
    ).SerializeToString()


def decode_policy_change(statement: bytes) -> tuple[bytes, bytes]:
    """Both digests of a PolicyChangeStatement, 32 bytes each and not the same.

    Raises: Problem `frame_malformed`, `parameter_invalid`.
    """
    message = parse(pb.PolicyChangeStatement, statement)
    digests = message.cell_sha256, message.previous_sha256
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        detail = f"digests of {len(digests[0])} and {len(digests[1])} bytes, 32 are wanted"
        raise Problem("parameter_invalid", detail, field="statement")
    if digests[0] == digests[1]:
        raise Problem("parameter_invalid", "a change to the same file", field="statement")
    return digests
