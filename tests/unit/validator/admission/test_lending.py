"""Leases in the life of a request: waiting for them, living on them, losing them."""

import asyncio
from dataclasses import replace

import pytest

from heptad.model.answers import RequestState
from heptad.model.lending import Leases, LeaseSubjects
from heptad.model.problems import Problem


def lease_questions(world):
    return [asked for asked in world.ledger.questions if isinstance(asked, LeaseSubjects)]


def test_requests_of_one_moment_share_one_question(play, ed_key, p256_key):
    async def scenario(world):
        one, other = world.subject(ed_key), world.subject(p256_key)
        await world.submit(
            *(world.sign(ed_key, one) for _ in range(5)),
            *(world.sign(p256_key, other) for _ in range(5)),
        )
        assert [set(asked.subject_ids) for asked in lease_questions(world)] == [{one, other}]
        await world.commit()
        assert len(world.entries) == 10

    play(scenario)


def test_requests_that_wait_for_a_lease_keep_their_order(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        numbers = await world.submit(*(world.sign(ed_key, subject) for _ in range(20)))
        await world.commit()
        indexes = [world.answers.of(number).index for number in numbers]
        assert indexes == sorted(indexes)

    play(scenario)


def test_a_live_lease_carries_on_while_the_ledger_is_away(play, ed_key, p256_key):
    async def scenario(world):
        leased, other = world.subject(ed_key), world.subject(p256_key)
        await world.submit(world.sign(ed_key, leased))
        await world.commit()
        world.ledger.is_connected = False
        world.clock.move(50)
        [number] = await world.submit(world.sign(ed_key, leased))
        assert await world.refused(world.sign(p256_key, other)) == "vault_unavailable"
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)


def test_when_the_lease_has_run_out_the_request_is_refused_with_a_time_to_wait(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        world.ledger.is_connected = False
        world.clock.move(59)
        [number] = await world.submit(world.sign(ed_key, subject))
        answer = world.answers.of(number)
        assert (answer.code, answer.retry_after_s) == ("vault_unavailable", 1)
        assert world.outstanding() == []

    play(scenario)


def test_an_active_subjects_lease_is_renewed_before_it_ends(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        for _ in range(8):
            await world.submit(world.sign(ed_key, subject))
            await world.commit()
            world.clock.move(20)
        assert len(lease_questions(world)) == 4
        assert len(world.entries) == 8

    play(scenario)


def test_a_revoked_lease_seals_nothing_more(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        world.book.revoke(subject, world.clock.monotonic_s())
        del world.ledger.subjects[subject]
        assert await world.refused(world.sign(ed_key, subject)) == "key_unknown"
        assert world.outstanding() == []

    play(scenario)


def test_a_lease_revoked_while_signatures_are_verified_seals_nothing(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        verifier = world.admission._verifier

        class Slow:
            def verify(self, checks):
                world.book.revoke(subject, world.clock.monotonic_s())
                world.ledger.is_connected = False
                return verifier.verify(checks)

        world.admission._verifier = Slow()
        assert await world.refused(world.sign(ed_key, subject)) == "vault_unavailable"
        assert world.outstanding() == []

    play(scenario)


def test_a_lease_that_ran_out_while_signatures_were_verified_seals_nothing(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        verifier = world.admission._verifier

        class Slow:
            def verify(self, checks):
                world.clock.move(60)
                world.ledger.is_connected = False
                return verifier.verify(checks)

        world.admission._verifier = Slow()
        assert await world.refused(world.sign(ed_key, subject)) == "vault_unavailable"
        assert world.outstanding() == []

    play(scenario)


def test_a_push_is_not_overtaken_by_the_answer_before_it(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)

        def revoke_after(answer):
            if isinstance(answer, Leases):
                world.book.revoke(subject, world.clock.monotonic_s())
            return answer

        world.ledger.spoil = revoke_after
        assert await world.refused(world.sign(ed_key, subject)) == "vault_unavailable"
        assert len(world.book) == 0

    play(scenario)


@pytest.mark.parametrize(
    "lie",
    [
        lambda lease, _: replace(lease, keys=()),
        lambda lease, _: replace(lease, subject_id="kn-" + "b" * 26),
        lambda lease, _: replace(lease, keys=(replace(lease.keys[0], proof=b""),)),
        lambda lease, world: replace(
            lease, keys=(world.ledger.evidence(lease.subject_id, cosigners=4),)
        ),
    ],
)
def test_a_lease_whose_evidence_does_not_hold_is_no_lease_and_raises_an_alarm(play, ed_key, lie):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.spoil = lambda answer: Leases(
            tuple(lie(lease, world) for lease in answer.leases)
        )
        assert await world.refused(world.sign(ed_key, subject)) == "vault_unavailable"
        assert [line["event"] for line in world.lines] == ["key_evidence_refused"]
        assert len(world.book) == 0

    play(scenario)


def test_an_answer_to_another_question_is_none(play, ed_key):
    async def scenario(world):
        world.ledger.spoil = lambda _: Leases(())
        subject = world.subject(ed_key)
        assert await world.refused(world.sign(ed_key, subject)) == "vault_unavailable"

    play(scenario)


def test_one_subjects_refusal_is_not_its_neighbours(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        unknown = "kn-" + "c" * 26
        first, second = await world.submit(world.sign(ed_key, unknown), world.sign(ed_key, subject))
        await world.commit()
        assert world.answers.of(first).code == "key_unknown"
        assert world.answers.of(second).state is RequestState.COMMITTED

    play(scenario)


def test_a_vault_that_does_not_answer_is_waited_for_and_not_for_ever(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        silence = asyncio.Event()

        async def ask(question, *, timeout_s):
            await silence.wait()

        world.ledger.ask = ask
        [number] = await world.submit(world.sign(ed_key, subject))
        world.clock.move(2.4)
        world.admission.tick(world.clock.monotonic_s())
        assert world.answers.given == []
        world.clock.move(0.2)
        world.admission.tick(world.clock.monotonic_s())
        assert world.answers.of(number).code == "vault_unavailable"
        assert world.admission.waiting == 0

    play(scenario)


def test_who_waits_a_second_time_has_its_whole_time_again(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        answer, silence = world.ledger.answer, asyncio.Event()

        async def ask(question, *, timeout_s):
            await silence.wait()
            return answer(question)

        world.ledger.ask = ask
        await world.submit(world.sign(ed_key, subject))
        silence.set()
        await world.settle_down()
        await world.commit()
        silence.clear()
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(2.0)
        [number] = await world.submit(world.sign(ed_key, subject))
        world.clock.move(1.0)
        world.admission.tick(world.clock.monotonic_s())
        assert [n for n, _ in world.answers.given if n == number] == []
        world.clock.move(1.6)
        world.admission.tick(world.clock.monotonic_s())
        assert world.answers.of(number).code == "vault_unavailable"

    play(scenario)


def test_only_so_many_requests_wait_for_leases(play, ed_key):
    async def scenario(world):
        subjects = [world.subject(ed_key) for _ in range(4)]
        numbers = await world.submit(*(world.sign(ed_key, subject) for subject in subjects))
        await world.commit()
        refused = [n for n in numbers if isinstance(world.answers.of(n), Problem)]
        assert refused == numbers[3:]
        assert world.answers.of(refused[0]).code == "vault_unavailable"

    play(scenario, lease_waits_max=3)


def test_a_ttl_beyond_the_cells_limit_is_cut(play, ed_key):
    async def scenario(world):
        world.ledger.ttl_ms = 4_000_000_000
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        lease = world.book.live(subject, world.clock.monotonic_s())
        assert lease.expires_at_s <= world.clock.monotonic_s() + 59.0

    play(scenario)


def test_a_cell_may_lend_for_less_than_a_minute(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        lease = world.book.live(subject, world.clock.monotonic_s())
        assert lease.expires_at_s == world.clock.monotonic_s() + 9.0

    play(scenario, lease_s_max=10.0)


def test_time_spent_on_the_way_is_not_added_to_a_lease(play, ed_key):
    """The vault's clock starts at the latest when it answers; ours starts with the question."""

    async def scenario(world):
        subject = world.subject(ed_key)
        asked_at_s = world.clock.monotonic_s()

        def slow(answer):
            world.clock.move(10)
            return answer

        world.ledger.spoil = slow
        await world.submit(world.sign(ed_key, subject))
        lease = world.book.live(subject, world.clock.monotonic_s())
        assert lease.expires_at_s == asked_at_s + 59.0

    play(scenario)
