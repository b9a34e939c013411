"""Growth: what a replica takes of memory and disk while the log grows by millions of entries.

Seven replicas, no validator and no ledger: we are validator-1, with batches that are made as they
are sent, and ledger-1, which follows the headers of one replica and acknowledges to all, for only
what is acknowledged may be pruned. What should come out is a flat line: neither memory nor disk may
grow with the log once the retention is full, but for some bytes a block that lead from one size of
the log to another.

The retention is small (a real one would take tens of millions of entries to fill), so that most of
the run is spent beyond it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import grpc

from heptad.consensus.codec import decode_block
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import ValidatorNumber
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX, open_channel
from heptad.runtime.config import Cell
from heptad.runtime.config.files import NODE_FILE, load_node_config, write_config
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.process_usage import anonymous_bytes_of, usage_of
from heptad.runtime.streams import ClientFrameStream, open_frame_stream
from heptad.runtime.tls import load_member_tls
from heptad.trials.consensus_target import RECORDS, VALIDATOR, ConsensusTarget
from heptad.trials.disk_usage import disk_bytes
from heptad.trials.errors import TrialFault
from heptad.trials.figures import GrowthFigures, GrowthSample
from heptad.trials.load import Answer
from heptad.wire.streams import (
    AppliedFrame,
    BatchFrame,
    BlockFrame,
    FollowFrame,
    decode_to_ledger,
    encode_from_ledger,
)
from heptad.wire.streams import (
    encode_batch as encode_batch_frame,
)

LEDGER: Final = "ledger-1"
IN_FLIGHT: Final = 32
ACKNOWLEDGE_S: Final = 0.2
SAMPLES: Final = 10
STALL_S_MAX: Final = 60.0
_FOLLOW: Final = "/heptad.replica.v1.ReplicaService/Follow"


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """How far to go: `entries` of `entry_bytes`, with this much kept by each replica."""

    entries: int = 10_000_000
    entry_bytes: int = 64
    retention_bytes: int = 64 << 20

    def quick(self) -> "GrowthPlan":
        """The same with a hundredth of the entries: to see that it works."""
        return replace(self, entries=self.entries // 100, retention_bytes=1 << 20)


def prepare(home: Path, cell: Cell, plan: GrowthPlan) -> None:
    """Give each replica of a new home the plan's retention."""
    for replica in cell.replicas:
        config = load_node_config(ReplicaConfig, home=home, name=replica.id)
        small = replace(config, retention_bytes_max=plan.retention_bytes)
        write_config(small, home / replica.id / NODE_FILE, head=replica.id)


async def measure(
    home: Path,
    cell: Cell,
    pids: Mapping[str, int],
    plan: GrowthPlan,
    tell: Callable[[str], None],
) -> GrowthFigures:
    """Let the log grow, and look now and then.

    Raises: TrialFault if nothing commits any more, or nothing could be pruned any more.
    """
    target = ConsensusTarget(cell)
    await target.open(home, cell)
    ledger = _Acknowledging(home, cell)
    await ledger.open()
    growth = _Growth(home, pids, plan, tell)
    growing = asyncio.create_task(growth.run(target, _Batches(home, cell, plan.entry_bytes)))
    try:
        await asyncio.wait({growing, ledger.ends()}, return_when=asyncio.FIRST_COMPLETED)
        if not growing.done():
            raise TrialFault("the stand-in for the ledger has lost a replica: none prunes any more")
        await growing
    finally:
        growing.cancel()
        await ledger.close()
        await target.close()
    return GrowthFigures(
        plan.entries, plan.entry_bytes, plan.retention_bytes, tuple(growth.samples)
    )


class _Batches:
    """Signed batches of 1,000 entries of random bytes, numbered on; the same bytes each time.

    Nothing in consensus or in the store looks for equal entries, and making new ones would cost
    more than all else that this process does.
    """

    def __init__(self, home: Path, cell: Cell, entry_bytes: int) -> None:
        self._origin = cell.origin
        self._key = load_service_key(home / VALIDATOR / "keys" / KeyRole.BATCH.file_name)
        self._records = [(os.urandom(entry_bytes), b"") for _ in range(RECORDS)]
        self._incarnation = time.time_ns() // 1_000_000
        self._sequence = 0

    def next(self) -> bytes:
        """The next one's frame."""
        batch = unsigned_batch(
            validator=ValidatorNumber(1),
            incarnation=self._incarnation,
            sequence=self._sequence,
            created_ms=self._incarnation,
            records=self._records,
        )
        self._sequence += 1
        message = batch_signing_bytes(origin=self._origin, digest=batch.digest)
        return encode_batch_frame(BatchFrame(encode_batch(signed(batch, self._key.sign(message)))))


class _Growth:
    """Keeps some batches in flight until enough are committed."""

    def __init__(
        self, home: Path, pids: Mapping[str, int], plan: GrowthPlan, tell: Callable[[str], None]
    ) -> None:
        self.samples: list[GrowthSample] = []
        self._home = home
        self._pids = pids
        self._plan = plan
        self._tell = tell
        self._committed = 0
        self._looked_at = 0
        self._cpu_s = {name: _cpu_s(pid) for name, pid in pids.items()}
        self._refused = ""
        self._news = asyncio.Event()

    async def run(self, target: ConsensusTarget, batches: _Batches) -> None:
        """Raises: TrialFault."""
        started_s, sent = time.monotonic(), 0
        while self._committed < self._plan.entries:
            while sent < self._plan.entries and sent - self._committed < IN_FLIGHT * RECORDS:
                target.send(batches.next(), self._done)
                sent += RECORDS
            await self._wait()
            due = (len(self.samples) + 1) * self._plan.entries // SAMPLES
            if self._committed >= due:
                self.samples.append(self._look(time.monotonic() - started_s))

    def _done(self, answer: Answer) -> None:
        self._committed += answer.accepted
        self._refused = next(iter(answer.refusals), self._refused)
        self._news.set()

    async def _wait(self) -> None:
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), STALL_S_MAX)
        except TimeoutError:
            raise TrialFault(f"nothing was committed for {STALL_S_MAX:g} s") from None
        if self._refused:
            raise TrialFault(f"a batch was refused: {self._refused}")

    def _look(self, seconds: float) -> GrowthSample:
        cpu_s = {name: _cpu_s(pid) for name, pid in self._pids.items()}
        cpu_s_max = max(cpu_s[name] - self._cpu_s[name] for name in cpu_s)
        usages = [usage for pid in self._pids.values() if (usage := usage_of(pid)) is not None]
        sample = GrowthSample(
            entries=self._committed,
            seconds=seconds,
            rss_bytes=max(usage.rss_bytes for usage in usages),
            anonymous_bytes=max(anonymous_bytes_of(pid) for pid in self._pids.values()),
            disk_bytes=max(disk_bytes(self._home / name) for name in self._pids),
            cpu_us_per_entry=cpu_s_max * 1e6 / (self._committed - self._looked_at),
        )
        self._cpu_s, self._looked_at = cpu_s, self._committed
        self._tell(f"growth: {sample.entries:,} entries, {sample.entries / seconds:,.0f} a second")
        return sample


def _cpu_s(pid: int) -> float:
    usage = usage_of(pid)
    return 0.0 if usage is None else usage.cpu_s


class _Acknowledging:
    """As much of a ledger as pruning needs: follows one replica's headers, and tells all."""

    def __init__(self, home: Path, cell: Cell) -> None:
        self._home = home
        self._cell = cell
        self._channels: list[grpc.aio.Channel] = []
        self._streams: list[ClientFrameStream] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._last = AppliedFrame(0, 0)

    async def open(self) -> None:
        """Connect to every replica."""
        tls = load_member_tls(home=self._home, name=LEDGER)
        for replica in self._cell.replicas:
            channel = open_channel(
                address=replica.address,
                peer_id=replica.id,
                origin=self._cell.origin,
                tls=tls,
                message_bytes_max=PEER_MESSAGE_BYTES_MAX,
            )
            self._channels.append(channel)
            self._streams.append(open_frame_stream(channel, _FOLLOW))
        await self._streams[0].write(encode_from_ledger(FollowFrame(1, want_batches=False)))
        reads = [asyncio.create_task(self._read(stream)) for stream in self._streams]
        self._tasks = [*reads, asyncio.create_task(self._acknowledge())]

    def ends(self) -> "asyncio.Task[None]":
        """Done once a replica is no longer told how far this is."""
        return self._tasks[-1]

    async def close(self) -> None:
        """Drop all streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()

    async def _read(self, stream: ClientFrameStream) -> None:
        while (body := await stream.read()) is not None:
            frame = decode_to_ledger(body)
            if isinstance(frame, BlockFrame):
                self._last = AppliedFrame(frame.height, decode_block(frame.block).head.size)

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(ACKNOWLEDGE_S)
            body = encode_from_ledger(self._last)
            for stream in self._streams:
                await stream.write(body)
