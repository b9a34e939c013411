"""Fewer than five up: nothing new can be agreed on, and everybody who asks is told the truth.

Reads and proofs go on. A request that was let in is pending, however often it is sent again, and
never refused, for a refusal says that nothing was recorded. What comes later is refused with the
time after which to come back, `/readyz` says why, and once five are up all of it ends by itself.
"""

import asyncio
import time
from typing import Final

from heptad.trials.faults.trial import Fault, Trial
from heptad.trials.tour.scene import Reply, Scene
from heptad.trials.tour.steps import require
from heptad.verification import ReceiptFile, verify_receipt_file

PENDING_S: Final = (4.0, 9.0)
"""When a request that waits is answered: after 5 s, on a machine that has much else to do."""

_BACK_S_MAX: Final = 60.0
_PAUSE_S: Final = 0.25


async def lose_quorum(trial: Trial) -> str:
    """Three are killed; after all that must be true without them one of them is started."""
    scene = trial.stage.scene
    names = trial.replicas(3)
    recorded = next(iter(trial.stage.history.acknowledged))
    waiting = _request(scene)
    trial.begins()
    try:
        await trial.order("kill", *names)
        waited_s = await _is_pending_in_time(scene, waiting)
        await _is_refused_until(scene)
        await trial.hold()
        reason = await _is_told_why(scene)
        await _reads_go_on(scene, recorded)
        again = await scene.post("/v1/requests", waiting)
        require(_is_pending(again), f"sent again, a pending request got {again.said}")
        standing = await scene.get(f"/v1/requests/{again.members['request_id']}")
        require(standing.members.get("state") == "PENDING", f"its status is {standing.said}")
    finally:
        trial.ends()
        await trial.order("restart", names[0])
    try:
        await _comes_back(trial, waiting)
    finally:
        await trial.order("restart", *names[1:])
    return (
        f"{', '.join(names)} killed: 202 PENDING after {waited_s:.1f} s, then 503 "
        f'quorum_unavailable, /readyz says "{reason}", receipts and checkpoint verify; with '
        f"{names[0]} back the pending request was committed"
    )


def _request(scene: Scene) -> bytes:
    return scene.sign(scene.crowd[0], data={"of": "somebody who waits"})


def _is_pending(reply: Reply) -> bool:
    return reply.status == 202 and reply.members.get("state") == "PENDING"


async def _is_pending_in_time(scene: Scene, jws: bytes) -> float:
    """The seconds after which a request that was let in is answered. Raises: Disproved."""
    started_s = time.monotonic()
    reply = await scene.post("/v1/requests", jws)
    waited_s = time.monotonic() - started_s
    require(_is_pending(reply), f"a request that waits got {reply.said}")
    require(reply.headers.get("Retry-After"), "the answer does not say when to ask again")
    require(PENDING_S[0] <= waited_s <= PENDING_S[1], f"PENDING came after {waited_s:.1f} s")
    return waited_s


async def _is_refused_until(scene: Scene) -> None:
    reply = await scene.post("/v1/requests", _request(scene))
    said = (reply.status, reply.code)
    require(said == (503, "quorum_unavailable"), f"a new request got {reply.said}")
    require(reply.headers.get("Retry-After"), "the refusal does not say when to come back")


async def _is_told_why(scene: Scene) -> str:
    reply = await scene.get("/readyz?verbose")
    said = (reply.status, reply.code)
    require(said == (503, "quorum_unavailable"), f"/readyz says {reply.said}")
    checks = reply.members.get("checks")
    assert isinstance(checks, list)
    failed = [check["name"] for check in checks if check["needed"] and not check["ok"]]
    require(failed == ["quorum"], f"/readyz?verbose blames {failed}")
    return str(reply.members["detail"])


async def _reads_go_on(scene: Scene, request_id: str) -> None:
    """A receipt and a checkpoint are fetched and proved. Raises: Disproved."""
    file = ReceiptFile.parse(await scene.receipt(request_id))
    verify_receipt_file(file, policy=scene.policy, now_s=int(time.time()))
    await scene.checkpoint(size_min=1)


async def _comes_back(trial: Trial, waiting: bytes) -> None:
    """Nobody does anything more, and the request that waited is committed. Raises: Disproved."""
    scene, give_up_s = trial.stage.scene, time.monotonic() + _BACK_S_MAX
    while True:
        ready, reply = await scene.get("/readyz"), await scene.post("/v1/requests", waiting)
        if ready.status == 200 and reply.status == 201:
            break
        require(time.monotonic() < give_up_s, f"five are up, and it says {reply.said}")
        await asyncio.sleep(_PAUSE_S)
    index = reply.members["index"]
    assert isinstance(index, int)
    request_id = str(reply.members["request_id"])
    trial.stage.history.acknowledge(request_id, index, now_s=time.monotonic())


FAULTS: Final = (
    Fault(
        "too-few",
        "three replicas are killed, and one is started again",
        "202 or 503 with Retry-After meanwhile, reads go on, then all goes on by itself",
        False,
        lose_quorum,
    ),
)
