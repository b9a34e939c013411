"""The shell around the driver: gathers events into waves, one write for each, then lets go.

One task owns the driver. Streams and connections only put events into its queue; whatever has
arrived when a wave ends is the next wave, so that one fsync serves as many events as there are. The
write runs in the loop's own thread: with its sync it takes 0.3 to 0.5 ms, less than a hop to a
thread and back costs seven replicas on two cores (measured; docs/spec/wire.md has the figures of
the class of machine).

If a write fails the exception leaves `run`, and the process dies of it: a replica that cannot keep
its promises must not make any.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from heptad.consensus.driver import Driver
from heptad.consensus.events import (
    BatchReceived,
    Event,
    EvidenceReceived,
    MessageReceived,
    PeerConnected,
    PeerLost,
    TimerFired,
)
from heptad_replica.clock import Clock

EVENTS_PER_SENDER_MAX: Final = 1_024
QUEUED_BYTES_PER_SENDER_MAX: Final = 32 << 20
WAVE_EVENTS_MAX: Final = 512
WAVE_EVENTS_PER_SENDER_MAX: Final = 128
"""Of one sender, so that a wave which a flood fills is still a short one."""

_WITH_PAYLOAD: Final = (MessageReceived, BatchReceived, EvidenceReceived)

_Sender: TypeAlias = tuple[type[Event], int]


@dataclass(slots=True, eq=False)
class _Share:
    """What one sender has waiting here; `room` is set while there is room for more."""

    events: deque[Event] = field(default_factory=deque)
    size_bytes: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room(self, size_bytes: int) -> bool:
        """True if an event of this size may wait here too; one alone always may."""
        is_within = self.size_bytes + size_bytes <= QUEUED_BYTES_PER_SENDER_MAX
        return not self.events or (is_within and len(self.events) < EVENTS_PER_SENDER_MAX)


class EventQueue:
    """What has happened and was not yet stepped: in order for each sender, in turn among them.

    Each sender has a share of its own, so that a flood of one neither takes the room of the others
    nor makes their messages wait behind it.
    """

    def __init__(self) -> None:
        self._shares: dict[_Sender, _Share] = {}
        self._count = 0
        self.wakeup = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    def offer(self, event: Event) -> bool:
        """Queue an event; False when its sender's share is full, and then nothing was taken.

        Consensus copes with a lost message, a validator with a batch that it has to send again.
        """
        share = self._shares.setdefault(_sender(event), _Share())
        size = _size_bytes(event)
        if not share.has_room(size):
            return False
        share.events.append(event)
        share.size_bytes += size
        self._count += 1
        self.wakeup.set()
        return True

    async def put(self, event: Event) -> None:
        """Queue an event as soon as its sender's share has room for it."""
        while not self.offer(event):
            share = self._shares[_sender(event)]
            share.room.clear()
            await share.room.wait()

    def take(self, count_max: int) -> list[Event]:
        """The oldest events of each sender in turn, at most `count_max`, and of one a fair part."""
        taken: list[Event] = []
        for _ in range(min(count_max, WAVE_EVENTS_PER_SENDER_MAX)):
            waiting = [share for share in self._shares.values() if share.events]
            if not waiting or len(taken) >= count_max:
                break
            for share in waiting[: count_max - len(taken)]:
                event = share.events.popleft()
                share.size_bytes -= _size_bytes(event)
                share.room.set()
                taken.append(event)
        self._count -= len(taken)
        return taken


class DriverLoop:
    """Runs one driver; everything that happens to this replica passes through here in one order."""

    def __init__(self, *, driver: Driver, clock: Clock, events: EventQueue) -> None:
        self._driver = driver
        self._clock = clock
        self._events = events
        self._is_stopping = False

    def stop(self) -> None:
        """End `run` after the wave that is under way."""
        self._is_stopping = True
        self._events.wakeup.set()

    def start(self) -> None:
        """The first wave; everything that the last process promised is in force again."""
        self._driver.start(self._clock.now_ms())

    async def run(self) -> None:
        """Drive until `stop`. Raises: whatever the store raised; the replica is dead then."""
        while not self._is_stopping:
            await self._wait()
            events = self._take()
            if events:
                self._driver.run(events, self._clock.now_ms())
            # Streams and timers of the process get their turn between two waves.
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        """Return once there is an event, the timer is due, or the end has come."""
        wakeup = self._events.wakeup
        wakeup.clear()
        if self._events or self._is_stopping:
            return
        due_ms = self._driver.timer_at_ms
        if due_ms is None:
            await wakeup.wait()
            return
        wait_s = max(0, due_ms - self._clock.now_ms()) / 1_000
        handle = asyncio.get_running_loop().call_later(wait_s, wakeup.set)
        try:
            await wakeup.wait()
        finally:
            handle.cancel()

    def _take(self) -> list[Event]:
        """The next wave's events, in order, and the timer where it is due."""
        events = self._events.take(WAVE_EVENTS_MAX)
        due_ms = self._driver.timer_at_ms
        if due_ms is not None and due_ms <= self._clock.now_ms():
            events.append(TimerFired())
        return events


def _size_bytes(event: Event) -> int:
    return len(event.payload) if isinstance(event, _WITH_PAYLOAD) else 0


def _sender(event: Event) -> _Sender:
    match event:
        case MessageReceived(sender, _) | PeerLost(sender):
            return MessageReceived, sender  # In one line, so that no message takes a loss back.
        case BatchReceived(validator, _):
            return BatchReceived, validator
        case PeerConnected(member):
            return PeerConnected, member
        case EvidenceReceived():
            return EvidenceReceived, 0
        case TimerFired():
            return TimerFired, 0
