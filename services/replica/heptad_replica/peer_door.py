"""The door for the other members: what they say goes into the loop's queue, at a bounded pace.

A member that floods us is stopped by flow control: its stream is read no faster than its pace, and
no further while its own share of the queue is full, so others' messages never wait behind its. It
has one stream; a new one ends the one before, for after a break the old one may linger half open.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from heptad.consensus.events import MessageReceived, PeerLost
from heptad.model.ids import MemberIndex
from heptad.runtime.group import member_index
from heptad.runtime.identity import Identity
from heptad.runtime.pacing import Pace, Pacer
from heptad.runtime.streams import FrameStream
from heptad_replica.loop import EventQueue
from heptad_replica.peers import HELLO

OPENINGS: Final = Pace(messages_per_s=2, bytes_per_s=1 << 30, burst_s=10.0)
"""New streams of one member; it dials again after 0.1 to 2 s."""

PACE: Final = Pace(messages_per_s=1_000, bytes_per_s=64 << 20, burst_s=2.0)
"""Ten times what an honest member sends under full load, and enough to catch up by."""


class PeerDoor:
    """Serves `PeerStream`."""

    def __init__(
        self, *, events: EventQueue, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._events = events
        self._clock_s = clock_s
        self._openings: dict[MemberIndex, Pacer] = {}
        self._pacers: dict[MemberIndex, Pacer] = {}
        self._reading: dict[MemberIndex, asyncio.Task[None]] = {}

    async def serve(self, stream: FrameStream, caller: Identity) -> None:
        """One stream: the certificate says whose it is, never the message."""
        sender = member_index(caller.id)
        now_s = self._clock_s()
        wait_s = self._openings.setdefault(sender, Pacer(OPENINGS, now_s)).wait_s(0, now_s)
        if wait_s:
            await asyncio.sleep(wait_s)
        before = self._reading.get(sender)
        if before is not None:
            before.cancel()
        reading = asyncio.ensure_future(self._read(stream, sender))
        self._reading[sender] = reading
        try:
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.result()
        finally:
            reading.cancel()
            if self._reading.get(sender) is reading:
                del self._reading[sender]
                # Behind its last message, so that nothing late takes it back.
                self._events.offer(PeerLost(sender))

    async def _read(self, stream: FrameStream, sender: MemberIndex) -> None:
        pacer = self._pacers.setdefault(sender, Pacer(PACE, self._clock_s()))
        await stream.write(HELLO)
        while (payload := await stream.read()) is not None:
            await self._events.put(MessageReceived(sender, payload))
            wait_s = pacer.wait_s(len(payload), self._clock_s())
            if wait_s:
                await asyncio.sleep(wait_s)
