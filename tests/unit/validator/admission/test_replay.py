"""The same request, however it comes again, is in the log once (docs/spec/mesh.md, "Replay")."""

import asyncio
import uuid

import pytest

from heptad.model.answers import RequestState, Wait
from heptad.model.lending import LentElsewhere, LookUpRequest
from heptad.model.problems import Problem
from heptad_validator.lending import look_ups as look_ups_module

JTI = str(uuid.UUID(int=77))
NOW_S = 1_760_000_000


def look_ups(world):
    return [asked for asked in world.ledger.questions if isinstance(asked, LookUpRequest)]


def test_the_same_bytes_again_get_the_stored_result(play, any_key):
    async def scenario(world):
        jws = world.sign(any_key, world.subject(any_key))
        [first] = await world.submit(jws)
        await world.commit()
        world.clock.move(10)
        [second] = await world.submit(jws)
        original, repeated = world.answers.of(first), world.answers.of(second)
        assert (original.replayed, repeated.replayed) == (False, True)
        assert repeated.index == original.index
        assert repeated.time_ms == original.time_ms
        assert world.outstanding() == []

    play(scenario)


def test_a_retry_that_was_signed_anew_is_the_same_request(play, any_key):
    async def scenario(world):
        subject = world.subject(any_key)
        [first] = await world.submit(world.sign(any_key, subject, jti=JTI))
        await world.commit()
        world.clock.move(20)
        [second] = await world.submit(world.sign(any_key, subject, jti=JTI))
        assert world.answers.of(second).index == world.answers.of(first).index
        assert world.answers.of(second).replayed
        assert world.outstanding() == []

    play(scenario)


@pytest.mark.parametrize(
    "other", [{"act": "consent.grant"}, {"data": {"n": 2}}, {"svc": "elsewhere"}]
)
def test_the_same_jti_with_other_claims_is_a_conflict(play, ed_key, other):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject, jti=JTI))
        assert await world.refused(world.sign(ed_key, subject, jti=JTI, **other)) == (
            "request_conflict"
        )
        await world.commit()
        assert await world.refused(world.sign(ed_key, subject, jti=JTI, **other)) == (
            "request_conflict"
        )
        assert len(world.entries) == 1

    play(scenario)


def test_two_subjects_may_use_the_same_jti(play, ed_key, p256_key):
    async def scenario(world):
        one, two = world.subject(ed_key), world.subject(p256_key)
        await world.submit(world.sign(ed_key, one, jti=JTI), world.sign(p256_key, two, jti=JTI))
        await world.commit()
        assert len(world.entries) == 2

    play(scenario)


def test_copies_in_one_message_make_one_record(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject, jti=JTI)
        numbers = await world.submit(jws, jws, world.sign(ed_key, subject, jti=JTI, exp=NOW_S + 9))
        await world.commit()
        answers = [world.answers.of(number) for number in numbers]
        assert len({answer.index for answer in answers}) == 1
        assert [answer.replayed for answer in answers] == [False, True, True]
        assert len(world.entries) == 1

    play(scenario)


def test_a_copy_that_comes_while_the_first_is_under_way_gets_its_result(play, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key))
        [first] = await world.submit(jws)
        world.clock.move(3)
        [second] = await world.submit(jws)
        assert world.answers.given == []
        await world.commit()
        assert world.answers.of(first).index == world.answers.of(second).index
        assert world.answers.of(second).replayed

    play(scenario)


def test_a_request_is_remembered_for_as_long_as_it_could_be_fresh(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject, iat=NOW_S, exp=NOW_S + 60)
        await world.submit(jws)
        await world.commit()
        world.clock.move(90)
        world.window.sweep(world.clock.now_ms() // 1000)
        [late] = await world.submit(jws)
        assert world.answers.of(late).replayed
        world.clock.move(31)
        world.window.sweep(world.clock.now_ms() // 1000)
        assert len(world.window) == 0
        assert await world.refused(jws) == "request_expired"

    play(scenario)


def test_a_full_window_admits_nothing_that_it_could_not_remember(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(*(world.sign(ed_key, subject) for _ in range(3)))
        assert await world.refused(world.sign(ed_key, subject)) == "overloaded"
        await world.commit()
        assert len(world.entries) == 3

    play(scenario, replay_entries_max=3)


def test_the_same_bytes_within_a_second_cost_no_second_verification(play, ed_key):
    async def scenario(world):
        calls = []
        verifier = world.admission._verifier
        world.admission._verifier = Counting(verifier, calls)
        jws = world.sign(ed_key, world.subject(ed_key))
        await world.submit(jws)
        await world.commit()
        await world.submit(jws, jws)
        assert sum(calls) == 1
        world.clock.move(2.5)
        for _ in range(2):
            world.parts.recent.sweep(world.clock.monotonic_s())
            world.clock.move(1.5)
        await world.submit(jws)
        assert sum(calls) == 2
        assert len(world.entries) == 1

    play(scenario)


class Counting:
    def __init__(self, verifier, calls):
        self.verifier, self.calls = verifier, calls

    def verify(self, checks):
        self.calls.append(len(checks))
        return self.verifier.verify(checks)


# Through the other validator.


def test_a_request_of_the_other_validators_subject_is_looked_up_first(play, ed_key):
    async def scenario(world):
        mine, theirs = world.subject(ed_key), world.subject(ed_key, home=2)
        await world.submit(world.sign(ed_key, mine))
        assert look_ups(world) == []
        await world.submit(world.sign(ed_key, theirs))
        assert [asked.subject_id for asked in look_ups(world)] == [theirs]
        await world.commit()
        assert len(world.entries) == 2

    play(scenario, validators=(1, 2))


def test_a_replay_through_the_other_validator_gets_the_stored_result(new_world, new_ledger, ed_key):
    async def main():
        ledger = new_ledger()
        first, second = (new_world(ledger, number=n, validators=(1, 2)) for n in (1, 2))
        await first.fence()
        await second.fence()
        subject = first.subject(ed_key, home=1)
        jws = first.sign(ed_key, subject, jti=JTI)
        [number] = await first.submit(jws)
        await first.commit()
        original = first.answers.of(number)
        [number] = await second.submit(jws)
        repeated = second.answers.of(number)
        assert (repeated.index, repeated.replayed) == (original.index, True)
        assert repeated.state is RequestState.COMMITTED
        assert repeated.outcome is original.outcome
        assert second.outstanding() == []
        conflict = first.sign(ed_key, subject, jti=JTI, act="consent.grant")
        assert await second.refused(conflict) == "request_conflict"
        assert second.outstanding() == []

    asyncio.run(main())


def test_while_the_ledger_cannot_be_asked_no_replay_is_admitted(play, ed_key):
    async def scenario(world):
        theirs = world.subject(ed_key, home=2)
        await world.submit(world.sign(ed_key, theirs, jti=JTI))
        await world.commit()
        world.ledger.is_silent = True
        assert await world.refused(world.sign(ed_key, theirs)) == "vault_unavailable"
        assert world.outstanding() == []

    play(scenario, validators=(1, 2))


def test_copies_during_a_look_up_share_it(play, ed_key):
    async def scenario(world):
        theirs = world.subject(ed_key, home=2)
        await world.submit(world.sign(ed_key, theirs))
        asked = len(look_ups(world))
        jws = world.sign(ed_key, theirs, jti=JTI)
        again = world.sign(ed_key, theirs, jti=JTI, exp=NOW_S + 10)
        other = world.sign(ed_key, theirs, jti=JTI, act="consent.grant")
        numbers = await world.submit(jws, again, other)
        await world.commit()
        answers = [world.answers.of(number) for number in numbers]
        assert answers[0].index == answers[1].index
        assert answers[2].code == "request_conflict"
        assert len(look_ups(world)) == asked + 1
        assert len(world.entries) == 2

    play(scenario, validators=(1, 2))


# Through the other validator first.


def lent_elsewhere(world, *subjects, look_up_ms=95_000):
    """The ledger says that another validator has these leases."""
    lent = LentElsewhere(subjects, look_up_ms)
    world.parts.look_ups.follow_others(lent, now_s=world.clock.now_ms() // 1000)


def test_a_replay_of_what_the_other_validator_admitted_first_gets_the_stored_result(
    new_world, new_ledger, ed_key
):
    async def main():
        ledger = new_ledger()
        first, second = (new_world(ledger, number=n, validators=(1, 2)) for n in (1, 2))
        await first.fence()
        await second.fence()
        subject = first.subject(ed_key, home=1)
        jws = first.sign(ed_key, subject, jti=JTI)
        lent_elsewhere(first, subject)
        [number] = await second.submit(jws)
        await second.commit()
        [again] = await first.submit(jws)
        repeated = first.answers.of(again)
        assert (repeated.index, repeated.replayed) == (second.answers.of(number).index, True)
        assert first.outstanding() == []

    asyncio.run(main())


def test_only_subjects_for_whom_others_work_are_looked_up_at_home(play, ed_key, p256_key):
    async def scenario(world):
        stray, other = world.subject(ed_key), world.subject(p256_key)
        lent_elsewhere(world, stray)
        await world.submit(world.sign(ed_key, stray), world.sign(p256_key, other))
        assert [asked.subject_id for asked in look_ups(world)] == [stray]

    play(scenario)


def test_what_is_signed_after_the_others_lease_is_not_looked_up(play, ed_key):
    async def scenario(world):
        stray = world.subject(ed_key)
        lent_elsewhere(world, stray, look_up_ms=95_000)
        world.clock.move(50)
        # what was said last and reaches less far takes nothing back
        lent_elsewhere(world, stray, look_up_ms=0)
        await world.submit(world.sign(ed_key, stray, iat=NOW_S + 50))
        assert len(look_ups(world)) == 1
        world.clock.move(50)
        await world.submit(world.sign(ed_key, stray, iat=NOW_S + 97, exp=NOW_S + 160))
        assert len(look_ups(world)) == 1

    play(scenario)


def test_where_others_may_work_for_anybody_all_is_looked_up(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        lent_elsewhere(world)
        await world.submit(world.sign(ed_key, subject))
        assert len(look_ups(world)) == 1

    play(scenario)


def test_beyond_the_limit_of_strays_everybody_counts_as_one(play, ed_key, monkeypatch):
    monkeypatch.setattr(look_ups_module, "STRAYS_MAX", 2)

    async def scenario(world):
        subject = world.subject(ed_key)
        lent_elsewhere(world, "kn-a", "kn-b")
        await world.submit(world.sign(ed_key, subject))
        assert look_ups(world) == []
        lent_elsewhere(world, "kn-c")
        await world.submit(world.sign(ed_key, subject))
        assert len(look_ups(world)) == 1

    play(scenario)


def test_a_stray_is_forgotten_once_none_of_its_requests_can_be_fresh(play, ed_key):
    async def scenario(world):
        strays = world.parts.look_ups._strays
        lent_elsewhere(world, world.subject(ed_key), look_up_ms=10_000)
        world.parts.look_ups.sweep(NOW_S + 11 + 330, fresh_s_max=330)
        assert len(strays) == 1
        world.parts.look_ups.sweep(NOW_S + 12 + 330, fresh_s_max=330)
        assert strays == {}

    play(scenario)


# After a restart.


def restarted(world, new_world):
    """The same validator's next life, over the same ledger."""
    life = new_world(world.ledger)
    life.parts.look_ups.follow_former_life(
        start_s=world.clock.now_ms() // 1000, skew_s_max=30, fence_index=len(world.ledger.entries)
    )
    return life


def test_a_restarted_validator_answers_what_its_former_life_recorded(play, new_world, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        [number] = await world.submit(jws)
        await world.commit()
        life = restarted(world, new_world)
        await life.fence()
        [again] = await life.submit(jws)
        assert life.answers.of(again).index == world.answers.of(number).index
        assert life.answers.of(again).replayed
        assert life.outstanding() == []

    play(scenario)


def test_the_look_up_waits_for_the_log_up_to_the_fence(play, new_world, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        life = restarted(world, new_world)
        await life.fence()
        await life.submit(world.sign(ed_key, subject))
        assert look_ups(life)[-1].applied_size_min == len(world.ledger.entries) > 0

    play(scenario)


def test_a_clock_that_runs_ahead_hides_no_replay_from_a_restarted_validator(
    play, new_world, ed_key
):
    """Signed with an `iat` 25 s ahead, admitted, then the validator restarts 5 s later."""

    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject, iat=NOW_S + 25, exp=NOW_S + 80)
        [number] = await world.submit(jws)
        await world.commit()
        world.clock.move(5)
        life = restarted(world, new_world)
        await life.fence()
        [again] = await life.submit(jws)
        assert life.answers.of(again).index == world.answers.of(number).index

    play(scenario)


def test_what_was_signed_long_after_the_restart_is_not_looked_up(play, new_world, ed_key):
    async def scenario(world):
        life = restarted(world, new_world)
        await life.fence()
        life.clock.move(40)
        await life.submit(life.sign(ed_key, life.subject(ed_key)))
        assert look_ups(life) == []
        await life.commit()
        assert len(life.entries) == 1

    play(scenario)


def test_a_request_that_is_denied_stays_denied_when_it_is_replayed(play, new_world, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key), act="record.access")
        [number] = await world.submit(jws)
        await world.commit()
        life = restarted(world, new_world)
        await life.fence()
        for replayed_by in (world, life):
            [again] = await replayed_by.submit(jws)
            answer = replayed_by.answers.of(again)
            assert answer.denied_code == "action_not_allowed"
            assert answer.index == world.answers.of(number).index

    play(scenario)


def test_a_ledger_that_sends_no_entry_is_not_believed(play, new_world, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key))
        await world.submit(jws)
        await world.commit()
        life = restarted(world, new_world)
        await life.fence()
        whole = life.ledger.answer

        def answer(question):
            found = whole(question)
            if isinstance(question, LookUpRequest):
                return type(found)(True, found.index, found.claims_digest, b"\xff", "")
            return found

        life.ledger.answer = answer
        assert await life.refused(jws) == "vault_unavailable"

    play(scenario)


def test_who_wants_no_commit_is_told_pending_and_never_twice(play, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key))
        [first] = await world.submit(jws, wait=Wait.ADMITTED)
        assert world.answers.of(first).state is RequestState.PENDING
        await world.commit()
        assert world.answers.of(first).state is RequestState.PENDING
        [second] = await world.submit(jws, wait=Wait.ADMITTED)
        assert world.answers.of(second).state is RequestState.COMMITTED
        assert not any(isinstance(answer, Problem) for _, answer in world.answers.given)

    play(scenario)
