"""Streams to the other replicas: one outgoing stream and one writer task for each peer.

Every replica dials every other and sends on the stream that it has dialled: two replicas share two
one-way streams and neither has to agree with the other on who connects. Consensus copes with loss,
so a queue that is full drops its oldest message rather than hold up the replica: what matters is
sent again, and a peer that was away is told the highest certificates when it comes back. A stream
that breaks is told to the core at once: a process that dies takes its connections with it, and a
leader that is gone need not be waited for.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import grpc

from heptad.consensus.events import Event, PeerConnected, PeerLost
from heptad.model.ids import MemberIndex
from heptad.model.problems import Problem
from heptad.runtime.streams import ClientFrameStream, open_frame_stream

QUEUE_MESSAGES_MAX: Final = 4_096
RECONNECT_S_MIN: Final = 0.1
RECONNECT_S_MAX: Final = 2.0
METHOD: Final = "/heptad.replica.v1.ReplicaService/PeerStream"

HELLO: Final = b""
"""What the accepting end writes first, so that the dialling end knows that it is heard."""


class PeerLink:
    """The stream to one peer, dialled again for as long as it runs."""

    def __init__(
        self,
        *,
        member: MemberIndex,
        channel: grpc.aio.Channel,
        offer: Callable[[Event], bool],
        queue_bytes_max: int,
    ) -> None:
        self.member = member
        self._channel = channel
        self._offer = offer
        self._queue_bytes_max = queue_bytes_max
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wakeup = asyncio.Event()
        self.is_connected = False
        self.dropped = 0

    def put(self, payload: bytes) -> None:
        """Queue a message; the oldest ones give way where the peer is too slow."""
        if not self.is_connected:
            self.dropped += 1
            return
        self._queue.append(payload)
        self._queued_bytes += len(payload)
        while len(self._queue) > QUEUE_MESSAGES_MAX or self._queued_bytes > self._queue_bytes_max:
            self._queued_bytes -= len(self._queue.popleft())
            self.dropped += 1
        self._wakeup.set()

    async def run(self) -> None:
        """Dial, write, and dial again with back-off, until cancelled."""
        delay_s = RECONNECT_S_MIN
        while True:
            if await self._serve_one_stream():
                delay_s = RECONNECT_S_MIN
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_S_MAX)

    async def _serve_one_stream(self) -> bool:
        """One stream's life; True if it was ever connected."""
        stream = open_frame_stream(self._channel, METHOD)
        was_connected = False
        writer: asyncio.Task[None] | None = None
        try:
            if await stream.read() is None:
                return False
            was_connected = self.is_connected = True
            self._offer(PeerConnected(self.member))
            writer = asyncio.create_task(self._write(stream))
            if await stream.read() is not None:
                # Nothing is ever said on this half: who floods it is dialled again, and no faster.
                self.dropped += 1
                return False
        except (grpc.aio.AioRpcError, Problem):
            return was_connected
        finally:
            self.is_connected = False
            self._queue.clear()
            self._queued_bytes = 0
            self._offer(PeerLost(self.member))
            if writer is not None:
                writer.cancel()
            stream.cancel()
        return was_connected

    async def _write(self, stream: ClientFrameStream) -> None:
        """Write what is queued, in order, until the stream breaks; its reader notices that."""
        try:
            while True:
                while self._queue:
                    payload = self._queue.popleft()
                    self._queued_bytes -= len(payload)
                    await stream.write(payload)
                self._wakeup.clear()
                await self._wakeup.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            stream.cancel()


class PeerOutbox:
    """The `Outbox` port of `heptad.consensus.ports` over the links."""

    def __init__(self, links: Mapping[MemberIndex, PeerLink]) -> None:
        self._links = links

    def send(self, targets: tuple[MemberIndex, ...], payload: bytes) -> None:
        """Queue `payload` for each target; never blocks."""
        for target in targets:
            self._links[target].put(payload)

    @property
    def connected(self) -> int:
        """Peers that hear us at the moment."""
        return sum(link.is_connected for link in self._links.values())
