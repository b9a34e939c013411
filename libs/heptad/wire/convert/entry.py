"""Entries, from and to `heptad.entry.v1.Entry`."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from google.protobuf.message import DecodeError

from heptad.model.bundles import PublicEvent
from heptad.model.canonical import DIGEST_BYTES, MalformedError
from heptad.model.entry import ENTRY_VERSION, Entry, Kind, Outcome
from heptad.wire.entry.v1 import entry_pb2

_COMMITMENT_HEAD: Final = b"\x42" + bytes((DIGEST_BYTES,))
"""Tag and length of `commitment`: field 8, bytes."""

# Whoever reads a whole log decodes every entry: a dictionary costs a fifth of an enum's call.
_KINDS: Final = {int(kind): kind for kind in Kind}
_OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}

_fields: Final = attrgetter("action", "outcome", "time_ms", "commitment")


def encode_entry(entry: Entry) -> bytes:
    """The entry's bytes, which become the leaf: called once for each record, by its validator."""
    return entry_pb2.Entry(
        version=ENTRY_VERSION,
        kind=int(entry.kind),  # type: ignore[arg-type]  # protobuf's stubs want their own enum
        service=entry.service,
        action=entry.action,
        outcome=int(entry.outcome),  # type: ignore[arg-type]  # protobuf wants its own enum
        time_ms=entry.time_ms,
        validator=entry.validator,
        commitment=entry.commitment,
        statement=entry.statement,
    ).SerializeToString(deterministic=True)


def encode_events(events: Iterable[PublicEvent], *, service: str, validator: int) -> list[bytes]:
    """The entries of a bundle's events, as `encode_entry` would write them.

    What they have in common is serialised once for each action and outcome. A message's bytes are
    its fields' bytes one after the other, and these fields are written in their order.
    """
    # All that stands behind the time: the validator's number, and head and length of a commitment.
    tail = entry_pb2.Entry(validator=validator).SerializeToString() + _COMMITMENT_HEAD
    heads: dict[tuple[str, Outcome], bytes] = {}
    entries: list[bytes] = []
    for action, outcome, time_ms, commitment in map(_fields, events):
        head = heads.get((action, outcome))
        if head is None:
            head = heads[action, outcome] = entry_pb2.Entry(
                version=ENTRY_VERSION,
                kind=int(Kind.EVENT),  # type: ignore[arg-type]  # protobuf wants its own enum
                service=service,
                action=action,
                outcome=int(outcome),  # type: ignore[arg-type]  # protobuf wants its own enum
            ).SerializeToString(deterministic=True)
        time = entry_pb2.Entry(time_ms=time_ms).SerializeToString()
        entries.append(b"".join((head, time, tail, commitment)))
    return entries


def decode_entry(data: bytes) -> Entry:
    """Read a leaf. Whatever is hashed or kept must go on being `data`, not this value's encoding.

    Raises: MalformedError, for what no validator of this version writes.
    """
    try:
        message = entry_pb2.Entry.FromString(data)
    except DecodeError:
        raise MalformedError(f"an entry of {len(data)} bytes is no protobuf message") from None
    if message.version != ENTRY_VERSION:
        raise MalformedError(f"entry version {message.version}, not {ENTRY_VERSION}")
    kind, outcome = _KINDS.get(message.kind), _OUTCOMES.get(message.outcome)
    if kind is None or outcome is None:
        raise MalformedError(
            f"entry of kind {message.kind} and outcome {message.outcome}, not all of it known"
        )
    if len(message.commitment) not in (0, DIGEST_BYTES):
        raise MalformedError(f"a commitment of {len(message.commitment)} bytes, not 32")
    return Entry(
        kind=kind,
        service=message.service,
        action=message.action,
        outcome=outcome,
        time_ms=message.time_ms,
        validator=message.validator,
        commitment=message.commitment,
        statement=message.statement,
    )
