"""Entries, from and to `heptad.entry.v1.Entry`."""

from google.protobuf.message import DecodeError

from heptad.model.canonical import DIGEST_BYTES, MalformedError
from heptad.model.entry import ENTRY_VERSION, Entry, Kind, Outcome
from heptad.wire.entry.v1 import entry_pb2


def encode_entry(entry: Entry) -> bytes:
    """The entry's bytes, which become the leaf: called once for each record, by its validator."""
    return entry_pb2.Entry(
        version=ENTRY_VERSION,
        kind=int(entry.kind),  # type: ignore[arg-type]  # protobuf's stubs want their own enum
        service=entry.service,
        action=entry.action,
        outcome=int(entry.outcome),  # type: ignore[arg-type]
        time_ms=entry.time_ms,
        validator=entry.validator,
        commitment=entry.commitment,
        statement=entry.statement,
    ).SerializeToString(deterministic=True)


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
    try:
        kind, outcome = Kind(message.kind), Outcome(message.outcome)
    except ValueError:
        raise MalformedError(
            f"entry of kind {message.kind} and outcome {message.outcome}, not all of it known"
        ) from None
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
