"""How answers reach their callers: each once, many together, never without bound."""

import asyncio

import pytest

from heptad.model.problems import Problem
from heptad.wire.convert.validator import decode_outcomes
from heptad_validator.sinks import ManyAnswers, OneAnswer, wait_for_commit
from heptad_validator.tickets import Ticket


def ticket():
    return Ticket(request_id=b"r" * 32, claims_digest=bytes(32), exp_s=9, time_ms=5)


def test_answers_of_one_moment_travel_in_one_message():
    async def main():
        sink = ManyAnswers(in_flight_max=10)
        sink.announce(3)
        sink.recorded(1, ticket(), replayed=False)
        sink.refused(2, Problem("overloaded", "full", field="f", retry_after_s=3))
        [message] = await sink.take()
        one, two = decode_outcomes(message)
        assert (one.id, one.result) == (1, ticket().as_recorded(replayed=False))
        assert (two.id, two.result.code, two.result.retry_after_s) == (2, "overloaded", 3)
        assert sink.in_flight == 1

    asyncio.run(main())


def test_a_message_holds_no_more_than_a_thousand_answers():
    async def main():
        sink = ManyAnswers(in_flight_max=10_000)
        sink.announce(2_500)
        for number in range(2_500):
            sink.recorded(number, ticket(), replayed=False)
        messages = [decode_outcomes(message) for message in await sink.take()]
        assert [len(message) for message in messages] == [1_000, 1_000, 500]
        assert [outcome.id for message in messages for outcome in message] == list(range(2_500))

    asyncio.run(main())


def test_who_does_not_read_its_answers_is_read_from_no_more():
    async def main():
        sink = ManyAnswers(in_flight_max=2)
        sink.announce(2)
        room = asyncio.ensure_future(sink.room())
        sink.recorded(1, ticket(), replayed=False)
        sink.recorded(2, ticket(), replayed=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not room.done()
        await sink.take()
        await room

    asyncio.run(main())


def test_a_closed_sink_ends_after_its_last_answer():
    async def main():
        sink = ManyAnswers(in_flight_max=2)
        sink.announce(1)
        sink.close()
        taking = asyncio.ensure_future(sink.take())
        await asyncio.sleep(0)
        assert not taking.done()
        sink.recorded(1, ticket(), replayed=False)
        assert len(await taking) == 1
        assert await sink.take() == []

    asyncio.run(main())


def test_one_answer_is_the_first_and_none_without_one_in_time():
    async def main():
        sink = OneAnswer()
        assert await sink.answer(timeout_s=0) is None
        sink.recorded(0, ticket(), replayed=True)
        sink.refused(0, Problem("overloaded", "too late"))
        assert (await sink.answer(timeout_s=1)).replayed
        refused = OneAnswer()
        refused.refused(0, Problem("overloaded", "full"))
        with pytest.raises(Problem, match="overloaded"):
            await refused.answer(timeout_s=1)

    asyncio.run(main())


def test_who_waits_for_a_commit_goes_on_at_the_commit():
    async def main():
        request = ticket()
        waiting = asyncio.ensure_future(wait_for_commit(request, timeout_s=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        request.settle(4)
        await waiting
        await wait_for_commit(request, timeout_s=60)

    asyncio.run(main())
