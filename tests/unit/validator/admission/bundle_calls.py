"""Bundles for a validator without its network: made, sent, and refused without a trace."""

import asyncio
import dataclasses
import uuid

import pytest

from heptad.crypto.bundles import Event, sign_bundle
from heptad.model.answers import BundleRecorded, Wait
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad_validator.bundles import BundleCall
from heptad_validator.memory.recent_answers import RecentAnswers

NOW_MS = 1_760_000_000_000
GATEWAY = Identity("cell.example", Role.GATEWAY, "gateway-1")
JTI = str(uuid.UUID(int=7))


def event(subject, n=1, **changes):
    known = Event(subject, "consent.grant", b"event %d" % n, NOW_MS - 1_000 + n)
    return dataclasses.replace(known, **changes)


def sign(world, *events, key=None, **claims):
    values = {
        "iss": "tax-portal", "aud": "cell.example", "jti": JTI,
        "iat": world.clock.wall_ms // 1000 - 1, "exp": world.clock.wall_ms // 1000 + 60,
    }  # fmt: skip
    return sign_bundle(key or world.service_key, events, **{**values, **claims})


def submit(world, bundle, *, caller=GATEWAY, wait=Wait.COMMITTED, patience_s=9.0):
    """A task, so that a test can commit meanwhile."""
    message = repr((bundle, world.clock.mono_s)).encode()
    call = BundleCall(bundle, RecentAnswers.key(message), wait)
    return asyncio.create_task(world.bundles.submit(call, caller=caller, patience_s=patience_s))


async def recorded(world, bundle, **how) -> BundleRecorded:
    task = submit(world, bundle, **how)
    await world.settle_down()
    await world.commit()
    return await task


async def refusal(world, bundle, **how) -> Problem:
    """Submit what must be refused; nothing at all may come of it."""
    before = len(world.ledger.entries), world.dispatcher.records_pending, len(world.window)
    task = submit(world, bundle, **how)
    await world.settle_down()
    with pytest.raises(Problem) as caught:
        await task
    await world.commit()
    after = len(world.ledger.entries), world.dispatcher.records_pending, len(world.window)
    assert after == before
    return caught.value
