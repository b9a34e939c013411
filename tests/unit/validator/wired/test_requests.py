"""Requests through real gRPC and mutual TLS, to the log and back."""

from heptad.model.answers import RequestState
from heptad.model.problems import Problem


def test_a_request_comes_through(wire_up, submit, any_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subject = wired.subject(any_key)
        recorded = await submit(wired.channel(), wired.sign(any_key, subject))
        assert recorded.state is RequestState.COMMITTED
        assert wired.entries[0].service == "tax-portal"

    wire_up(scenario)


def test_many_requests_in_one_stream_are_each_recorded_once(wire_up, submit_many, any_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subjects = [wired.subject(any_key) for _ in range(3)]
        jwss = [wired.sign(any_key, subjects[n % 3]) for n in range(300)]
        answers = await submit_many(wired.channel(), jwss + jwss[:50] + [b"rubbish"])
        assert [a.state for a in answers[:350]] == [RequestState.COMMITTED] * 350
        assert len({answer.index for answer in answers[:300]}) == 300
        assert [a.index for a in answers[300:350]] == [a.index for a in answers[:50]]
        assert isinstance(answers[350], Problem)
        assert len(wired.entries) == 300

    wire_up(scenario)
