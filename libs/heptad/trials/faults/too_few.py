"""Fewer than five up: nothing new can be agreed on, and everybody who asks is told the truth.

Reads and proofs go on. A request that was let in is pending, however often it is sent again, and
never refused, for a refusal says that nothing was recorded. What comes later is refused with the
time after which to come back, `/readyz` says why, and once five are up all of it ends by itself.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heptad.trials.faults.trial import Fault, Trial
from heptad.trials.tour.scene import Reply, Scene
from heptad.trials.tour.steps import require
from heptad.verification import ReceiptFile, verify_receipt_file

PENDING_S: Final = (4.0, 9.0)
"""When a request that waits is answered: after 5 s, on a machine that has much else to do."""

BURST: Final = 100
BURST_STEP_S: Final = 0.02
_BACK_S_MAX: Final = 60.0
_PAUSE_S: Final = 0.25


async def lose_quorum(trial: Trial) -> str:
    """Three are killed; after all that must be true without them one of them is started."""
    scene = trial.stage.scene
    names = trial.replicas(3)
    recorded = next(iter(trial.stage.history.acknowledged))
    trial.begins()
    try:
        # Some of these come before the kill, some after it is known; those between have to wait.
        posted = [asyncio.create_task(_post(scene, number)) for number in range(BURST)]
        await asyncio.sleep(BURST_STEP_S)
        await trial.order("kill", *names)
        waiting = _those_that_wait(trial, await asyncio.gather(*posted))
        first = waiting[0]
        await _is_refused(scene)
        await trial.hold()
        reason = await _is_told_why(scene)
        await _reads_go_on(scene, recorded)
        again = await scene.post("/v1/requests", first.jws)
        require(_is_pending(again), f"sent again, a pending request got {again.said}")
        standing = await scene.get(f"/v1/requests/{again.members['request_id']}")
        require(standing.members.get("state") == "PENDING", f"its status is {standing.said}")
    finally:
        trial.ends()
        await trial.order("restart", names[0])
    try:
        for each in waiting:
            await _is_committed(trial, each.jws)
    finally:
        await trial.order("restart", *names[1:])
    return (
        f"{', '.join(names)} killed: 202 PENDING after {first.waited_s:.1f} s, then 503 "
        f'quorum_unavailable, /readyz says "{reason}", receipts and checkpoint verify; with '
        f"{names[0]} back {len(waiting)} pending requests were committed"
    )


def _request(scene: Scene, citizen: int) -> bytes:
    return scene.sign(scene.crowd[citizen % len(scene.crowd)], data={"of": "somebody who waits"})


def _is_pending(reply: Reply) -> bool:
    return reply.status == 202 and reply.members.get("state") == "PENDING"


@dataclass(frozen=True, slots=True)
class _Posted:
    jws: bytes
    reply: Reply
    waited_s: float


async def _post(scene: Scene, number: int) -> _Posted:
    await asyncio.sleep(number * BURST_STEP_S)
    jws, started_s = _request(scene, number), time.monotonic()
    reply = await scene.post("/v1/requests", jws)
    return _Posted(jws, reply, time.monotonic() - started_s)


def _those_that_wait(trial: Trial, posted: Sequence[_Posted]) -> list[_Posted]:
    """The requests that were let in and not committed, at least one.

    Each must have been told what is true of it. Raises: Disproved.
    """
    waiting = [each for each in posted if _is_pending(each.reply)]
    for each in posted:
        reply = each.reply
        if reply.status == 201:
            note_acknowledged(trial, reply)
        elif each not in waiting:
            _require_refused(reply)
    require(waiting, f"of {len(posted)} requests around the kill none had to wait")
    for each in waiting:
        late = f"PENDING came after {each.waited_s:.1f} s"
        require(PENDING_S[0] <= each.waited_s <= PENDING_S[1], late)
        require(each.reply.headers.get("Retry-After"), "PENDING without a Retry-After")
    return waiting


def _require_refused(reply: Reply) -> None:
    """A request of whom another validator may know something is refused for want of the ledger's
    word: with fewer than five replicas in sight it cannot say that it has seen all there is."""
    known = reply.code in ("quorum_unavailable", "vault_unavailable")
    require(reply.status == 503 and known, f"a new request got {reply.said}")
    require(reply.headers.get("Retry-After"), "the refusal does not say when to come back")


async def _is_refused(scene: Scene) -> None:
    """New requests of all citizens are. Raises: Disproved."""
    requests = [_request(scene, citizen) for citizen in range(len(scene.crowd))]
    replies = await asyncio.gather(*(scene.post("/v1/requests", jws) for jws in requests))
    for reply in replies:
        _require_refused(reply)
    codes = [reply.code for reply in replies]
    require("quorum_unavailable" in codes, f"all are told {set(codes)}")


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


async def _is_committed(trial: Trial, waiting: bytes) -> None:
    """Nobody does anything more, and the request that waited is committed. Raises: Disproved."""
    scene, give_up_s = trial.stage.scene, time.monotonic() + _BACK_S_MAX
    while True:
        ready, reply = await scene.get("/readyz"), await scene.post("/v1/requests", waiting)
        if ready.status == 200 and reply.status == 201:
            break
        require(time.monotonic() < give_up_s, f"five are up, and it says {reply.said}")
        await asyncio.sleep(_PAUSE_S)
    note_acknowledged(trial, reply)


def note_acknowledged(trial: Trial, reply: Reply) -> None:
    """A 201 that the load does not know of belongs to the history too."""
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
