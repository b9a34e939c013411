"""One stream to one replica: what it sends is handed on, what it is to be told is the latest.

A replica is told two things, from which height it shall send blocks (with batches or without), and
how far this ledger has come. Only the latest of either counts, so nothing queues up: a writer task
sends what has changed since it last wrote. (And now and then a proof that a replica misbehaved.) A
new stream begins with no blocks at all; what is wanted of it, the follower decides.

A link that is dropped, or breaks, is opened again after a pause that grows with the number of
times; what was wrong with it is the follower's business. A replica that has pruned what it was
asked for ends the stream, too (`not_found`); that is no wrong, and it is asked again last.

Cosignatures, and what is said of traces, are read no faster than any honest replica makes them: a
cosignature may cost a signature checked, and what is not read stays at its sender.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import grpc

from heptad.model.problems import Problem
from heptad.runtime.pacing import Pace, Pacer
from heptad.runtime.streams import ClientFrameStream, open_frame_stream
from heptad.wire.convert.replica import from_status_response
from heptad.wire.streams import (
    AppliedFrame,
    BlockFrame,
    CosignatureFrame,
    EvidenceFrame,
    FollowFrame,
    FrameMalformedError,
    LedgerToReplica,
    TracesFrame,
    decode_to_ledger,
    encode_from_ledger,
)

METHOD: Final = "/heptad.replica.v1.ReplicaService/Follow"
_STATUS: Final = "/heptad.replica.v1.ReplicaService/GetStatus"
RECONNECT_S_MIN: Final = 0.1
RECONNECT_S_MAX: Final = 2.0
PENALTY_S_MIN: Final = 5.0
PENALTY_S_MAX: Final = 60.0

COSIGNATURES: Final = Pace(messages_per_s=200, bytes_per_s=1 << 20, burst_s=2.0)
"""Honest ones are one for each tenth of a second and each flush, some forty a second."""

NO_BLOCKS: Final = FollowFrame(height=2**63 - 1, want_batches=False)
"""From a height that no chain reaches."""


class LinkListener(Protocol):
    """Who is told what a link hears."""

    def connected(self, link: "ReplicaLink") -> None:
        """A new stream is open; it has been told from where to send."""

    def disconnected(self, link: "ReplicaLink") -> None:
        """The stream is gone."""

    async def block(self, link: "ReplicaLink", frame: BlockFrame) -> None:
        """A block came; returning late holds the replica back."""

    def cosignature(self, link: "ReplicaLink", frame: CosignatureFrame) -> None:
        """A cosignature came."""

    def traces(self, link: "ReplicaLink", frame: TracesFrame) -> None:
        """The block that comes next is traced."""

    def refused(self, link: "ReplicaLink", reason: str) -> None:
        """The replica sent what nobody can read; the stream is being dropped."""

    def lacking(self, link: "ReplicaLink") -> None:
        """The replica does not hold the blocks that it was asked for; the stream is gone."""


class ReplicaLink:
    """The stream to `replica_id`; `run` keeps it open."""

    def __init__(
        self,
        replica_id: str,
        *,
        open_stream: Callable[[], ClientFrameStream],
        ask_status: Callable[[float], Awaitable[bytes]],
        listener: LinkListener,
    ) -> None:
        """`ask_status` is answered within so many seconds, or raises grpc.aio.AioRpcError."""
        self.replica_id = replica_id
        self._ask_status = ask_status
        self.is_connected = False
        self.height_claimed = 0
        """The greatest height that it has sent a block of; unproved."""
        self.claim: BlockFrame | None = None
        """The frame of that height, if it came with a proof."""
        self.lies = 0
        """How often it was caught sending something wrong."""
        self.lacks_height = 0
        """The height that it was asked for last and did not hold; 0 if it has held all."""
        self._open_stream = open_stream
        self._listener = listener
        self._stream: ClientFrameStream | None = None
        self._applied = AppliedFrame(height=0, published_size=0)
        self._evidence: list[EvidenceFrame] = []
        self._to_send: dict[object, LedgerToReplica] = {}
        self._wakeup = asyncio.Event()
        self._is_penalised = False
        self._asked_height = 0
        self._cosignatures = Pacer(COSIGNATURES, time.monotonic())

    async def height_now(self, timeout_s: float) -> int | None:
        """How many blocks it has committed, as it says; None if it does not answer."""
        try:
            return from_status_response(await self._ask_status(timeout_s)).height
        except (grpc.aio.AioRpcError, Problem):
            return None

    def follow(self, *, height: int, want_batches: bool) -> None:
        """Ask for blocks from `height` on."""
        self._asked_height = height
        self._tell(FollowFrame(height, want_batches))

    def applied(self, *, height: int, published_size: int, drop_height: int) -> None:
        """Tell how far this ledger has come, and what the replica is not to keep for others."""
        self._applied = AppliedFrame(height, published_size, drop_height)
        self._tell(self._applied)

    def accuse(self, evidence: bytes) -> None:
        """Hand on a proof of misbehaviour: now, and again whenever the stream is opened anew.

        There are never more of them than replicas.
        """
        frame = EvidenceFrame(evidence)
        self._evidence.append(frame)
        if self.is_connected:
            self._to_send[frame] = frame
            self._wakeup.set()

    def drop(self) -> None:
        """End the stream for a wrong that was done; it is opened again after a penalty."""
        self.lies += 1
        self._is_penalised = True
        if self._stream is not None:
            self._stream.cancel()

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        delay_s = RECONNECT_S_MIN
        while True:
            was_connected = await self._serve_one_stream()
            if self._is_penalised:
                self._is_penalised = False
                await asyncio.sleep(min(PENALTY_S_MIN * self.lies, PENALTY_S_MAX))
            delay_s = RECONNECT_S_MIN if was_connected else min(2 * delay_s, RECONNECT_S_MAX)
            await asyncio.sleep(delay_s)

    async def _serve_one_stream(self) -> bool:
        """One stream's life; True if it was ever open."""
        stream = self._stream = self._open_stream()
        writer: asyncio.Task[None] | None = None
        try:
            await stream.write(encode_from_ledger(NO_BLOCKS))
            self.is_connected = True
            self._to_send = {AppliedFrame: self._applied}
            self._to_send.update((frame, frame) for frame in self._evidence)
            self._wakeup.set()
            writer = asyncio.create_task(self._write(stream))
            self._listener.connected(self)
            await self._read(stream)
        except FrameMalformedError as error:
            self._listener.refused(self, str(error))
        except Problem as problem:
            self._listener.refused(self, problem.detail)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                self.lacks_height = self._asked_height
                self._listener.lacking(self)
                return False
            return self.is_connected
        except asyncio.InvalidStateError:
            return self.is_connected
        except asyncio.CancelledError:
            # A call that `drop` has cancelled ends this way too; then the task itself goes on.
            task = asyncio.current_task()
            if not self._is_penalised or (task is not None and task.cancelling()):
                raise
        finally:
            self._closed(stream, writer)
        return True

    def _closed(self, stream: ClientFrameStream, writer: "asyncio.Task[None] | None") -> None:
        if writer is not None:
            writer.cancel()
        stream.cancel()
        self._stream = None
        if self.is_connected:
            self.is_connected = False
            self._listener.disconnected(self)

    async def _read(self, stream: ClientFrameStream) -> None:
        while (body := await stream.read()) is not None:
            frame = decode_to_ledger(body)
            if isinstance(frame, CosignatureFrame):
                self._listener.cosignature(self, frame)
                await asyncio.sleep(self._cosignatures.wait_s(len(body), time.monotonic()))
                continue
            if isinstance(frame, TracesFrame):
                self._listener.traces(self, frame)
                await asyncio.sleep(self._cosignatures.wait_s(len(body), time.monotonic()))
                continue
            if frame.height >= self.height_claimed:
                self.height_claimed = frame.height
                self.claim = frame if frame.proof else self.claim
            await self._listener.block(self, frame)

    async def _write(self, stream: ClientFrameStream) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._to_send:
                frame = self._to_send.pop(next(iter(self._to_send)))
                await stream.write(encode_from_ledger(frame))

    def _tell(self, frame: FollowFrame | AppliedFrame) -> None:
        if self.is_connected:
            self._to_send[type(frame)] = frame
            self._wakeup.set()


def link_over(channel: grpc.aio.Channel, replica_id: str, listener: LinkListener) -> ReplicaLink:
    """The link to the replica at the other end of a channel."""
    status: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_STATUS)

    async def ask_status(timeout_s: float) -> bytes:
        return await status(b"", timeout=timeout_s)

    return ReplicaLink(
        replica_id,
        open_stream=lambda: open_frame_stream(channel, METHOD),
        ask_status=ask_status,
        listener=listener,
    )
