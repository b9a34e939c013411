"""The validators' own door as a target of load: gRPC streams, as an internal service uses them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from heptad.client import Submitter, issuer_of
from heptad.model.answers import Recorded, RequestState
from heptad.model.problems import Problem
from heptad.runtime.channels import open_channel
from heptad.runtime.config import load_profile
from heptad.runtime.tls import load_tls
from heptad.trials.load import Answer, Done

_COALESCE_S: Final = 0.002
_DEADLINE_S: Final = 20.0
_IN_FLIGHT_MAX: Final = 100_000
_CONNECT_S_MAX: Final = 10.0
_RECORDED: Final = Answer(1)


class StreamTarget:
    """Places signed requests on the streams of `heptad.client`."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    def send(self, item: bytes, done: Done) -> None:
        """See `heptad.trials.load.Target`."""

        def settled(answer: "asyncio.Future[Recorded | Problem]") -> None:
            if not answer.cancelled():
                done(_read(answer.result()))

        try:
            self._submitter.submit(item, iss=issuer_of(item)).add_done_callback(settled)
        except Problem as problem:
            done(Answer(0, (problem.code,)))


@asynccontextmanager
async def open_streams(profile_folder: Path) -> AsyncIterator[StreamTarget]:
    """A target over one stream to each validator of the profile's cell.

    Raises: Problem `validator_unavailable`.
    """
    profile = load_profile(profile_folder)
    tls = load_tls(
        ca=profile_folder / profile.ca,
        certificate=profile_folder / profile.certificate,
        key=profile_folder / profile.key,
    )
    channels = {
        int(peer.id.rpartition("-")[2]): open_channel(
            address=peer.address, peer_id=peer.id, origin=profile.origin, tls=tls
        )
        for peer in profile.validators
    }
    try:
        async with Submitter(
            channels,
            coalesce_s=_COALESCE_S,
            deadline_s=_DEADLINE_S,
            in_flight_max=_IN_FLIGHT_MAX,
        ) as submitter:
            await submitter.wait_ready(_CONNECT_S_MAX)
            yield StreamTarget(submitter)
    finally:
        for channel in channels.values():
            await channel.close()


def _read(outcome: Recorded | Problem) -> Answer:
    if isinstance(outcome, Problem):
        return Answer(0, (outcome.code,))
    if outcome.state is RequestState.COMMITTED:
        return _RECORDED
    return Answer(0, (outcome.state.name,))
