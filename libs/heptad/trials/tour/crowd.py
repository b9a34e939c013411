"""Many apps at once: a service brings fifty citizens in, and each posts without pause."""

import asyncio
import time
from typing import Final

from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.answers import RequestState
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.trials.tour.scene import Citizen, Scene
from heptad.trials.tour.steps import Disproved, require

APPS: Final = 50
BULK: Final = 500
_INSIST_S_MAX: Final = 60.0
_PASSING: Final = frozenset({202, 429, 503, 504})


async def bring_in(scene: Scene) -> str:
    """A service registers citizens over gRPC, with its certificate."""

    async def register(number: int) -> Citizen:
        key = P256Key.generate() if number % 2 else Ed25519Key.generate()
        registered = await scene.client.register(key)
        return Citizen(f"citizen {number}", key, registered.subject_id)

    scene.crowd = list(await asyncio.gather(*map(register, range(APPS))))
    return f"{len(scene.crowd)} citizens registered over mutual TLS as {scene.client.profile.name}"


async def send_bulk(scene: Scene) -> str:
    """Many requests on one stream."""
    crowd = scene.crowd
    requests = [
        scene.sign(crowd[number % len(crowd)], data={"row": number}) for number in range(BULK)
    ]
    started_s = time.monotonic()
    async for outcome in scene.client.submit_many(requests):
        if isinstance(outcome, Problem):
            raise outcome
        state = outcome.state
        require(state is RequestState.COMMITTED, f"after 5 s a request is still {state.name}")
        scene.acknowledged[request_id_of(outcome.request_id)] = outcome.index
    return f"{BULK} requests committed in {time.monotonic() - started_s:.2f} s over one stream"


async def post_until(scene: Scene, until: asyncio.Event) -> None:
    """Every citizen's app posts one request after the other, each until it is acknowledged.

    Raises: ExceptionGroup of Disproved, if one is refused for good.
    """
    async with asyncio.TaskGroup() as group:
        for citizen in scene.crowd:
            group.create_task(_app(scene, citizen, until))


async def _app(scene: Scene, citizen: Citizen, until: asyncio.Event) -> None:
    number = 0
    while not until.is_set():
        number += 1
        jws = scene.sign(citizen, data={"number": number})
        async with asyncio.timeout(_INSIST_S_MAX):
            await _insist(scene, jws)


async def _insist(scene: Scene, jws: bytes) -> None:
    """Send the same bytes until they are acknowledged: that is always safe."""
    while True:
        reply = await scene.post("/v1/requests", jws)
        if reply.status == 201:
            index = reply.members["index"]
            assert isinstance(index, int)
            scene.acknowledged[str(reply.members["request_id"])] = index
            return
        if reply.status not in _PASSING:
            raise Disproved(f"a good request was refused: {reply.said}")
        await asyncio.sleep(int(reply.headers.get("Retry-After", "1")))
