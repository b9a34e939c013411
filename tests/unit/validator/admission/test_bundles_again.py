"""Bundles that come again, come together, have to wait, or are garbage."""

import asyncio
import dataclasses
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.validator.admission.bundle_calls import (
    event,
    recorded,
    refusal,
    sign,
    submit,
)

from heptad.crypto.bundles import parse_statement, sign_statement
from heptad.model.answers import RequestState, Wait
from heptad.model.entry import Kind
from heptad.model.lending import LeaseSubjects


def test_the_same_bundle_again_is_recorded_once(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        first = await recorded(world, bundle)
        size = len(world.ledger.entries)
        again = await recorded(world, bundle)
        world.clock.move(5)
        anew = dataclasses.replace(bundle, statement=_signed_anew(world, bundle))
        later = await recorded(world, anew)
        for answer in (again, later):
            assert answer.recorded == dataclasses.replace(first.recorded, replayed=True)
            assert answer.count == first.count
        assert len(world.ledger.entries) == size

    play(scenario)


def _signed_anew(world, bundle):
    statement = parse_statement(bundle.statement)
    return sign_statement(
        world.service_key, iss=statement.iss, aud=statement.aud, jti=statement.jti,
        iat=statement.iat + 5, exp=statement.exp + 5, root=statement.root, count=statement.count,
    )  # fmt: skip


def test_another_bundle_of_the_same_jti_is_refused(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, sign(world, event(subject)))
        problem = await refusal(world, sign(world, event(subject, 2)))
        assert problem.code == "request_conflict"

    play(scenario)


def test_copies_that_come_together_are_recorded_once(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        tasks = [submit(world, bundle) for _ in range(3)]
        await world.settle_down()
        await world.commit()
        answers = [await task for task in tasks]
        assert len({answer.recorded.index for answer in answers}) == 1
        assert sorted(answer.recorded.replayed for answer in answers) == [False, True, True]
        assert [entry.kind for entry in world.entries].count(Kind.BUNDLE) == 1

    play(scenario)


def test_a_bundle_that_another_validator_recorded_is_found_in_the_log(play, new_world, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        bundle = sign(world, event(subject))
        first = await recorded(world, bundle)
        other = new_world(world.ledger)
        await other.fence()
        size = len(world.ledger.entries)

        again = await recorded(other, bundle)
        conflict = await refusal(other, sign(other, event(subject, 2)))

        assert again.recorded.index == first.recorded.index
        assert again.recorded.replayed
        assert conflict.code == "request_conflict"
        assert len(world.ledger.entries) == size

    play(scenario)


def test_the_same_bytes_within_a_second_are_not_judged_again(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        await recorded(world, bundle)
        questions = len(world.ledger.questions)
        world.bundles._judged = None  # whoever judged it again would break
        again = await recorded(world, bundle)
        assert again.recorded.replayed
        assert len(world.ledger.questions) == questions

    play(scenario)


def test_a_service_has_a_limit_of_events(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, sign(world, *(event(subject, n) for n in range(6))))
        second = sign(world, *(event(subject, n) for n in range(5)), jti=str(uuid.UUID(int=8)))
        problem = await refusal(world, second)
        assert problem.code == "service_rate_limited"
        assert problem.retry_after_s == 6
        world.clock.move(7)
        assert (await recorded(world, second)).count == 5

    play(scenario, events_per_minute=10)


def test_a_bundle_of_many_subjects_asks_the_vault_in_few_questions(play, ed_key):
    async def scenario(world):
        subjects = [world.subject(ed_key) for _ in range(90)]
        await recorded(world, sign(world, *(event(name, n) for n, name in enumerate(subjects))))
        asked = [q for q in world.ledger.questions if isinstance(q, LeaseSubjects)]
        assert [len(question.subject_ids) for question in asked] == [90]

    play(scenario)


def test_without_a_vault_a_bundle_is_told_to_come_again(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        world.ledger.is_connected = False
        problem = await refusal(world, bundle)
        assert (problem.code, problem.kind.retry) == ("vault_unavailable", True)

    play(scenario)


def test_a_lease_that_ran_out_while_others_came_seals_nothing(play, ed_key):
    async def scenario(world):
        ann, bob = world.subject(ed_key), world.subject(ed_key)
        await recorded(world, sign(world, event(ann), jti=str(uuid.UUID(int=9))))

        def late(answer):
            if hasattr(answer, "leases"):
                world.book.revoke(ann, world.clock.mono_s)
            return answer

        world.ledger.spoil = late
        problem = await refusal(world, sign(world, event(ann), event(bob, 2)))
        assert problem.code == "vault_unavailable"

    play(scenario)


def test_requests_that_wait_for_a_lease_are_served_by_the_one_that_a_bundle_brings(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        task = submit(world, sign(world, event(subject)))
        await asyncio.sleep(0)
        [number] = await world.submit(world.sign(ed_key, subject))
        await world.commit()
        await task
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)


def test_a_bundle_without_a_commit_is_pending_and_settles_later(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        task = submit(world, bundle)
        await world.settle_down()
        pending = await task
        assert pending.recorded.state is RequestState.PENDING
        await world.commit()
        again = await recorded(world, bundle)
        assert again.recorded.state is RequestState.COMMITTED

    play(scenario, commit_wait_s=0.0)


def test_who_does_not_want_to_wait_is_told_at_once(play, ed_key):
    async def scenario(world):
        answer = await submit(world, sign(world, event(world.subject(ed_key))), wait=Wait.ADMITTED)
        assert answer.recorded.state is RequestState.PENDING

    play(scenario)


def test_a_draining_validator_takes_no_bundle(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        world.admission.drain()
        assert (await refusal(world, bundle)).code == "draining"

    play(scenario)


def test_refusals_are_counted_by_their_code(play, ed_key):
    async def scenario(world):
        await refusal(world, sign(world, event(world.subject(ed_key)), aud="other.example"))
        await recorded(world, sign(world, event(world.subject(ed_key))))
        assert world.admission.tally.refused == {"audience_mismatch": 1}
        assert world.admission.tally.events == 1

    play(scenario)


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_bad_bundles_change_nothing(play, ed_key, data):
    """One bit of one field flipped: refused with a code of the table, and nothing is recorded."""

    async def scenario(world):
        subject = world.subject(ed_key)
        good = sign(world, event(subject), event(subject, 2))
        bundle = _flipped(good, data)
        if bundle == good:
            return
        problem = await refusal(world, bundle)
        assert problem.code not in ("internal_error", "overloaded")

    play(scenario)


def _flipped(bundle, data):
    at = data.draw(st.integers(0, 1))
    name = data.draw(
        st.sampled_from(["statement", "subject", "action", "time_ms", "witness", "payload"])
    )
    if name == "statement":
        return dataclasses.replace(bundle, statement=_flip(bundle.statement, data))
    old = getattr(bundle.events[at], name)
    if isinstance(old, int):
        new = old ^ (1 << data.draw(st.integers(0, 41)))
    elif isinstance(old, str):
        new = _flip(old.encode(), data).decode("latin-1")
    else:
        new = _flip(old, data)
    events = list(bundle.events)
    events[at] = dataclasses.replace(events[at], **{name: new})
    return dataclasses.replace(bundle, events=tuple(events))


def _flip(old: bytes, data) -> bytes:
    bit = data.draw(st.integers(0, 8 * len(old) - 1))
    new = bytearray(old)
    new[bit // 8] ^= 1 << (bit % 8)
    return bytes(new)
