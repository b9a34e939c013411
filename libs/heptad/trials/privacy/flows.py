"""Packets put together again into the two byte streams of each connection, and judged on the way.

Nothing is kept but a little of each stream: what may belong to a canary that is cut in two, and the
beginning, where the handshake is. So a capture may be as long as it likes. For each stream that was
seen from its first byte, every byte of it must lie in a TLS record; that is a stronger statement
than that no canary was found, since it does not depend on what was planted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from heptad.runtime.handshake import HANDSHAKE_BYTES_MAX
from heptad.trials.privacy.searching import FOUND_MAX, Found, Searcher

FLOWS_MAX: Final = 20_000
_RECORD_TYPES: Final = frozenset({20, 21, 22, 23})
_RECORD_BYTES_MAX: Final = 16_384 + 256
_SEQUENCE_MASK: Final = 0xFFFFFFFF


class Ends(NamedTuple):
    """One direction of a connection: where its bytes come from and go to."""

    source: tuple[str, int]
    target: tuple[str, int]

    def back(self) -> "Ends":
        """The other direction."""
        return Ends(self.target, self.source)


class Segment(NamedTuple):
    """A TCP segment; `begins` is the SYN flag."""

    ends: Ends
    sequence: int
    begins: bool
    payload: bytes


@dataclass(slots=True)
class Flow:
    """One direction of one connection, as far as it was seen.

    `seen_from_start` says whether its first byte was among what was captured. `stray` counts bytes
    that lie in no TLS record, once a record boundary is known. `gaps` counts missing stretches.
    """

    seen_from_start: bool = False
    packets: int = 0
    bytes_seen: int = 0
    records: int = 0
    stray: int = 0
    gaps: int = 0
    head: bytearray = field(default_factory=bytearray)
    tail: bytes = b""
    found: list[Found] = field(default_factory=list)
    _next_sequence: int = -1
    _record_head: bytearray = field(default_factory=bytearray)
    _record_left: int = 0

    def take(self, segment: Segment) -> bytes:
        """Count a segment in, and return what is new in it: retransmissions are not."""
        self.packets += 1
        if segment.begins:
            self.seen_from_start = True
            self._next_sequence = (segment.sequence + 1) & _SEQUENCE_MASK
            return b""
        payload = segment.payload
        if self._next_sequence >= 0 and payload:
            ahead = (segment.sequence - self._next_sequence) & _SEQUENCE_MASK
            if ahead > _SEQUENCE_MASK // 2:  # it begins with bytes that were here before
                payload = payload[_SEQUENCE_MASK + 1 - ahead :]
            elif ahead:
                self.gaps += 1
        if payload:
            self._next_sequence = segment.sequence + len(segment.payload)
            self.bytes_seen += len(payload)
            if self.seen_from_start:
                self._begin(payload)
                self._walk(payload)
        return payload

    def _begin(self, payload: bytes) -> None:
        room = HANDSHAKE_BYTES_MAX - len(self.head)
        if room > 0:
            self.head += payload[:room]

    def _walk(self, payload: bytes) -> None:
        """Go from record to record; what is no record is stray, and so is all behind it."""
        at = 0
        while at < len(payload):
            if self.stray:
                self.stray += len(payload) - at
                return
            if self._record_left:
                step = min(self._record_left, len(payload) - at)
                self._record_left -= step
                at += step
                continue
            step = min(5 - len(self._record_head), len(payload) - at)
            self._record_head += payload[at : at + step]
            at += step
            if len(self._record_head) == 5:
                self._open_record()

    def _open_record(self) -> None:
        kind, major = self._record_head[0], self._record_head[1]
        length = int.from_bytes(self._record_head[3:5], "big")
        if kind not in _RECORD_TYPES or major != 3 or length > _RECORD_BYTES_MAX:
            self.stray += len(self._record_head)
        self.records += 1
        self._record_left = length
        self._record_head.clear()


class Flows:
    """All connections of a capture; `places` names the listening ports that are watched."""

    def __init__(self, searcher: Searcher, places: Mapping[int, str]) -> None:
        self.seen: list[tuple[Ends, Flow]] = []
        """Every direction of every connection, in the order in which they came up."""
        self.left_out = 0
        """Segments of connections beyond FLOWS_MAX, which were not looked into."""
        self._searcher = searcher
        self._places = places
        self._current: dict[Ends, Flow] = {}

    def take(self, segment: Segment) -> None:
        """One segment of a connection with one of the places; all others are passed over."""
        ends = segment.ends
        if ends.source[1] not in self._places and ends.target[1] not in self._places:
            return
        flow = self._current.get(ends)
        if flow is None or segment.begins:  # ports are used again
            if len(self.seen) >= FLOWS_MAX:
                self.left_out += 1
                return
            flow = self._current[ends] = Flow()
            self.seen.append((ends, flow))
        fresh = flow.take(segment)
        if fresh:
            self._search(ends, flow, fresh)

    def port_of(self, ends: Ends) -> int:
        """The listening port of a flow."""
        return ends.target[1] if ends.target[1] in self._places else ends.source[1]

    def _search(self, ends: Ends, flow: Flow, fresh: bytes) -> None:
        data = flow.tail + fresh
        place = f"{self._places[self.port_of(ends)]}, connection {ends.source[1]}→{ends.target[1]}"
        offset = flow.bytes_seen - len(fresh) - len(flow.tail)
        found = self._searcher.search(data, place=place, offset=offset)
        new = [each for each in found if each not in flow.found]
        flow.found += new[: max(0, FOUND_MAX - len(flow.found))]
        flow.tail = data[-self._searcher.overlap :] if self._searcher.overlap else b""
