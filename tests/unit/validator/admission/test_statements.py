"""Statements: who may say what, and that saying it twice is saying it once."""

import asyncio

import pytest

from heptad.crypto.erasures import sign_order, sign_refusal
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Kind, Outcome
from heptad.model.erasure import (
    ErasureGround,
    ErasureOrder,
    ErasureRefusal,
    OrderedBy,
    RefusalGround,
)
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad.wire.convert.entry_facts import encode_duplicate, encode_policy_change

LEDGER = Identity("cell.example", Role.LEDGER, "ledger-1")
DUPLICATE = encode_duplicate(index=9, first_index=4)
KEY = Ed25519Key(b"A" * 32)
ORDER = ErasureOrder(
    "cell.example", 7, ErasureGround.OBJECTION, OrderedBy.SUBJECT, bytes(32), 1_700_000_000_000
)
REFUSAL = ErasureRefusal("cell.example", RefusalGround.LEGAL_HOLD, bytes(32), 1_700_000_000_000)
SAID = {
    Kind.DUPLICATE: DUPLICATE,
    Kind.ERASURE_ORDERED: sign_order(KEY, ORDER),
    Kind.ERASURE_REFUSED: sign_refusal(KEY, REFUSAL),
    Kind.ERASED: b"",
    Kind.POLICY_CHANGE: b"",
}


def begin(world, kind=Kind.DUPLICATE, statement=DUPLICATE, *, caller=LEDGER):
    return asyncio.ensure_future(
        world.statements.record(kind, statement, caller=caller, patience_s=60.0)
    )


def test_a_statement_is_a_public_entry_with_nothing_sealed(play):
    async def scenario(world):
        call = begin(world)
        await world.settle_down()
        [batch] = await world.commit()
        assert await call == len(world.ledger.entries) - 1
        [entry] = world.entries
        assert (entry.kind, entry.statement) == (Kind.DUPLICATE, DUPLICATE)
        assert (entry.commitment, entry.outcome) == (b"", Outcome.NONE)
        assert batch.sealed_records() == [b""]

    play(scenario)


def test_the_same_statement_again_is_the_same_entry(play):
    async def scenario(world):
        calls = [begin(world), begin(world)]
        await world.settle_down()
        await world.commit()
        again = begin(world)
        assert len({*await asyncio.gather(*calls), await again}) == 1
        assert len(world.entries) == 1

    play(scenario)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in SAID])
def test_a_ledger_may_say_nothing_else(play, kind):
    async def scenario(world):
        with pytest.raises(Problem, match="role_refused"):
            await begin(world, kind)
        assert world.outstanding() == []

    play(scenario)


def test_a_policy_change_names_two_files(play):
    async def scenario(world):
        change = encode_policy_change(cell_sha256=b"n" * 32, previous_sha256=b"o" * 32)
        call = begin(world, Kind.POLICY_CHANGE, change)
        await world.settle_down()
        await world.commit()
        await call
        assert [(entry.kind, entry.statement) for entry in world.entries] == [
            (Kind.POLICY_CHANGE, change)
        ]

    play(scenario)


@pytest.mark.parametrize("kind", [Kind.ERASURE_ORDERED, Kind.ERASURE_REFUSED])
def test_what_the_ledger_attests_is_recorded_as_it_came(play, kind):
    async def scenario(world):
        call = begin(world, kind, SAID[kind])
        await world.settle_down()
        await world.commit()
        await call
        [entry] = world.entries
        assert (entry.kind, entry.statement) == (kind, SAID[kind])

    play(scenario)


@pytest.mark.parametrize(
    ("digests", "code"),
    [
        ((b"n" * 32, b"n" * 32), "parameter_invalid"),
        ((b"n" * 31, b"o" * 32), "parameter_invalid"),
        ((b"n" * 32, b""), "parameter_invalid"),
    ],
)
def test_a_policy_change_of_another_form_is_refused(play, digests, code):
    async def scenario(world):
        change = encode_policy_change(cell_sha256=digests[0], previous_sha256=digests[1])
        with pytest.raises(Problem, match=code):
            await begin(world, Kind.POLICY_CHANGE, change)
        assert world.outstanding() == []

    play(scenario)


@pytest.mark.parametrize("kind", [Kind.ERASURE_ORDERED, Kind.ERASURE_REFUSED, Kind.ERASED])
@pytest.mark.parametrize("other", [Kind.DUPLICATE, Kind.ERASURE_ORDERED, Kind.ERASURE_REFUSED])
def test_what_is_not_of_its_kinds_form_is_not_recorded(play, kind, other):
    if kind is other:
        return

    async def scenario(world):
        with pytest.raises(Problem, match="parameter_invalid"):
            await begin(world, kind, SAID[other])
        assert world.outstanding() == []

    play(scenario)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.LEDGER])
def test_nobody_else_may_say_anything(play, role):
    async def scenario(world):
        with pytest.raises(Problem, match="role_refused"):
            await begin(world, caller=Identity("cell.example", role, "gateway-1"))

    play(scenario)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (b"\xff", "frame_malformed"),
        (encode_duplicate(index=4, first_index=4), "parameter_invalid"),
        (encode_duplicate(index=4, first_index=9), "parameter_invalid"),
        (DUPLICATE + bytes(20_000), "parameter_invalid"),
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(play, statement, code):
    async def scenario(world):
        with pytest.raises(Problem, match=code):
            await begin(world, statement=statement)
        assert world.outstanding() == []

    play(scenario)


def test_a_statement_that_is_not_committed_in_time_may_be_said_again(play):
    async def scenario(world):
        with pytest.raises(Problem, match="deadline_exceeded"):
            await world.statements.record(Kind.DUPLICATE, DUPLICATE, caller=LEDGER, patience_s=0.0)
        call = begin(world)
        await world.settle_down()
        await world.commit()
        await call
        assert len(world.entries) == 1

    play(scenario)
