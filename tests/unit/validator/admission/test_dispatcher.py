"""Batches between admission and commit: the fence, back-pressure, lies, and who is told what."""

import asyncio
from dataclasses import replace

import pytest

from heptad.model.answers import RequestState, SubmitItem, Wait
from heptad.model.problems import Problem
from heptad.wire.streams import CommittedFrame, RefusedFrame, StandingFrame
from heptad_validator.dispatching.dispatcher import StaleIncarnationError

REPLICAS = tuple(f"replica-{n}" for n in range(1, 8))


def events(world):
    return [line["event"] for line in world.lines]


# The fence.


def test_the_first_batch_of_a_life_is_empty_and_nothing_is_admitted_before_it_is_committed(
    new_world, new_ledger, ed_key
):
    async def main():
        world = new_world(new_ledger())
        subject = world.subject(ed_key)
        assert await world.refused(world.sign(ed_key, subject)) == "quorum_unavailable"
        world.dispatcher.begin(world.links)
        assert await world.refused(world.sign(ed_key, subject)) == "quorum_unavailable"
        [fence] = world.outstanding()
        assert (fence.header.sequence, fence.header.count) == (0, 0)
        await world.commit()
        assert world.dispatcher.fence.first_index == len(world.ledger.entries)
        [number] = await world.submit(world.sign(ed_key, subject))
        [batch] = await world.commit()
        assert batch.header.sequence == 1
        assert world.answers.of(number).state is RequestState.COMMITTED

    asyncio.run(main())


def test_a_request_of_the_moment_in_which_the_fence_lifts_is_looked_up(
    new_world, new_ledger, ed_key
):
    """A restarted validator must know of its former life before it lets anything in."""

    async def main():
        # given a request that a former life has recorded
        world = new_world(new_ledger())
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.fence()
        [number] = await world.submit(jws)
        await world.commit()
        index = world.answers.of(number).index
        # when it comes again in the turn in which the next life's fence is reported
        again = new_world(world.ledger)
        again.dispatcher.on_fenced = lambda fence: again.parts.look_ups.follow_former_life(
            skew_s_max=0, start_s=again.clock.wall_ms // 1000, fence_index=fence.first_index
        )
        again.dispatcher.begin(again.links)
        await again.desk.obtain(subject, wait_ms=0)
        [fence] = again.outstanding()
        row = again.row(fence, first_index=again.ledger.apply(fence))
        for replica in REPLICAS[:3]:
            again.dispatcher.received(replica, CommittedFrame((row,)))
        await again.admission.submit((SubmitItem(1, jws, Wait.COMMITTED),), again.answers)
        await again.settle_down()
        # then it is answered as what it is
        assert again.outstanding() == []
        assert (again.answers.of(1).index, again.answers.of(1).replayed) == (index, True)

    asyncio.run(main())


def test_two_notices_do_not_lift_the_fence(new_world, new_ledger):
    async def main():
        world = new_world(new_ledger())
        world.dispatcher.begin(world.links)
        [fence] = world.outstanding()
        for replica in REPLICAS[:2]:
            world.dispatcher.received(replica, CommittedFrame((world.row(fence, first_index=0),)))
        assert world.dispatcher.fence is None
        waiting = asyncio.ensure_future(world.dispatcher.fenced())
        await world.settle_down()
        assert not waiting.done()
        world.dispatcher.received("replica-3", CommittedFrame((world.row(fence, first_index=0),)))
        await world.settle_down()
        assert waiting.result() is world.dispatcher.fence

    asyncio.run(main())


def test_a_former_life_shows_in_what_replicas_know(new_world, new_ledger):
    async def main():
        world = new_world(new_ledger())
        world.dispatcher.begin(world.links)
        world.dispatcher.received("replica-1", StandingFrame(False, 0, 0))
        world.dispatcher.received("replica-1", StandingFrame(True, 7, 4))
        assert not world.dispatcher.knows_former_life
        world.dispatcher.received("replica-2", StandingFrame(True, 6, 4))
        assert world.dispatcher.knows_former_life

    asyncio.run(main())


# Answers.


def test_f_notices_answer_nobody(play, ed_key):
    async def scenario(world):
        [number] = await world.submit(world.sign(ed_key, world.subject(ed_key)))
        [batch] = world.outstanding()
        row = world.row(batch, first_index=5)
        for replica in REPLICAS[:2]:
            world.dispatcher.received(replica, CommittedFrame((row,)))
        assert world.answers.given == []
        world.dispatcher.received(REPLICAS[4], CommittedFrame((row,)))
        assert world.answers.of(number).index == 5

    play(scenario)


def test_liars_cannot_give_a_request_a_wrong_index(play, ed_key):
    async def scenario(world):
        numbers = await world.submit(*(world.sign(ed_key, s) for s in [world.subject(ed_key)] * 3))
        [batch] = world.outstanding()
        lie = world.row(batch, first_index=999)
        for replica in REPLICAS[:2]:
            world.dispatcher.received(replica, CommittedFrame((lie,)))
        await world.commit(replicas=7)
        first = len(world.ledger.entries) - 3
        assert [world.answers.of(n).index for n in numbers] == [first, first + 1, first + 2]
        assert events(world) == ["commit_notice_contradicts"] * 2

    play(scenario)


def test_a_notice_about_bytes_that_we_never_sent_is_an_alarm_and_settles_nothing(play, ed_key):
    async def scenario(world):
        await world.submit(world.sign(ed_key, world.subject(ed_key)))
        [batch] = world.outstanding()
        row = replace(world.row(batch, first_index=5), digest=b"x" * 32)
        for replica in REPLICAS:
            world.dispatcher.received(replica, CommittedFrame((row,)))
        assert world.answers.given == []
        assert events(world) == ["commit_notice_contradicts"] * 7

    play(scenario)


def test_a_batch_that_is_committed_twice_by_word_is_answered_once(play, ed_key):
    async def scenario(world):
        [number] = await world.submit(world.sign(ed_key, world.subject(ed_key)))
        [batch] = await world.commit(replicas=7)
        row = world.row(batch, first_index=77)
        for replica in REPLICAS:
            world.dispatcher.received(replica, CommittedFrame((row,)))
        assert world.answers.of(number).index == len(world.ledger.entries) - 1

    play(scenario)


def test_after_five_seconds_the_answer_is_pending_and_the_commit_still_settles_it(play, ed_key):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key))
        [number] = await world.submit(jws)
        world.clock.move(4.9)
        world.admission.tick(world.clock.monotonic_s())
        assert world.answers.given == []
        world.clock.move(0.2)
        world.admission.tick(world.clock.monotonic_s())
        pending = world.answers.of(number)
        assert (pending.state, pending.index) == (RequestState.PENDING, 0)
        await world.commit()
        assert world.answers.of(number) is pending
        assert world.window.find(pending.request_id).state is RequestState.COMMITTED
        [again] = await world.submit(jws)
        assert world.answers.of(again).state is RequestState.COMMITTED

    play(scenario)


# Sending again.


def test_what_is_not_committed_goes_out_again_as_the_same_bytes_and_is_recorded_once(play, ed_key):
    async def scenario(world):
        [number] = await world.submit(world.sign(ed_key, world.subject(ed_key)))
        before = world.submission.frame_from(0)
        for link in world.links:
            link.told.clear()
        world.clock.move(2.0)
        world.dispatcher.tick()
        assert [link.told for link in world.links] == [[("rewind", before[0])]] * 7
        assert world.submission.frame_from(0) == before
        await world.commit()
        world.clock.move(10)
        world.dispatcher.tick()
        assert world.submission.frame_from(0) is None
        assert len(world.entries) == 1
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)


def test_a_replica_without_room_is_left_alone_for_a_while(play, ed_key):
    async def scenario(world):
        await world.submit(world.sign(ed_key, world.subject(ed_key)))
        [batch] = world.outstanding()
        number = batch.header.sequence
        world.links[3].told.clear()
        world.dispatcher.received("replica-4", RefusedFrame(7, number, "overloaded"))
        assert world.links[3].told == [("pause", number)]
        assert events(world) == []
        world.dispatcher.received("replica-4", RefusedFrame(6, number, "overloaded"))
        assert world.links[3].told == [("pause", number)]

    play(scenario)


def test_a_refusal_that_should_not_be_is_logged(play, ed_key):
    async def scenario(world):
        await world.submit(world.sign(ed_key, world.subject(ed_key)))
        world.dispatcher.received("replica-4", RefusedFrame(7, 1, "batch_invalid"))
        assert events(world) == ["batch_refused"]
        await world.commit()
        assert len(world.entries) == 1

    play(scenario)


# A name that another process has taken.


@pytest.mark.parametrize(
    "frame", [RefusedFrame(7, 1, "incarnation_stale"), StandingFrame(True, 8, 0)]
)
def test_f_replicas_cannot_stop_a_validator_and_one_more_can(play, frame):
    async def scenario(world):
        for _ in range(3):
            for replica in REPLICAS[:2]:
                world.dispatcher.received(replica, frame)
        with pytest.raises(StaleIncarnationError, match="another process"):
            world.dispatcher.received("replica-7", frame)

    play(scenario)


# Bounds.


def test_only_so_many_batches_are_outstanding_and_the_rest_goes_out_as_room_comes(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(*(world.sign(ed_key, subject) for _ in range(10)))
        assert [batch.header.count for batch in world.outstanding()] == [2, 2, 2]
        assert world.dispatcher.records_pending == 10
        await world.commit()
        assert len(world.entries) == 10
        assert world.dispatcher.records_pending == 0

    play(scenario, records_max=2, batches_outstanding_max=3)


def test_beyond_its_bound_a_validator_is_overloaded_and_loses_nothing(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        numbers = await world.submit(*(world.sign(ed_key, subject) for _ in range(8)))
        answer = world.answers.of(numbers[5])
        assert (answer.code, answer.retry_after_s) == ("overloaded", 1)
        assert await world.refused(world.sign(ed_key, subject)) == "overloaded"
        await world.commit()
        recorded = [n for n in numbers if not isinstance(world.answers.of(n), Problem)]
        assert recorded == numbers[:5]
        await world.submit(world.sign(ed_key, subject))
        await world.commit()
        assert len(world.entries) == 6

    play(scenario, records_pending_max=5)


def test_while_nothing_commits_new_requests_are_told_so(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        world.clock.move(5.1)
        late = world.sign(ed_key, subject)
        [number] = await world.submit(late)
        answer = world.answers.of(number)
        assert (answer.code, answer.retry_after_s) == ("quorum_unavailable", 1)
        await world.commit()
        [number] = await world.submit(late)
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)


def test_while_nothing_commits_who_sends_again_what_was_admitted_hears_that_it_is_pending(
    play, ed_key
):
    """A refusal says that nothing was recorded, which of this request would be a lie."""

    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.submit(jws)
        world.clock.move(7.0)
        assert await world.refused(world.sign(ed_key, subject)) == "quorum_unavailable"
        [again] = await world.submit(jws)
        [at_once] = await world.submit(jws, wait=Wait.ADMITTED)
        answer = world.answers.of(at_once)
        assert (answer.state, answer.replayed) == (RequestState.PENDING, True)
        world.clock.move(5.1)
        world.admission.tick(world.clock.monotonic_s())
        answer = world.answers.of(again)
        assert (answer.state, answer.replayed) == (RequestState.PENDING, True)
        await world.commit()
        assert len(world.entries) == 1

    play(scenario)


def test_with_too_few_replicas_new_requests_are_refused_at_once_and_pending_ones_are_not(
    play, ed_key
):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.submit(jws)
        world.dispatcher.shortage = lambda: "4 of 7 replicas are up, 5 are needed"
        assert await world.refused(world.sign(ed_key, subject)) == "quorum_unavailable"
        assert world.admission.trouble().detail == "4 of 7 replicas are up, 5 are needed"
        [again] = await world.submit(jws, wait=Wait.ADMITTED)
        assert world.answers.of(again).state is RequestState.PENDING

    play(scenario)


def test_with_too_few_replicas_no_key_of_another_validators_subject_is_borrowed(play, ed_key):
    """The loan would have its own validator look all its requests up, for nothing."""

    async def scenario(world):
        subject = world.subject(ed_key, home=2)
        jws = world.sign(ed_key, subject)
        [admitted] = await world.submit(jws, wait=Wait.ADMITTED)
        assert world.answers.of(admitted).state is RequestState.PENDING
        world.dispatcher.shortage = lambda: "4 of 7 replicas are up, 5 are needed"
        stranger = world.subject(ed_key, home=2)
        asked = len(world.ledger.questions)
        assert await world.refused(world.sign(ed_key, stranger)) == "vault_unavailable"
        assert len(world.ledger.questions) == asked
        # What was let in is never refused, not even once the key that proved it has run out.
        world.clock.move(61.0)
        world.book.sweep(world.clock.monotonic_s())
        [again] = await world.submit(jws, wait=Wait.ADMITTED)
        assert world.answers.of(again).state is RequestState.PENDING

    play(scenario, validators=(1, 2))


def test_a_validator_says_what_a_new_request_would_be_refused_with(play, ed_key):
    async def scenario(world):
        assert world.admission.trouble() is None
        await world.submit(world.sign(ed_key, world.subject(ed_key)))
        world.clock.move(7.0)
        assert world.admission.trouble().code == "quorum_unavailable"
        await world.commit()
        assert world.admission.trouble() is None
        world.admission.drain()
        assert world.admission.trouble().code == "draining"

    play(scenario)


def test_a_draining_validator_takes_nothing_new_and_finishes_what_it_has(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        [number] = await world.submit(world.sign(ed_key, subject))
        world.admission.drain()
        assert await world.refused(world.sign(ed_key, subject)) == "draining"
        drained = asyncio.ensure_future(world.dispatcher.drained())
        await world.settle_down()
        assert not drained.done()
        await world.commit()
        assert drained.done()
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario)
