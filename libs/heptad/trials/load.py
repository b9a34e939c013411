"""Loads: how many requests are sent when, and what is measured of them.

Three kinds. *Closed* keeps a number of requests in flight and finds out how much goes through.
*Open* sends at times that were fixed beforehand, whatever the answers do, and counts each latency
from the time that was fixed: a system that stalls for a second is then charged with the waiting of
everybody who would have come in that second, while a closed load would politely not have asked.
*Paced* sends one request after the other, with pauses: what a single user of an idle mesh feels.

Arrivals of an open load are a Poisson process, as those of many independent users are.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

from heptad.trials.latencies import Latencies

DRAIN_S_MAX: Final = 30.0
"""How long answers are waited for once the last request is sent; what is late then is lost."""

LOST: Final = "no_answer"
"""The code of a request that was never answered, in this and in no other table."""


@dataclass(frozen=True, slots=True)
class Closed:
    """`in_flight` requests at any time, for `seconds`, or until none is left to send."""

    in_flight: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """`per_s` arrivals a second in the mean, for `seconds`; `seed` fixes their times."""

    per_s: float
    seconds: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Paced:
    """One after the other, `count` in all; before each a pause of `pause_s`, half of it random."""

    count: int
    pause_s: float
    seed: int = 1


Load: TypeAlias = Closed | Open | Paced


class Answer(NamedTuple):
    """What came back for one thing sent: how many operations were accepted, codes of the others."""

    accepted: int
    refusals: tuple[str, ...] = ()


ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
Done: TypeAlias = Callable[[Answer], None]


class Target(Protocol[ItemT_contra]):
    """What a load is sent to."""

    def send(self, item: ItemT_contra, done: Done) -> None:
        """Send now, or as soon as there is room; `done` is called once, later."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load did.

    Rates are operations a second; `offered_per_s` is 0 where the load does not fix it. `seconds` is
    how long it took, the wait for the last answers included. `latencies` are of things sent, so of
    batches where batches are sent. `refused` counts operations by code.
    """

    offered_per_s: float
    achieved_per_s: float
    seconds: float
    accepted: int
    refused: dict[str, int]
    latencies: Latencies

    @classmethod
    def from_members(cls, members: dict[str, Any]) -> Self:
        """What `dataclasses.asdict` made of one. Raises: KeyError, TypeError."""
        rest = dict(members)
        return cls(latencies=Latencies(**rest.pop("latencies")), **rest)


@dataclass(slots=True)
class _Tally:
    """Gathers answers while the load runs."""

    started_s: float
    sent: int = 0
    answered: int = 0
    accepted: int = 0
    counted: int = 0
    last_s: float = 0.0
    durations_s: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer, *, due_s: float, now_s: float) -> None:
        self.answered += 1
        self.accepted += answer.accepted
        self.durations_s.append(now_s - due_s)
        self.last_s = now_s
        self.counted += answer.accepted
        if answer.refusals:
            self.refused.update(answer.refusals)

    def measured(self, *, offered_per_s: float, achieved_per_s: float) -> Measured:
        lost = self.sent - self.answered
        refused = dict(self.refused) | ({LOST: lost} if lost else {})
        return Measured(
            offered_per_s=offered_per_s,
            achieved_per_s=achieved_per_s,
            seconds=self.last_s - self.started_s,
            accepted=self.accepted,
            refused=refused,
            latencies=Latencies.of(self.durations_s),
        )


async def drive(
    load: Load, items: Sequence[ItemT], target: Target[ItemT], *, operations_per_item: int = 1
) -> Measured:
    """Put `load` on `target` with `items`, each sent at most once, and measure.

    A load that runs out of items ends early.
    """
    run = _Run(items, target, operations_per_item)
    match load:
        case Closed():
            return await run.closed(load)
        case Open():
            return await run.open(load)
        case Paced():
            return await run.paced(load)


class _Run(Generic[ItemT]):
    """One load under way."""

    def __init__(self, items: Sequence[ItemT], target: Target[ItemT], weight: int) -> None:
        self._items = items
        self._target = target
        self._weight = weight
        self._tally = _Tally(time.perf_counter())
        self._progress = asyncio.Event()

    async def closed(self, load: Closed) -> Measured:
        """The clock starts with the first answers: before them nothing can have come through."""
        tally = self._tally
        await self._fill(load, lambda: tally.answered > 0, timeout_s=DRAIN_S_MAX)
        tally.counted = 0
        started_s = time.perf_counter()
        await self._fill(load, lambda: False, timeout_s=load.seconds)
        window_s, counted = time.perf_counter() - started_s, tally.counted
        await self._drain()
        return tally.measured(offered_per_s=0.0, achieved_per_s=counted / max(window_s, 1e-9))

    async def _fill(self, load: Closed, reached: Callable[[], bool], *, timeout_s: float) -> None:
        """Keep the load in flight until something is reached, time is over, or all has been sent.

        Once all has been sent, waits on until half of the load is left: a tail says nothing.
        """
        tally, size = self._tally, len(self._items)
        end_s = time.perf_counter() + timeout_s
        while not reached():
            while tally.sent - tally.answered < load.in_flight and tally.sent < size:
                self._send(time.perf_counter())
            if tally.sent == size and tally.sent - tally.answered <= load.in_flight // 2:
                return
            self._progress.clear()
            wait_s = end_s - time.perf_counter()
            if wait_s <= 0 or not await self._progressed(wait_s):
                return

    async def open(self, load: Open) -> Measured:
        """Latency counts from when a request was due, not from when we came round to sending it."""
        tally = self._tally
        for due_s in _arrivals(load, start_s=tally.started_s, limit=len(self._items)):
            if (wait_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            self._send(due_s)
        sent_s = max(time.perf_counter() - tally.started_s, 1e-9)
        offered_per_s = tally.sent * self._weight / sent_s
        await self._drain()
        whole_s = max(tally.last_s - tally.started_s, sent_s)
        return tally.measured(offered_per_s=offered_per_s, achieved_per_s=tally.accepted / whole_s)

    async def paced(self, load: Paced) -> Measured:
        """One at a time."""
        tally = self._tally
        chance = random.Random(load.seed)  # noqa: S311  times of arrival are no secrets
        for _ in range(min(load.count, len(self._items))):
            await asyncio.sleep(load.pause_s * chance.uniform(0.75, 1.25))
            self._progress.clear()
            self._send(time.perf_counter())
            if not await self._progressed(DRAIN_S_MAX):
                break
        whole_s = max(tally.last_s - tally.started_s, 1e-9)
        return tally.measured(offered_per_s=0.0, achieved_per_s=tally.accepted / whole_s)

    def _send(self, due_s: float) -> None:
        tally = self._tally
        item = self._items[tally.sent]
        tally.sent += 1

        def done(answer: Answer) -> None:
            tally.add(answer, due_s=due_s, now_s=time.perf_counter())
            self._progress.set()

        self._target.send(item, done)

    async def _progressed(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def _drain(self) -> None:
        """Wait for the answers that are still to come, but not for ever."""
        give_up_s = time.perf_counter() + DRAIN_S_MAX
        while self._tally.answered < self._tally.sent:
            self._progress.clear()
            wait_s = give_up_s - time.perf_counter()
            if wait_s <= 0 or not await self._progressed(wait_s):
                return


def _arrivals(load: Open, *, start_s: float, limit: int) -> list[float]:
    """Times of a Poisson process within the load's seconds, at most `limit` of them."""
    chance = random.Random(load.seed)  # noqa: S311  times of arrival are no secrets
    times: list[float] = []
    at_s = chance.expovariate(load.per_s)
    while at_s < load.seconds and len(times) < limit:
        times.append(start_s + at_s)
        at_s += chance.expovariate(load.per_s)
    return times
