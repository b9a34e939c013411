"""Whether what is recorded here could be agreed on: asked of the validators, who would know.

A gateway has no connection to replicas. A validator has one to each, and knows best of all whether
its batches commit: it tells what it would refuse a new request with. So readiness asks the
validators, at most once a second however often it is asked itself: `/readyz` is open to anybody,
and must not be a way to make others work.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from heptad.client import Terms
from heptad.model.answers import ValidatorStatus
from heptad.model.problems import Problem
from heptad_gateway.ports import Validators

LOOK_AGAIN_S: Final = 1.0
ANSWER_S_MAX: Final = 1.0

Heard = Mapping[int, ValidatorStatus | Problem]
"""What each validator said of itself, or why it said nothing, by number."""


def shortage(heard: Heard) -> str | None:
    """Why nothing new can be recorded now, or None if some validator could have it recorded.

    Where no validator answers nobody knows, and that is another check's business.
    """
    statuses = {n: s for n, s in heard.items() if isinstance(s, ValidatorStatus)}
    reasons = {
        number: status.trouble.detail
        for number, status in statuses.items()
        if status.trouble is not None and status.trouble.code == "quorum_unavailable"
    }
    if not statuses or len(reasons) < len(statuses):
        return None
    return "; ".join(f"validator-{number}: {why}" for number, why in reasons.items())


def trouble_of(status: ValidatorStatus | Problem) -> str | None:
    """What is wrong with a validator, for people; None of one that is well.

    One whose clock is wrong goes by the replicas' clocks and does all its work.
    """
    problem = status if isinstance(status, Problem) else status.trouble
    if problem is not None:
        return f"{problem.code}: {problem.detail}"
    assert isinstance(status, ValidatorStatus)
    if off_ms := status.clock_off_ms:
        way = "ahead of" if off_ms > 0 else "behind"
        return f"clock: {abs(off_ms) / 1000:.0f} s {way} the replicas' clocks, which it goes by"
    return None


class QuorumWatch:
    """Asks the validators how they are."""

    def __init__(
        self,
        validators: Validators,
        *,
        now_s: Callable[[], float],
    ) -> None:
        """`now_s` is a monotonic clock."""
        self._validators = validators
        self._now_s = now_s
        self._heard: Heard = {}
        self._heard_s = float("-inf")
        self._asking = asyncio.Lock()

    async def look(self) -> Heard:
        """What was heard last, no more than a second ago."""
        async with self._asking:
            if self._now_s() - self._heard_s >= LOOK_AGAIN_S:
                numbers = self._validators.numbers
                answers = await asyncio.gather(*map(self._ask, numbers))
                self._heard = dict(zip(numbers, answers, strict=True))
                self._heard_s = self._now_s()
        return self._heard

    async def _ask(self, number: int) -> ValidatorStatus | Problem:
        try:
            return await self._validators.status(number, terms=Terms(deadline_s=ANSWER_S_MAX))
        except Problem as problem:
            return problem
