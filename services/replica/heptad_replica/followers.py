"""The door for ledgers: committed blocks from any height on, then live, and cosignatures.

A follower reads from the store, never from a queue of its own: one that is behind costs a read and
no memory, and one that has caught up waits for the next commit. So nothing is held for a slow
ledger, and a reconnecting one simply says from where.

Blocks that were pruned, or that this replica has jumped over, are refused to a ledger that wants
their batches, which then asks another replica. One that only wants to see how far this replica is
goes on with the next block that is here.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from heptad.consensus.codec import decode_block
from heptad.consensus.objects import CommittedBlock, Cosignature
from heptad.model.ids import Height
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity
from heptad.runtime.pacing import Pace, Pacer
from heptad.runtime.streams import FrameStream
from heptad.wire.streams import (
    AppliedFrame,
    BlockFrame,
    CosignatureFrame,
    EvidenceFrame,
    FollowFrame,
    FrameMalformedError,
    TracesFrame,
    decode_from_ledger,
    encode_to_ledger,
)
from heptad_replica.duplex import first_of
from heptad_replica.storage import LmdbStore, StoredBlock
from heptad_replica.tracing import BatchTraces

COSIGNATURES_QUEUED_MAX: Final = 256

EVIDENCE_PER_STREAM_MAX: Final = 64
"""Proofs that one stream may hand on; there are no more members whose heads can be proved."""

PACE: Final = Pace(messages_per_s=200, bytes_per_s=4 << 20, burst_s=2.0)
"""What one ledger says, on all of its streams: an honest one acknowledges a few times a second, and
each acknowledgement has the store looked through for what may go."""


@dataclass(slots=True, eq=False)
class _Follower:
    """One ledger's stream. `next_height` is what it is sent next; 0 until it has asked."""

    next_height: int = 0
    want_batches: bool = False
    cosignatures: list[Cosignature] = field(default_factory=list)
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    evidence_count: int = 0


def _take_none(_evidence: bytes) -> None:
    """For a door whose replica takes no evidence from ledgers."""


class FollowerDoor:
    """Serves `Follow`, and wakes the followers when there is something new."""

    def __init__(
        self,
        *,
        store: LmdbStore,
        applied: Callable[[AppliedFrame], None],
        accused: Callable[[bytes], object] = _take_none,
        traces: BatchTraces | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`applied` and `accused` are told what a ledger reports, and hands on."""
        self._store = store
        self._applied = applied
        self._accused = accused
        self._traces = traces
        self._clock_s = clock_s
        self._pacers: dict[str, Pacer] = {}
        self._followers: set[_Follower] = set()
        self._last_cosignature: Cosignature | None = None

    @property
    def connected(self) -> int:
        """Ledgers that follow."""
        return len(self._followers)

    async def serve(self, stream: FrameStream, caller: Identity) -> None:
        """One stream, until the ledger ends it. Raises: Problem `frame_malformed`."""
        follower = _Follower()
        if self._last_cosignature is not None:
            follower.cosignatures.append(self._last_cosignature)
        self._followers.add(follower)
        try:
            pacer = self._pacers.setdefault(caller.id, Pacer(PACE, self._clock_s()))
            await first_of(self._read(stream, follower, pacer), self._feed(stream, follower))
        finally:
            self._followers.discard(follower)

    def committed(self, _commits: Sequence[CommittedBlock]) -> None:
        """New blocks are in the store."""
        for follower in self._followers:
            follower.wakeup.set()

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """New cosignatures, ascending by size. A slow follower loses the oldest of them."""
        self._last_cosignature = cosignatures[-1]
        for follower in self._followers:
            follower.cosignatures += cosignatures
            del follower.cosignatures[:-COSIGNATURES_QUEUED_MAX]
            follower.wakeup.set()

    async def _read(self, stream: FrameStream, follower: _Follower, pacer: Pacer) -> None:
        while (body := await stream.read()) is not None:
            self._take(follower, body)
            wait_s = pacer.wait_s(len(body), self._clock_s())
            if wait_s:
                await asyncio.sleep(wait_s)

    def _take(self, follower: _Follower, body: bytes) -> None:
        try:
            frame = decode_from_ledger(body)
        except FrameMalformedError as error:
            raise Problem("frame_malformed", str(error)) from error
        match frame:
            case FollowFrame(height, want_batches):
                follower.next_height, follower.want_batches = max(1, height), want_batches
                follower.wakeup.set()
            case AppliedFrame():
                self._applied(frame)
            case EvidenceFrame(evidence):
                follower.evidence_count += 1
                if follower.evidence_count <= EVIDENCE_PER_STREAM_MAX:
                    self._accused(evidence)

    async def _feed(self, stream: FrameStream, follower: _Follower) -> None:
        try:
            while True:
                follower.wakeup.clear()
                cosignatures, follower.cosignatures = follower.cosignatures, []
                sent = await self._send_blocks(stream, follower)
                for cosignature in cosignatures:
                    await stream.write(encode_to_ledger(_cosignature_frame(cosignature)))
                if not sent and not cosignatures:
                    await follower.wakeup.wait()
        except grpc.aio.UsageError:
            return  # the stream has ended; its reader ends the rest

    async def _send_blocks(self, stream: FrameStream, follower: _Follower) -> bool:
        """Send what is committed from the follower's next height on; True if there was any."""
        sent = False
        while follower.next_height:
            height = follower.next_height
            stored = self._next_block(follower)
            if stored is None:
                break
            frame = self._frame(stored, want_batches=follower.want_batches)
            if follower.want_batches and self._traces is not None:
                traces = self._traces.of_height(stored.height)
                if traces:
                    await stream.write(encode_to_ledger(TracesFrame(stored.height, traces)))
            await stream.write(encode_to_ledger(frame))
            sent = True
            if follower.next_height == height:  # else it has asked anew meanwhile
                follower.next_height = stored.height + 1
        return sent

    def _next_block(self, follower: _Follower) -> StoredBlock | None:
        """The block that the follower is sent next; None while there is none yet.

        Raises: Problem `not_found` if it wants batches that are not here any more, or never were.
        """
        wanted = Height(follower.next_height)
        height = self._store.next_height(wanted)
        if height is None:
            return None
        if height > wanted and follower.want_batches:
            raise Problem("not_found", f"this replica holds no block from {wanted} up to {height}")
        return self._store.stored_block(height)

    def _frame(self, stored: StoredBlock, *, want_batches: bool) -> BlockFrame:
        batches: list[bytes] = []
        if want_batches:
            for ref in decode_block(stored.block).batches:
                batch = self._store.batch(ref.digest)
                if batch is None:
                    raise Problem("not_found", f"the batches of block {stored.height} are not here")
                batches.append(batch)
        return BlockFrame(stored.height, stored.first_index, stored.block, stored.proof, batches)


def _cosignature_frame(cosignature: Cosignature) -> CosignatureFrame:
    return CosignatureFrame(
        size=cosignature.head.size,
        root=cosignature.head.root,
        time_s=cosignature.time_s,
        signature=cosignature.signature,
    )
