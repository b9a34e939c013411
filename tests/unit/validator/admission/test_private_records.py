"""What a ledger records about a subject: who may, once, and under that subject's key alone."""

import asyncio
import dataclasses
import uuid

import pytest

from heptad.crypto.accesses import parse_access, sign_access
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.sealing import open_routing
from heptad.model.access import ACCESS_BYTES_MAX, AccessRecord, PrivateRecord
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import LeaseSubjects
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role

LEDGER = Identity("cell.example", Role.LEDGER, "ledger-1")
JTI = str(uuid.UUID(int=7))


def said(world, subject, **changes):
    known = AccessRecord(
        ledger="ledger-1", origin="cell.example", jti=JTI, time_s=world.clock.wall_ms // 1000,
        subject_id=subject, action="subject.export", role="officer", caller="dpo", ground="",
        reason="asked for in writing",
    )  # fmt: skip
    return dataclasses.replace(known, **changes)


def private(world, subject, *, key=None, kind=Kind.ACCESS, action="subject.export", **changes):
    payload = sign_access(key or world.attestation_key, said(world, subject, **changes))
    return PrivateRecord(kind, action, subject, payload)


def begin(world, record, *, caller=LEDGER, patience_s=60.0):
    return asyncio.ensure_future(
        world.private_records.record(record, caller=caller, patience_s=patience_s)
    )


async def recorded(world, record, **how) -> int:
    call = begin(world, record, **how)
    await world.settle_down()
    await world.commit()
    return await call


async def refusal(world, record, **how) -> Problem:
    """What must be refused, and leave nothing behind."""
    before = len(world.ledger.entries), world.dispatcher.records_pending, len(world.window)
    call = begin(world, record, **how)
    await world.settle_down()
    with pytest.raises(Problem) as caught:
        await call
    after = len(world.ledger.entries), world.dispatcher.records_pending, len(world.window)
    assert after == before
    return caught.value


def test_it_is_sealed_under_its_subject_and_says_nothing_of_it_in_public(play, ed_key):
    async def scenario(world):
        world.subject(ed_key)
        subject = world.subject(ed_key)
        record = private(world, subject)

        index = await recorded(world, record)

        [entry] = world.entries
        slot, opened = world.ledger.events[index]
        assert slot == world.ledger.subjects[subject][1]
        assert opened.payload == record.payload
        assert (entry.kind, entry.service, entry.action) == (
            Kind.ACCESS, "heptad", "subject.export",
        )  # fmt: skip
        assert (entry.outcome, entry.statement) == (Outcome.NONE, b"")

    play(scenario)


def test_it_is_found_by_its_name_as_a_request_is(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        record = private(world, subject)
        index = await recorded(world, record)
        keys, [sealed] = world.ledger.cell_keys, world.committed[-1].sealed_records()
        routing = open_routing(
            sealed, entry=world.ledger.entries[index], routing_key=keys.routing_key
        )
        name = parse_access(record.payload).record.request_id
        assert routing.request_ref == request_ref(cell_index_key=keys.index_key, request_id=name)

    play(scenario)


def test_a_lease_for_it_is_one_that_admits_no_request(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, private(world, subject))
        [question] = [q for q in world.ledger.questions if isinstance(q, LeaseSubjects)]
        assert question == LeaseSubjects((subject,), is_sealing=True)
        assert world.book.live(subject, world.clock.mono_s) is None

    play(scenario)


def test_the_same_words_are_the_same_entry_however_often_they_come(play, ed_key):
    async def scenario(world):
        record = private(world, world.subject(ed_key))
        calls = [begin(world, record) for _ in range(3)]
        await world.settle_down()
        await world.commit()
        indexes = {*await asyncio.gather(*calls), await recorded(world, record)}
        world.clock.move(299)
        world.window.sweep(world.clock.wall_ms // 1000)
        indexes.add(await recorded(world, record))
        assert len(indexes) == 1
        assert len(world.entries) == 1

    play(scenario)


def test_words_too_old_to_be_remembered_are_refused(play, ed_key):
    async def scenario(world):
        record = private(world, world.subject(ed_key))
        await recorded(world, record)
        world.clock.move(331)
        assert (await refusal(world, record)).code == "request_expired"

    play(scenario)


def test_words_of_the_future_are_refused(play, ed_key):
    async def scenario(world):
        time_s = world.clock.wall_ms // 1000 + 31
        record = private(world, world.subject(ed_key), time_s=time_s)
        assert (await refusal(world, record)).code == "request_from_the_future"

    play(scenario)


def test_another_record_under_the_same_name_is_refused(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, private(world, subject))
        other = private(world, subject, reason="something else")
        assert (await refusal(world, other)).code == "request_conflict"

    play(scenario)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.LEDGER])
def test_nobody_but_a_ledger_may_record_what_is_private(play, ed_key, role):
    async def scenario(world):
        record = private(world, world.subject(ed_key))
        caller = Identity("cell.example", role, "ledger-1")
        assert (await refusal(world, record, caller=caller)).code == "role_refused"

    play(scenario)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.ACCESS])
def test_a_ledger_may_record_an_access_and_nothing_else(play, ed_key, kind):
    async def scenario(world):
        record = private(world, world.subject(ed_key), kind=kind)
        assert (await refusal(world, record)).code == "role_refused"

    play(scenario)


def test_what_the_ledger_has_not_signed_is_refused(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        stranger = private(world, subject, key=Ed25519Key(b"z" * 32))
        assert (await refusal(world, stranger)).code == "key_unknown"
        good = private(world, subject)
        payload = good.payload[:-3] + (b"AAA" if good.payload[-3:] != b"AAA" else b"BAA")
        forged = dataclasses.replace(good, payload=payload)
        assert (await refusal(world, forged)).code in {"signature_invalid", "jws_malformed"}

    play(scenario)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"action": "hold.set"}, "parameter_invalid", "action"),
        ({"ledger": "ledger-2"}, "parameter_invalid", "iss"),
        ({"origin": "other.example"}, "audience_mismatch", "aud"),
        ({"subject_id": "kn-" + "z" * 26}, "parameter_invalid", "subject_id"),
    ],
)
def test_what_is_signed_must_be_what_is_asked_for(play, ed_key, changes, code, field):
    async def scenario(world):
        problem = await refusal(world, private(world, world.subject(ed_key), **changes))
        assert (problem.code, problem.field) == (code, field)

    play(scenario)


def test_an_action_that_is_not_in_the_table_is_refused(play, ed_key):
    async def scenario(world):
        record = private(world, world.subject(ed_key), action="data.sold")
        problem = await refusal(world, record)
        assert (problem.code, problem.field) == ("parameter_invalid", "action")

    play(scenario)


def test_a_subject_of_another_cell_is_refused_before_anybody_is_asked(play):
    async def scenario(world):
        stranger = "xx-" + "a" * 26
        problem = await refusal(world, private(world, stranger))
        assert (problem.code, problem.field) == ("parameter_invalid", "subject_id")
        assert not [q for q in world.ledger.questions if isinstance(q, LeaseSubjects)]

    play(scenario)


def test_an_unknown_subject_is_refused_as_the_vault_says(play):
    async def scenario(world):
        problem = await refusal(world, private(world, "kn-" + "a" * 26))
        assert problem.code == "key_unknown"

    play(scenario)


def test_a_record_that_is_too_large_is_refused(play, ed_key):
    async def scenario(world):
        record = private(world, world.subject(ed_key))
        large = dataclasses.replace(record, payload=b"x" * (ACCESS_BYTES_MAX + 1))
        assert (await refusal(world, large)).code == "request_too_large"

    play(scenario)


def test_a_ledger_records_no_more_than_its_share_a_minute(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        for n in range(2):
            await recorded(world, private(world, subject, jti=str(uuid.UUID(int=n))))
        problem = await refusal(world, private(world, subject, jti=str(uuid.UUID(int=9))))
        assert (problem.code, problem.retry_after_s) == ("overloaded", 30)
        world.clock.move(30)
        await recorded(world, private(world, subject, jti=str(uuid.UUID(int=10))))

    play(scenario, private_per_minute=2)


def test_a_record_that_is_not_committed_in_time_may_be_asked_for_again(play, ed_key):
    async def scenario(world):
        record = private(world, world.subject(ed_key))
        late = begin(world, record, patience_s=0.0)
        await world.settle_down()
        with pytest.raises(Problem, match="deadline_exceeded"):
            await late
        await recorded(world, record)
        assert len(world.entries) == 1

    play(scenario)


def test_a_lease_that_was_revoked_meanwhile_seals_nothing(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)

        def revoke(answer):
            world.book.revoke(subject, world.clock.mono_s)
            return answer

        world.ledger.spoil = revoke
        call = begin(world, private(world, subject))
        with pytest.raises(Problem, match="vault_unavailable"):
            await call
        assert world.outstanding() == []

    play(scenario)
