"""Streams to the replicas: each one reads the outstanding batches at its own pace.

There is no queue for each replica. A link keeps a cursor, the number of the batch that it sends
next, and the outstanding batches are the queue of all seven. A slow replica simply finds that some
batches are committed when it gets there, and never needs them from us; a replica that has
reconnected, refused a batch, or may have missed one has its cursor set back.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.streams import ClientFrameStream, open_frame_stream
from heptad.wire.convert.replica import ReplicaStatus, from_status_response
from heptad.wire.streams import FrameMalformedError, ReplicaToValidator, decode_to_validator
from heptad_validator.dispatching.submission import Submission

METHOD: Final = "/heptad.replica.v1.ReplicaService/SubmitBatches"
STATUS: Final = "/heptad.replica.v1.ReplicaService/GetStatus"
RECONNECT_S_MIN: Final = 0.1
RECONNECT_S_MAX: Final = 2.0
PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 2.0

Received = Callable[[str, ReplicaToValidator], None]


class ReplicaLink:
    """The stream to one replica, opened again for as long as it runs."""

    def __init__(
        self,
        *,
        replica_id: str,
        channel: grpc.aio.Channel,
        submission: Submission,
        received: Received,
    ) -> None:
        """`received` is told of every frame; it does not raise."""
        self.replica_id = replica_id
        self._channel = channel
        self._submission = submission
        self._received = received
        self._wakeup = asyncio.Event()
        self._cursor = 0
        self._pause_s = 0.0
        self._paused = False
        self.is_connected = False
        self.connections = 0
        """How often the replica was heard on a new stream."""
        self.frames_malformed = 0

    def wake(self) -> None:
        """There may be something to send."""
        self._wakeup.set()

    def rewind(self, sequence: int) -> None:
        """Send again from this number on."""
        self._cursor = min(self._cursor, sequence)
        self._wakeup.set()

    def pause(self, sequence: int) -> None:
        """The replica has no room: send from this number on again, after a growing pause."""
        self._cursor = min(self._cursor, sequence)
        self._pause_s = min(max(self._pause_s * 2, PAUSE_S_MIN), PAUSE_S_MAX)
        if not self._paused:
            self._paused = True
            asyncio.get_running_loop().call_later(self._pause_s, self._resume)

    def relax(self) -> None:
        """The replica takes part: the next pause is a short one again."""
        self._pause_s = 0.0

    async def run(self) -> None:
        """Open the stream, serve it, and open it again with back-off, until cancelled."""
        delay_s = RECONNECT_S_MIN
        while True:
            if await self._serve_one_stream():
                delay_s = RECONNECT_S_MIN
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_S_MAX)

    async def peers_connected(self, *, timeout_s: float) -> int:
        """How many other replicas this one reaches; 0 if it does not say."""
        status = await self._status(timeout_s)
        return 0 if status is None else status.peers_connected

    async def time_ms(self, *, timeout_s: float) -> int | None:
        """The wall clock of its machine, in Unix ms; None if it does not say."""
        status = await self._status(timeout_s)
        return None if status is None else status.time_ms

    async def _status(self, timeout_s: float) -> ReplicaStatus | None:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(STATUS)
        try:
            return from_status_response(await ask(b"", timeout=timeout_s))
        except (grpc.aio.AioRpcError, Problem):
            return None

    async def close(self) -> None:
        """Let the connection go; `run` has ended."""
        await self._channel.close()

    def _resume(self) -> None:
        self._paused = False
        self._wakeup.set()

    async def _serve_one_stream(self) -> bool:
        """One stream's life; True if the replica was ever heard on it."""
        stream = open_frame_stream(self._channel, METHOD)
        was_connected = False
        writer: asyncio.Task[None] | None = None
        try:
            while (body := await stream.read()) is not None:
                frame = decode_to_validator(body)
                if not was_connected:
                    # The replica speaks first: whatever is outstanding goes to it from the start.
                    was_connected = self.is_connected = True
                    self.connections += 1
                    self._cursor = 0
                    writer = asyncio.create_task(self._write(stream))
                self._received(self.replica_id, frame)
        except FrameMalformedError:
            self.frames_malformed += 1
        except (grpc.aio.AioRpcError, Problem):
            return was_connected
        finally:
            self.is_connected = False
            if writer is not None:
                writer.cancel()
            stream.cancel()
        return was_connected

    async def _write(self, stream: ClientFrameStream) -> None:
        """Write what is outstanding, in order, until the stream breaks; its reader notices."""
        try:
            while True:
                self._wakeup.clear()
                due = None if self._paused else self._submission.frame_from(self._cursor)
                if due is None:
                    await self._wakeup.wait()
                    continue
                self._cursor = due[0] + 1
                await stream.write(due[1])
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            stream.cancel()
