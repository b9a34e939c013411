"""Many histories on all cores: seeds one after the other, up to a number of histories or rounds.

The seed of a history decides it alone, so a campaign may be cut into pieces and spread over
processes without changing any of them. Results are taken in the order of the seeds: which histories
count towards a goal of rounds, and which failure is told first, never depends on the machine.
"""

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from heptad.simulation.faults import random_scenario
from heptad.simulation.scenario import Scenario
from heptad.simulation.world import History, World

_SEEDS_PER_PIECE: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: seeds from `seed` on, until one of the two goals is met (None: not a goal).

    `members` is the size of the group; `faults` are names out of `heptad.simulation.faults.FAULTS`;
    `twins` fixes how many members run twice.
    """

    seed: int
    histories: int | None
    rounds: int | None
    members: int
    faults: frozenset[str]
    twins: int | None = None

    def scenario(self, seed: int) -> Scenario:
        """The history of one seed, before it happens."""
        return random_scenario(
            seed, members=self.members, faults=self.faults, twins_count=self.twins
        )


@dataclass(slots=True)
class Summary:
    """What a campaign did. `failure` is the first history, by seed, that broke a promise."""

    histories: int = 0
    rounds: int = 0
    blocks: int = 0
    records: int = 0
    simulated_ms: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failure: History | None = None

    def add(self, history: History) -> None:
        """Count one more history."""
        self.histories += 1
        self.rounds += history.rounds
        self.blocks += history.blocks
        self.records += history.records
        self.simulated_ms += history.simulated_ms
        self.counts.update(history.counts)
        if history.broken is not None and self.failure is None:
            self.failure = history


def run_campaign(
    plan: Plan, *, workers: int, progress: Callable[[Summary], None] = lambda _: None
) -> Summary:
    """Run the plan until it is met or a promise is broken.

    `progress` is called after each history that counts.
    """
    assert plan.histories is not None or plan.rounds is not None, "a campaign without an end"
    summary = Summary()
    histories = _inline(plan) if workers <= 1 else _spread(plan, workers)
    for history in histories:
        summary.add(history)
        progress(summary)
        if summary.failure is not None or _is_met(plan, summary):
            break
    histories.close()
    return summary


def run_seed(plan: Plan, seed: int) -> History:
    """One history. Raises: RuntimeError that names the seed, if the simulator itself fails."""
    try:
        return World(plan.scenario(seed)).run()
    except Exception as error:
        raise RuntimeError(f"the simulator failed at seed {seed}: {error!r}") from error


def _is_met(plan: Plan, summary: Summary) -> bool:
    return (plan.histories is not None and summary.histories >= plan.histories) or (
        plan.rounds is not None and summary.rounds >= plan.rounds
    )


def _run_piece(plan: Plan, seeds: range) -> list[History]:
    return [run_seed(plan, seed) for seed in seeds]


def _inline(plan: Plan) -> Generator[History, None, None]:
    for seed in count(plan.seed):
        yield run_seed(plan, seed)


def _pieces(plan: Plan) -> Iterator[range]:
    """The seeds of a plan in pieces for one process each, and none that it cannot want."""
    end = None if plan.histories is None else plan.seed + plan.histories
    for first in count(plan.seed, _SEEDS_PER_PIECE):
        if end is not None and first >= end:
            return
        last = first + _SEEDS_PER_PIECE
        yield range(first, last if end is None else min(last, end))


def _spread(plan: Plan, workers: int) -> Generator[History, None, None]:
    """Histories in the order of their seeds, worked at by processes that stay a little ahead."""
    pieces = _pieces(plan)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        ahead: deque[Future[list[History]]] = deque()
        try:
            while True:
                for piece in islice(pieces, 2 * workers - len(ahead)):
                    ahead.append(pool.submit(_run_piece, plan, piece))
                if not ahead:
                    return
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
