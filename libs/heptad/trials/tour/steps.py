"""A step of the tour: a sentence, an act, and what it proved or why it did not."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
import grpc

from heptad.model.problems import Problem
from heptad.runtime.errors import RuntimeRoomError
from heptad.verification import VerificationError

SceneT = TypeVar("SceneT")


class Disproved(Exception):  # noqa: N818  what a step says when the cell did not keep its word
    """The cell did not do what it promises; the text says what it did instead, with the numbers."""


@dataclass(frozen=True, slots=True)
class Step(Generic[SceneT]):
    """`who` acts, `claim` is the sentence, `act` returns what shows that it is true.

    A step that fails for want of a promise raises Disproved or a refusal. `kills` marks those for
    which members are killed or brought back, and which therefore need the cell's supervisor.
    """

    who: str
    claim: str
    act: Callable[[SceneT], Awaitable[str]]
    kills: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a step: `detail` is the evidence where it `holds`, and else the reason."""

    who: str
    claim: str
    holds: bool
    detail: str
    seconds: float


def require(condition: object, reason: str) -> None:
    """Raises: Disproved, with the reason, unless the condition holds."""
    if not condition:
        raise Disproved(reason)


async def take(
    steps: Sequence[Step[SceneT]], scene: SceneT, shown: Callable[[Shown], None]
) -> bool:
    """Take the steps in order and tell `shown` of each; stops at the first that fails.

    Later steps stand on earlier ones, so after a failure they would only repeat it. Returns whether
    all held.
    """
    for step in steps:
        started_s = time.monotonic()
        try:
            detail, holds = await step.act(scene), True
        except Disproved as reason:
            detail, holds = str(reason), False
        except TimeoutError:
            detail, holds = "it did not happen in time", False
        except (
            Problem,
            RuntimeRoomError,
            VerificationError,
            OSError,
            aiohttp.ClientError,
            grpc.aio.AioRpcError,
        ) as error:
            detail, holds = f"{type(error).__name__}: {error}", False
        shown(Shown(step.who, step.claim, holds, detail, time.monotonic() - started_s))
        if not holds:
            return False
    return True
