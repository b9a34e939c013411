"""Records gather here until a batch is worth sending.

A batch costs the replicas the same whether it holds one record or a thousand, so under load it pays
to wait; but a lone request on an idle cell must not. Hence four reasons to close one: it is full by
count, full by bytes, old, or nothing is in flight and waiting would help nobody.

How old is old depends on how much is in flight: with many batches outstanding the next block is
some way off, and a larger batch later is committed no later than two small ones. (Measured on a
busy machine: 25 ms instead of 10 under load costs the whole mesh a fifth less CPU per record.)

Under back-pressure (too many batches outstanding) nobody takes a batch. Then full ones queue up
here, and how many records there are is bounded by whoever admits them (`records_waiting`).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

from heptad_validator.tickets import Ticket

_FRAMING_BYTES = 6
"""Two bytes of length before each entry and four for each sealed record."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch closes. `bytes_max` is hard, `bytes_target` is where it pays to stop.

    `age_s_max` holds while little is outstanding; it grows by half for each outstanding batch, up
    to `age_loaded_s_max`.
    """

    records_max: int
    bytes_target: int
    bytes_max: int
    age_s_max: float
    age_loaded_s_max: float

    @property
    def body_bytes_target(self) -> int:
        """Bytes of records after which a batch is full; a few hundred are left for the frame."""
        return min(self.bytes_target, self.bytes_max - 1_024)


@dataclass(slots=True)
class Gathered:
    """Records in their order (entry, sealed half), and their tickets.

    An event of a bundle has none: its bundle's speaks for it.
    """

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    tickets: list[Ticket | None] = field(default_factory=list)
    byte_count: int = 0
    opened_at_s: float = 0.0
    traces: list[bytes] = field(default_factory=list)
    """The contexts of those that are traced (`heptad_validator.tracing`)."""


class Batcher:
    """Gathers records into batches, in the order in which they were added."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._full: deque[Gathered] = deque()
        self._open = Gathered()
        self.records_waiting = 0
        """Records that are in no batch that was taken."""

    def add(
        self, record: tuple[bytes, bytes], ticket: Ticket, now_s: float, trace: bytes = b""
    ) -> None:
        """Put a record behind the others; `now_s` is of a monotonic clock."""
        size = len(record[0]) + len(record[1]) + _FRAMING_BYTES
        limits, gathered = self._limits, self._open
        if gathered.records and gathered.byte_count + size > limits.body_bytes_target:
            gathered = self._turn()
        if not gathered.records:
            gathered.opened_at_s = now_s
        gathered.records.append(record)
        gathered.tickets.append(ticket)
        if trace:
            gathered.traces.append(trace)
        gathered.byte_count += size
        self.records_waiting += 1
        if len(gathered.records) >= limits.records_max:
            self._turn()

    def add_whole(
        self,
        records: Sequence[tuple[bytes, bytes]],
        ticket: Ticket,
        now_s: float,
        trace: bytes = b"",
    ) -> None:
        """Put records behind the others that must stay together: all in one batch, in this order.

        The ticket is the first one's. There are at most `records_max` of them, and they fit the
        hard limit of bytes: whoever admits them has seen to that. They may be over the target; then
        they have a batch of their own.
        """
        size = sum(len(entry) + len(sealed) + _FRAMING_BYTES for entry, sealed in records)
        limits, gathered = self._limits, self._open
        assert len(records) <= limits.records_max, len(records)
        if gathered.records and (
            len(gathered.records) + len(records) > limits.records_max
            or gathered.byte_count + size > limits.body_bytes_target
        ):
            gathered = self._turn()
        if not gathered.records:
            gathered.opened_at_s = now_s
        gathered.records += records
        gathered.tickets += (ticket, *repeat(None, len(records) - 1))
        if trace:
            gathered.traces.append(trace)
        gathered.byte_count += size
        self.records_waiting += len(records)
        if (
            len(gathered.records) >= limits.records_max
            or gathered.byte_count >= limits.body_bytes_target
        ):
            self._turn()

    def take(self, now_s: float, *, outstanding: int) -> Gathered | None:
        """The next batch to send, if one is due with so many batches outstanding."""
        if self._full:
            taken = self._full.popleft()
        elif self._open.records and now_s >= self.due_at_s(outstanding):
            taken, self._open = self._open, Gathered()
        else:
            return None
        self.records_waiting -= len(taken.records)
        return taken

    def due_at_s(self, outstanding: int) -> float:
        """When the open batch is old enough to go; means something while records wait."""
        if not outstanding:
            return self._open.opened_at_s
        limits = self._limits
        age_s = min(limits.age_s_max * (1 + outstanding / 2), limits.age_loaded_s_max)
        return self._open.opened_at_s + age_s

    def _turn(self) -> Gathered:
        self._full.append(self._open)
        self._open = Gathered()
        return self._open
