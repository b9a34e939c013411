"""Service bundles: what one signature of a service covers, byte by byte.

A service signs the RFC 6962 root over its events' leaves. A leaf holds exactly what the event's
entry will say in public, in one canonical spelling, and the commitment to the private half; so
anybody who reads the log makes the leaves again from the entries and needs nothing else. The
validator's own number stands in the entry and not in the leaf: the service does not know it when it
signs (docs/spec/bundles.md has the layouts and vectors).

The private half begins with the subject's id. So the signature binds, through the commitment, whom
an event is about, and a validator or ledger that files it under somebody else is found out by
whoever opens it; in public nothing of that is seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from heptad.model.entry import Entry, Kind, Outcome

EVENTS_MAX: Final = 999
"""Events of a bundle: with the bundle's own entry they fill one batch."""

STATEMENT_BYTES_MAX: Final = 2_048
"""The whole compact JWS of a bundle."""

PAYLOAD_BYTES_MAX: Final = 16 * 1024
"""The payload of one event."""

BUNDLE_BYTES_MAX: Final = (1 << 20) - 4_096
"""All events of a bundle by `event_bytes`: the batch that holds them has 1 MiB."""

EVENT_OVERHEAD_BYTES: Final = 320
"""What an event takes in a batch besides its own texts, the service's name included: a bound, so
that callers can count."""

WITNESS_BYTES: Final = 32

_DOMAIN: Final = b"heptad/v1/event\0"
_TIME: Final = Struct(">Q")


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """What everybody sees of an event, for ever.

    `time_ms` is when it happened, by the service's clock, Unix ms. `commitment` (32 bytes) binds
    the private half.
    """

    action: str
    outcome: Outcome
    time_ms: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class PrivateEvent:
    """An event with its private half, on its way from the service to the validator.

    `witness` has 32 random bytes that serve no other event; `payload` is the service's own, at most
    16 KiB, any bytes.
    """

    subject: str
    action: str
    outcome: Outcome
    time_ms: int
    witness: bytes = field(repr=False)
    payload: bytes = field(repr=False)


def private_half(*, subject: str, payload: bytes) -> bytes:
    """What an event's commitment commits to, and what is sealed: the subject, a line feed, the
    payload. A subject's id holds no line feed."""
    return b"%b\n%b" % (subject.encode(), payload)


def split_private_half(half: bytes) -> tuple[str, bytes]:
    """Subject and payload of a private half. Raises: ValueError if it names no subject."""
    subject, found, payload = half.partition(b"\n")
    if not found or not subject.isascii():
        raise ValueError("no subject's id and line feed in front")
    return subject.decode("ascii"), payload


def event_bytes(event: PrivateEvent) -> int:
    """How much of `BUNDLE_BYTES_MAX` an event takes."""
    return EVENT_OVERHEAD_BYTES + len(event.action) + len(event.subject) + len(event.payload)


def event_leaves(events: Iterable[PublicEvent], *, service: str) -> list[bytes]:
    """The leaves of the tree whose root the service signs: to be hashed as RFC 6962 says.

    "heptad/v1/event\\0" ‖ u16 len ‖ service ‖ u16 len ‖ action ‖ u8 outcome ‖ u64 time_ms
    ‖ commitment[32]; integers big-endian. `action` has at most 65,535 bytes.
    """
    # Few actions, many events: what comes before the time is made once for each kind of event.
    heads: dict[tuple[str, Outcome], bytes] = {}
    leaves: list[bytes] = []
    pack = _TIME.pack
    for event in events:
        kind = (event.action, event.outcome)
        head = heads.get(kind)
        if head is None:
            head = heads[kind] = _head(service, event.action, event.outcome)
        leaves.append(head + pack(event.time_ms) + event.commitment)
    return leaves


def event_of_entry(entry: Entry) -> PublicEvent:
    """The public event that an entry of the log records."""
    assert entry.kind is Kind.EVENT, entry.kind
    return PublicEvent(entry.action, entry.outcome, entry.time_ms, entry.commitment)


def leaves_of_entries(entries: Sequence[Entry], *, service: str) -> list[bytes]:
    """The same leaves, made again from the public entries of a bundle's events."""
    return event_leaves(map(event_of_entry, entries), service=service)


def _head(service: str, action: str, outcome: Outcome) -> bytes:
    return b"".join((_DOMAIN, _text(service), _text(action), bytes((outcome,))))


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
