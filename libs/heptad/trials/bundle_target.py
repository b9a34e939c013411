"""A service's bundles as a load: signed before, sent as whole messages, one unary call each.

A bundle of 499 events leaves room for two in a batch, and arrives often enough that its latency
says something. The service's own work (witnesses, commitments, the root, one signature) is done
beforehand, like the signing of requests.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc

from heptad.client import Event, sign_bundle
from heptad.crypto.keys import load_key
from heptad.model.answers import RequestState, Wait
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.runtime.channels import open_channel
from heptad.runtime.config import load_profile
from heptad.runtime.status import problem_of
from heptad.runtime.tls import load_tls
from heptad.trials.load import Answer, Done
from heptad.wire.convert.validator import SERVICE, decode_bundle_recorded, encode_bundle

EVENTS: Final = 499
"""Events of one bundle."""

WARM_UP_BUNDLES: Final = 4
_ACTION: Final = "record.access"
_DEADLINE_S: Final = 20.0
_CONNECT_S_MAX: Final = 10.0


def make_bundles(
    profile_folder: Path, subjects: Sequence[str], count: int, *, seed: int
) -> list[bytes]:
    """Messages of `count` bundles about all subjects in turn, valid for four minutes from now."""
    profile = load_profile(profile_folder)
    key = load_key(profile_folder / profile.signing_key)
    chance, now_ms = random.Random(seed), time.time_ns() // 1_000_000  # noqa: S311  made-up data
    messages = []
    for number in range(count):
        events = [
            Event(
                subjects[(number * EVENTS + place) % len(subjects)],
                _ACTION,
                b'{"record":"%032x","clerk":"c%d"}' % (chance.getrandbits(128), place % 40),
                now_ms,
            )
            for place in range(EVENTS)
        ]
        bundle = sign_bundle(key, events, audience=profile.origin, service=profile.name)
        messages.append(encode_bundle(bundle.statement, bundle.events, Wait.COMMITTED))
    return messages


class BundleTarget:
    """Sends each message to the validator that is the service's first."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._submit: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/SubmitBundle"
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, item: bytes, done: Done) -> None:
        """See `heptad.trials.load.Target`."""
        task = asyncio.create_task(self._send(item, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, item: bytes, done: Done) -> None:
        try:
            answer = decode_bundle_recorded(await self._submit(item, timeout=_DEADLINE_S))
        except grpc.aio.AioRpcError as error:
            done(_refused(problem_of(error, unavailable="validator_unavailable").code))
        except Problem as problem:
            done(_refused(problem.code))
        else:
            state = answer.recorded.state
            is_in = state is RequestState.COMMITTED
            done(Answer(answer.count) if is_in else _refused(state.name))


@asynccontextmanager
async def open_bundles(profile_folder: Path) -> AsyncIterator[BundleTarget]:
    """A target for the bundles of this profile's service. Raises: TimeoutError."""
    profile = load_profile(profile_folder)
    tls = load_tls(
        ca=profile_folder / profile.ca,
        certificate=profile_folder / profile.certificate,
        key=profile_folder / profile.key,
    )
    peers = {int(peer.id.rpartition("-")[2]): peer for peer in profile.validators}
    peer = peers[ranked(profile.name, tuple(peers))[0]]
    channel = open_channel(address=peer.address, peer_id=peer.id, origin=profile.origin, tls=tls)
    try:
        await asyncio.wait_for(channel.channel_ready(), _CONNECT_S_MAX)
        yield BundleTarget(channel)
    finally:
        await channel.close()


def _refused(code: str) -> Answer:
    return Answer(0, (code,) * EVENTS)
