"""How long a revoked key still gets something recorded: measured on a cell that runs.

    python -m heptad.trials.revocations --home .heptad --runs 50

Each run registers a subject, adds a second key, and lets *every* validator work for the subject
under a live lease, as after a fail-over. Then the first key is revoked by the second. From the
answer that says that this is committed, each validator is sent fresh requests of the revoked key,
one after the other, until it refuses the key by name. What counts is the last validator.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.client import Client, connect
from heptad.client.submission import Submitter
from heptad.crypto.keys import Ed25519Key
from heptad.model.answers import RequestState, Wait
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.trials.errors import TrialFault
from heptad.trials.latencies import Latencies

SERVICE: Final = "tax-portal"
PAUSE_S: Final = 0.002
REFUSED_S_MAX: Final = 5.0
"""After so long a run fails: the claim is one second."""

_PATIENCE_S: Final = 20.0
_SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Revocations:
    """What was measured: until the subject's own validator refuses, and until all do.

    `accepted` counts requests of revoked keys that were admitted after the revocation was answered.
    """

    own: Latencies
    all: Latencies
    accepted: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Seconds from the answer until each validator refused, by number, and what it let in."""

    refused_s: Mapping[int, float]
    own: int
    accepted: int


class RevocationTrial:
    """Runs against the cell of one client's profile."""

    def __init__(self, client: Client, submitters: Mapping[int, Submitter]) -> None:
        """`client` is connected; `submitters` reach one validator each, by number."""
        self._client = client
        self._submitters = submitters
        self._seeds = itertools.count(time.time_ns())

    async def run(self) -> _Run:
        """Revoke one key. Raises: TrialFault, Problem."""
        lost, kept = self._key(), self._key()
        registered = await self._client.register(lost)
        subject = registered.subject_id
        await self._client.add_key(kept, subject=subject, key=lost)
        for number in self._submitters:
            for key in (lost, kept):
                await self._until_admitted(number, subject, key)
        revoked = await self._client.revoke_key(lost.public.kid, subject=subject, key=kept)
        answered_s = time.monotonic()
        if revoked.state is not RequestState.COMMITTED:
            raise TrialFault("the revocation was not committed in time")
        outcomes = await asyncio.gather(
            *(self._until_refused(number, subject, lost) for number in self._submitters)
        )
        refused_s = {
            number: at_s - answered_s
            for number, (at_s, _) in zip(self._submitters, outcomes, strict=True)
        }
        own = ranked(subject, tuple(self._submitters))[0]
        return _Run(refused_s, own, sum(accepted for _, accepted in outcomes))

    def _key(self) -> Ed25519Key:
        return Ed25519Key(next(self._seeds).to_bytes(_SEED_BYTES, "big"))

    async def _submit(self, number: int, subject: str, key: Ed25519Key) -> Problem | None:
        """Send a fresh request to one validator; None if it was admitted."""
        request = self._client.sign(
            subject=subject, action="authenticate", data={}, key=key, service=SERVICE
        )
        outcome = await self._submitters[number].submit(request, iss=subject, wait=Wait.ADMITTED)
        return outcome if isinstance(outcome, Problem) else None

    async def _until_admitted(self, number: int, subject: str, key: Ed25519Key) -> None:
        give_up_s = time.monotonic() + _PATIENCE_S
        while (problem := await self._submit(number, subject, key)) is not None:
            if time.monotonic() > give_up_s:
                raise problem
            await asyncio.sleep(0.02)

    async def _until_refused(self, number: int, subject: str, key: Ed25519Key) -> tuple[float, int]:
        """When the first request was *sent* that was refused by name, and how many went through.

        A request that waits for a lease, and is refused then, was refused when it was sent.
        """
        give_up_s = time.monotonic() + REFUSED_S_MAX
        accepted = 0
        while (sent_s := time.monotonic()) < give_up_s:
            problem = await self._submit(number, subject, key)
            if problem is not None and problem.code == "key_revoked":
                return sent_s, accepted
            accepted += problem is None
            await asyncio.sleep(PAUSE_S)
        raise TrialFault(f"validator-{number} takes the key after {REFUSED_S_MAX} s")


async def measure(profile: Path, *, runs: int) -> Revocations:
    """So many revocations on the cell of a service's profile. Raises: TrialFault, Problem."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(profile))
        submitters: dict[int, Submitter] = {}
        for name, channel in client.channels.items():
            number = int(name.rpartition("-")[2])
            one = Submitter({number: channel}, coalesce_s=0.0, deadline_s=10.0, in_flight_max=10)
            submitters[number] = await stack.enter_async_context(one)
            await one.wait_ready(_PATIENCE_S)
        trial = RevocationTrial(client, submitters)
        done = [await trial.run() for _ in range(runs)]
    return Revocations(
        own=Latencies.of([run.refused_s[run.own] for run in done]),
        all=Latencies.of([max(run.refused_s.values()) for run in done]),
        accepted=sum(run.accepted for run in done),
    )


def main() -> None:
    """Measure the cell of a home, and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, default=Path(".heptad"))
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    profile = arguments.home / "clients" / SERVICE
    found = asyncio.run(measure(profile, runs=arguments.runs))
    figures = {
        "runs": found.all.count,
        "own_validator_p50_ms": round(found.own.p50_ms, 1),
        "own_validator_max_ms": round(found.own.max_ms, 1),
        "all_validators_p50_ms": round(found.all.p50_ms, 1),
        "all_validators_max_ms": round(found.all.max_ms, 1),
        "admitted_after_the_answer": found.accepted,
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
