"""Fills the ledger of a home up to some size, and says what that took.

The home is one that `heptad up` could start, but its ledger is ahead of its replicas: start the
ledger and a gateway on it, for reading, and not the whole mesh. Going on with a filled home is
filling it to a larger size.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from heptad.runtime.config import Cell, LedgerConfig, load_cell
from heptad.runtime.config.files import load_node_config
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.group import agreed_cell
from heptad.runtime.ports import PortPlan, free_base
from heptad.wire.streams import BlockFrame
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.parts import Parts, open_parts
from heptad_ledger.synthetic.group import Group
from heptad_ledger.synthetic.records import FillPlan, Record, RecordMaker

START_MS: Final = 1_767_225_600_000
"""The first block's time: 2026-01-01."""

BLOCKS_AT_ONCE: Final = 4
TOLD_EVERY: Final = 500_000


@dataclass(frozen=True, slots=True)
class FillFigures:
    """What it took to add `entries`: making them, and the ledger's own part of it.

    `applying_s` is the time in which the ledger checked and applied frames, `applying_cpu_s` the
    CPU time of it, `log_bytes` the size of the log's file at the end.
    """

    entries: int
    size: int
    seconds: float
    applying_s: float
    applying_cpu_s: float
    log_bytes: int


def new_home(home: Path) -> Cell:
    """A cell on free ports, for a ledger to be filled."""
    ports = PortPlan(free_base(start_hint=time.time_ns() // 1_000_000))
    return create_home(home, GenesisPlan(ports=ports), now=datetime.now(UTC))


def open_home(home: Path, cell: Cell) -> Parts:
    """The ledger of a home without its network. Raises: StoreError."""
    config = load_node_config(LedgerConfig, home=home, name=cell.ledger.id)
    data = home / cell.ledger.id / config.node.data
    data.mkdir(mode=0o700, exist_ok=True)
    agreed = agreed_cell(cell)
    now_ms = time.time_ns() // 1_000_000
    return open_parts(data, cell=agreed, cell_code=cell.code, config=config, now_ms=now_ms)


def fill(
    home: Path, plan: FillPlan, *, tell: Callable[[str], None] = lambda line: None
) -> FillFigures:
    """Let the ledger of a home, made by `new_home`, grow to the plan's size.

    `tell` hears of the progress. Raises: StoreError; StoreFullError if the disk is.
    """
    cell = load_cell(home)
    parts = open_home(home, cell)
    try:
        return Filling(home, cell, parts, plan, tell).grow_to(plan.entries)
    finally:
        parts.close()


class Filling:
    """Fills an open ledger, as far as is asked for each time, with one set of subjects."""

    def __init__(
        self, home: Path, cell: Cell, parts: Parts, plan: FillPlan, tell: Callable[[str], None]
    ) -> None:
        state = parts.store.state
        self._parts = parts
        self._plan = plan
        self._tell = tell
        self._start = self._until = state.size
        self._time_ms = max(state.time_ms, START_MS)
        self._group = Group(home, cell, state)
        self._maker = RecordMaker(
            plan,
            vault=parts.vault,
            origin=cell.origin,
            cell_code=cell.code,
            start=state.size,
        )
        self._published = state.size
        self._applying_s = self._applying_cpu_s = 0.0

    def grow_to(self, entries: int) -> FillFigures:
        """Make and apply blocks until the log has that size; the figures are of this growth.

        Raises: StoreError.
        """
        self._start, self._until = self._group.edge.size, entries
        self._applying_s = self._applying_cpu_s = 0.0
        started_s, told = time.monotonic(), self._start
        frames: list[BlockFrame] = []
        for frame in self._frames():
            frames.append(frame)
            size = self._group.edge.size
            is_due = size - self._published >= self._plan.checkpoint_entries
            if is_due or len(frames) == BLOCKS_AT_ONCE or size == entries:
                self._apply(frames)
                frames = []
            if is_due or size == entries:
                self._publish()
            if size - told >= TOLD_EVERY:
                told = size
                rate = (size - self._start) / (time.monotonic() - started_s)
                self._tell(f"{size:,} entries, {rate:,.0f} a second")
        return FillFigures(
            entries=self._group.edge.size - self._start,
            size=self._group.edge.size,
            seconds=time.monotonic() - started_s,
            applying_s=self._applying_s,
            applying_cpu_s=self._applying_cpu_s,
            log_bytes=self._parts.store.used_bytes(),
        )

    def _frames(self) -> Iterator[BlockFrame]:
        left = max(0, self._until - self._start)
        while left:
            self._time_ms += self._plan.block_ms
            block_records = min(left, self._plan.batch_records * self._plan.block_batches)
            records = iter(self._records(block_records))
            batches = []
            while chunk := list(islice(records, self._plan.batch_records)):
                batches.append(self._group.batch(chunk, time_ms=self._time_ms))
            yield self._group.commit(batches, time_ms=self._time_ms)
            left -= block_records

    def _records(self, count: int) -> list[Record]:
        registering = min(count, self._plan.subjects - self._maker.registered)
        time_ms = self._time_ms
        records = list(self._maker.registrations(time_ms=time_ms, count=registering))
        return records + self._maker.requests(time_ms=time_ms, count=count - registering)

    def _apply(self, frames: list[BlockFrame]) -> None:
        started_s, started_cpu_s = time.monotonic(), time.thread_time()
        ingested = self._parts.ingest.take(frames)
        self._applying_s += time.monotonic() - started_s
        self._applying_cpu_s += time.thread_time() - started_cpu_s
        trouble = ingested.fault or ingested.refusal
        if trouble is not None:
            raise trouble
        state = self._parts.store.state
        if state.unfiled:
            raise StoreDamagedError(f"{state.unfiled} of our own records could not be filed")

    def _publish(self) -> None:
        note = self._group.note(time_s=self._time_ms // 1000)
        self._parts.store.publish(self._group.edge.size, note)
        self._published = self._group.edge.size
