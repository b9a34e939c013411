"""Registering a subject: once, provably by its key's holder, and usable when it is answered."""

import asyncio
import uuid

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.model.answers import RequestState
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import Leases, LeaseSubjects, LookUpRequest, ReserveSlots, Slots
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.model.subjects import subject_id
from heptad.runtime.identity import Identity, Role
from heptad_validator.registration import Registrar

ORIGIN = "cell.example"
NOW_S = 1_760_000_000
GATEWAY = Identity(ORIGIN, Role.GATEWAY, "gateway-1")
PORTAL = Identity(ORIGIN, Role.SERVICE, "tax-portal")
CLINIC = Identity(ORIGIN, Role.SERVICE, "clinic")


def registration(key, **claims):
    values = {
        "aud": ORIGIN,
        "jti": str(uuid.UUID(int=1)),
        "iat": NOW_S - 1,
        "exp": NOW_S + 60,
        "svc": "heptad",
    }
    return sign_registration(key, **{**values, **claims})


def begin(world, jws, *, caller=GATEWAY, patience_s=9.0):
    return asyncio.ensure_future(
        world.registrar.register(jws, caller=caller, patience_s=patience_s)
    )


async def register(world, jws, **settings):
    """Send a registration and commit it; the answer."""
    call = begin(world, jws, **settings)
    await world.settle_down()
    await world.commit()
    await world.settle_down()
    return await call


async def refused(world, jws, **settings):
    call = begin(world, jws, **settings)
    with pytest.raises(Problem) as refusal:
        await call
    assert world.outstanding() == []
    return refusal.value.code


def test_a_registered_subject_can_send_requests_at_once(play, any_key):
    async def scenario(world):
        registered = await register(world, registration(any_key))
        assert registered.kid == any_key.public.kid
        assert registered.recorded.state is RequestState.COMMITTED
        assert not registered.recorded.replayed
        questions = len(world.ledger.questions)
        [number] = await world.submit(world.sign(any_key, registered.subject_id))
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED
        assert len(world.ledger.questions) == questions

    play(scenario)


def test_the_record_binds_the_subjects_id_to_its_registration(play, ed_key):
    async def scenario(world):
        jws = registration(ed_key)
        registered = await register(world, jws)
        index = registered.recorded.index
        _, opened = world.ledger.open(index, world.committed[-1].sealed_records()[0])
        assert opened.payload == jws
        assert registered.subject_id == subject_id(
            cell_code="kn", witness=opened.witness, payload=jws
        )
        [entry] = world.entries
        assert (entry.kind, entry.outcome) == (Kind.SUBJECT_REGISTERED, Outcome.ALLOWED)
        assert (entry.service, entry.action) == ("heptad", "subject.register")
        assert ed_key.public.kid.encode() not in world.committed[-1].leaves

    play(scenario)


def test_the_same_registration_again_is_the_same_subject(play, ed_key):
    async def scenario(world):
        first = await register(world, registration(ed_key))
        world.clock.move(5)
        second = await register(world, registration(ed_key, exp=NOW_S + 90))
        assert second.subject_id == first.subject_id
        assert second.recorded.index == first.recorded.index
        assert second.recorded.replayed
        assert len(world.entries) == 1

    play(scenario)


def test_copies_that_come_together_make_one_subject(play, ed_key):
    async def scenario(world):
        calls = [begin(world, registration(ed_key, exp=NOW_S + n)) for n in range(10, 15)]
        await world.settle_down()
        await world.commit()
        answers = await asyncio.gather(*calls)
        assert len({answer.subject_id for answer in answers}) == 1
        assert sorted(answer.recorded.replayed for answer in answers) == [False] + [True] * 4
        assert len(world.entries) == 1

    play(scenario)


def test_the_same_jti_through_another_service_is_a_conflict(play, ed_key):
    async def scenario(world):
        await register(world, registration(ed_key))
        assert await refused(world, registration(ed_key, svc="tax-portal")) == "request_conflict"

    play(scenario)


def test_two_keys_make_two_subjects(play, ed_key, p256_key):
    async def scenario(world):
        first = await register(world, registration(ed_key))
        second = await register(world, registration(p256_key))
        assert first.subject_id != second.subject_id
        assert len(world.entries) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "other.example"}, "audience_mismatch"),
        ({"iat": NOW_S - 100, "exp": NOW_S - 40}, "request_expired"),
        ({"iat": NOW_S + 100, "exp": NOW_S + 140}, "request_from_the_future"),
        ({"svc": "nobody"}, "service_unknown"),
    ],
)
def test_a_registration_that_is_not_in_order_is_refused(play, ed_key, claims, code):
    async def scenario(world):
        assert await refused(world, registration(ed_key, **claims)) == code
        assert world.ledger.questions == []

    play(scenario)


def test_nobody_registers_a_key_without_its_private_half(play, ed_key):
    async def scenario(world):
        mine, other = registration(ed_key), registration(Ed25519Key(b"x" * 32))
        forged = mine.rpartition(b".")[0] + b"." + other.rpartition(b".")[2]
        assert await refused(world, forged) == "signature_invalid"

    play(scenario)


@pytest.mark.parametrize("jws", [b"", b"a.b.c", b"x" * 20_000])
def test_rubbish_registers_nobody(play, jws):
    async def scenario(world):
        assert await refused(world, jws) in {"jws_malformed", "request_too_large"}

    play(scenario)


def test_a_plain_request_registers_nobody(play, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key))
        assert await refused(world, jws) == "claim_invalid"

    play(scenario)


def test_where_registration_is_closed_only_services_may_register(play, ed_key):
    async def scenario(world):
        assert await refused(world, registration(ed_key)) == "registration_closed"
        jws = registration(ed_key, svc="tax-portal")
        registered = await register(world, jws, caller=PORTAL)
        assert registered.recorded.state is RequestState.COMMITTED

    play(scenario, open_registration=False)


def test_a_service_cannot_register_in_anothers_name(play, ed_key):
    async def scenario(world):
        jws = registration(ed_key, svc="tax-portal")
        assert await refused(world, jws, caller=CLINIC) == "claim_invalid"

    play(scenario)


def test_the_answer_waits_until_the_vault_can_lend_the_new_subjects_key(play, ed_key):
    async def scenario(world):
        answer, known = world.ledger.answer, asyncio.Event()

        async def ask(question, *, timeout_s):
            if isinstance(question, LeaseSubjects):
                await known.wait()
            return answer(question)

        world.ledger.ask = ask
        call = begin(world, registration(ed_key))
        await world.settle_down()
        await world.commit()
        assert not call.done()
        known.set()
        assert (await call).recorded.state is RequestState.COMMITTED

    play(scenario)


@pytest.mark.parametrize("trouble", ["silent", "forged"])
def test_a_subject_that_cannot_be_used_yet_is_pending_and_comes_good_later(play, ed_key, trouble):
    async def scenario(world):
        call = begin(world, registration(ed_key))
        await world.settle_down()
        if trouble == "silent":
            world.ledger.is_silent = True
        else:
            world.ledger.spoil = lambda answer: Leases(()) if isinstance(answer, Leases) else answer
        await world.commit()
        first = await call
        assert first.recorded.state is RequestState.PENDING
        world.ledger.is_silent, world.ledger.spoil = False, lambda answer: answer
        second = await register(world, registration(ed_key))
        assert second.recorded.state is RequestState.COMMITTED
        assert second.subject_id == first.subject_id
        assert len(world.entries) == 1

    play(scenario)


def test_without_a_slot_nothing_is_recorded_and_the_next_try_succeeds(play, ed_key):
    async def scenario(world):
        world.ledger.is_silent = True
        assert await refused(world, registration(ed_key)) == "vault_unavailable"
        world.ledger.is_silent = False
        registered = await register(world, registration(ed_key))
        assert registered.recorded.state is RequestState.COMMITTED

    play(scenario)


def test_a_vault_that_lends_slots_for_no_time_is_not_asked_for_ever(play, ed_key):
    async def scenario(world):
        world.ledger.ttl_ms = 0
        assert await refused(world, registration(ed_key)) == "vault_unavailable"
        assert [type(asked) for asked in world.ledger.questions].count(ReserveSlots) == 3

    play(scenario)


def test_registrations_of_one_moment_share_a_question_and_no_slot(play):
    async def scenario(world):
        keys = [Ed25519Key(bytes([n]) * 32) for n in range(20)]
        calls = [begin(world, registration(key)) for key in keys]
        await world.settle_down()
        await world.commit()
        answers = await asyncio.gather(*calls)
        assert len({answer.subject_id for answer in answers}) == 20
        slots = [world.ledger.subjects[answer.subject_id][1] for answer in answers]
        assert len(set(slots)) == 20
        asked = [q for q in world.ledger.questions if isinstance(q, ReserveSlots)]
        assert len(asked) <= 2

    play(scenario)


def test_a_slot_that_has_run_out_is_not_used(play, ed_key, p256_key):
    async def scenario(world):
        generous = world.ledger.answer

        def answer(question):
            if isinstance(question, ReserveSlots):
                return generous(ReserveSlots(question.count + 5))
            return generous(question)

        world.ledger.answer = answer
        await register(world, registration(ed_key))
        assert len(world.parts.slots) == 5
        world.clock.move(59.5)
        world.parts.slots.sweep(world.clock.monotonic_s())
        assert len(world.parts.slots) == 0

    play(scenario)


@pytest.mark.parametrize("home", [1, 2])
def test_a_registration_that_comes_through_two_validators_makes_one_subject(
    new_world, new_ledger, home
):
    """Whichever of the two is its own: a subject without a lease is known to nobody yet."""

    async def main():
        ledger = new_ledger()
        first, second = (new_world(ledger, number=n, validators=(1, 2)) for n in (1, 2))
        await first.fence()
        await second.fence()
        keys = (Ed25519Key(bytes([n]) * 32) for n in range(256))
        key = next(key for key in keys if ranked(key.public.kid, (1, 2))[0] == home)
        answers = [await register(world, registration(key)) for world in (first, second)]
        assert answers[0].subject_id == answers[1].subject_id
        assert answers[1].recorded.replayed
        assert answers[1].recorded.state is RequestState.COMMITTED
        asked = [q for q in ledger.questions if isinstance(q, LookUpRequest)]
        assert [q.subject_id for q in asked] == ["", ""]
        assert (len(first.entries), len(second.entries)) == (1, 0)

    asyncio.run(main())


def test_of_a_registration_that_two_validators_take_in_one_moment_both_name_its_one_subject(
    new_world, new_ledger, ed_key
):
    """Each has drawn an id; the one with the lower index counts, the other is nobody's."""

    async def main():
        worlds = [new_world(ledger := new_ledger(), number=1, validators=(1, 2))]
        worlds.append(new_world(ledger, number=2, validators=(1, 2)))
        for world in worlds:
            await world.fence()
        calls = [begin(world, registration(ed_key)) for world in worlds]
        for world in worlds:
            await world.settle_down()
        for world in worlds:
            await world.commit()
        won, lost = [await call for call in calls]
        assert [len(world.entries) for world in worlds] == [1, 1]
        assert lost.subject_id == won.subject_id in ledger.subjects
        assert lost.recorded.index == won.recorded.index
        assert (lost.recorded.state, lost.recorded.replayed) == (RequestState.COMMITTED, True)
        again = await register(worlds[1], registration(ed_key))
        assert again.subject_id == won.subject_id

    asyncio.run(main())


def test_a_caller_that_leaves_takes_nothing_with_it(play, ed_key):
    async def scenario(world):
        call = begin(world, registration(ed_key))
        await world.settle_down()
        call.cancel()
        await world.settle_down()
        await world.commit()
        registered = await register(world, registration(ed_key))
        assert registered.recorded.state is RequestState.COMMITTED
        assert registered.recorded.replayed
        assert len(world.entries) == 1

    play(scenario)


def test_a_caller_that_leaves_during_the_lease_does_not_block_the_subject(play, ed_key):
    async def scenario(world):
        answer, known = world.ledger.answer, asyncio.Event()

        async def ask(question, *, timeout_s):
            if isinstance(question, LeaseSubjects):
                await known.wait()
            return answer(question)

        world.ledger.ask = ask
        call = begin(world, registration(ed_key))
        await world.settle_down()
        await world.commit()
        subject = world.registrar._known._values[next(iter(world.registrar._known._values))]
        call.cancel()
        await world.settle_down()
        known.set()
        [number] = await world.submit(world.sign(ed_key, subject.subject_id))
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)


def test_a_vault_that_answers_a_slot_question_with_none_is_unavailable(play, ed_key):
    async def scenario(world):
        world.ledger.spoil = lambda answer: Slots((), 60_000)
        assert await refused(world, registration(ed_key)) == "vault_unavailable"

    play(scenario)


def test_a_registration_that_could_not_be_remembered_is_not_recorded(play, ed_key):
    async def scenario(world):
        # given a registrar that remembers one registration, and has one to remember
        world.registrar = Registrar(world.parts, admission=world.admission, registrations_max=1)
        await register(world, registration(ed_key))
        # when another one comes, also again
        other = registration(Ed25519Key(b"o" * 32))
        for _ in range(2):
            assert await refused(world, other) == "overloaded"
        # then nothing was recorded, and it is taken once there is room
        assert len(world.entries) == 1
        world.registrar.sweep(NOW_S + 1_000)
        registered = await register(world, other)
        assert registered.recorded.state is RequestState.COMMITTED

    play(scenario)


def test_the_lease_of_a_new_subject_is_kept_by_its_first_validator_only(new_world, new_ledger):
    async def main():
        ledger = new_ledger()
        world = new_world(ledger, number=1, validators=(1, 2))
        await world.fence()
        for seed in range(20):
            registered = await register(world, registration(Ed25519Key(bytes([seed]) * 32)))
            is_home = ranked(registered.subject_id, (1, 2))[0] == 1
            now_s = world.clock.monotonic_s()
            assert (world.book.live(registered.subject_id, now_s) is not None) == is_home
        asked = [q for q in ledger.questions if isinstance(q, LeaseSubjects)]
        assert len(asked) == 20
        assert all(question.is_registering for question in asked)

    asyncio.run(main())
