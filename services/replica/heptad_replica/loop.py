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
import time
from collections import deque
from typing import Final

from heptad.consensus.driver import Driver
from heptad.consensus.events import BatchReceived, Event, MessageReceived, TimerFired

EVENTS_MAX: Final = 8_192
WAVE_EVENTS_MAX: Final = 512
QUEUED_BYTES_MAX: Final = 256 << 20


class Clock:
    """Unix time in ms that never goes backwards: the wall clock once, then the monotonic one."""

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        """Now."""
        return time.monotonic_ns() // 1_000_000 + self._offset_ms


class EventQueue:
    """What has happened and was not yet stepped, in order, within bounds."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self.wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def offer(self, event: Event) -> bool:
        """Queue an event; False when the queue is full, and then nothing was taken.

        Consensus copes with a lost message, a validator with a batch that it has to send again.
        """
        size = _size_bytes(event)
        if len(self._events) >= EVENTS_MAX or self._bytes + size > QUEUED_BYTES_MAX:
            return False
        self._events.append(event)
        self._bytes += size
        self.wakeup.set()
        return True

    def take(self, count_max: int) -> list[Event]:
        """The oldest events, at most `count_max`."""
        taken = [self._events.popleft() for _ in range(min(count_max, len(self._events)))]
        self._bytes -= sum(_size_bytes(event) for event in taken)
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
    return len(event.payload) if isinstance(event, MessageReceived | BatchReceived) else 0
