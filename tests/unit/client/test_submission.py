"""Requests find their validator, fail over once it is gone, and are given up in time."""

import asyncio
import json

import pytest

from heptad.client.peek import issuer_of
from heptad.client.submission import Submitter
from heptad.model import base64url
from heptad.model.answers import RequestState, Wait
from heptad.model.problems import Problem
from heptad.model.routing import ranked

ISS = "kn-abcdefghijklmnopqrstuvwxyz"


def submitter(cell, **changes):
    options = {"coalesce_s": 0.002, "deadline_s": 10.0, "in_flight_max": 10_000}
    return Submitter(cell.channels, **{**options, **changes})


def first_of(iss, cell):
    return cell.validators[ranked(iss, tuple(cell.validators))[0]]


def second_of(iss, cell):
    return cell.validators[ranked(iss, tuple(cell.validators))[1]]


def test_a_request_goes_to_the_validator_that_hashing_puts_first(fake_cell):
    async def story():
        async with fake_cell(3) as cell, submitter(cell) as sent:
            await all_connected(sent)
            answers = [sent.submit(b"jws", iss=f"subject-{n}") for n in range(60)]
            await asyncio.gather(*answers)
            for number, validator in cell.validators.items():
                expected = [n for n in range(60) if ranked(f"subject-{n}", (1, 2, 3))[0] == number]
                assert len(validator.items) == len(expected) > 0

    asyncio.run(story())


async def all_connected(sent):
    while sent.troubles():  # noqa: ASYNC110  connections come up in gRPC, which tells nobody
        await asyncio.sleep(0.005)


def test_answers_are_matched_by_id_whatever_their_order(fake_cell, recorded):
    async def story():
        async with fake_cell(1) as cell, submitter(cell) as sent:
            cell.validators[1].answer = lambda item: recorded(int(item.jws))
            await all_connected(sent)
            answers = await asyncio.gather(*[sent.submit(b"%d" % n, iss=ISS) for n in range(300)])
            assert [answer.index for answer in answers] == list(range(300))
            assert sent.in_flight == 0

    asyncio.run(story())


def test_what_arrives_together_shares_a_message(fake_cell):
    async def story():
        async with fake_cell(1) as cell, submitter(cell, coalesce_s=0.05) as sent:
            await all_connected(sent)
            await asyncio.gather(*[sent.submit(b"x", iss=ISS) for _ in range(100)])
            assert len(cell.validators[1].messages) == 1

    asyncio.run(story())


def test_the_first_after_a_pause_goes_at_once_and_those_right_behind_share_the_next(fake_cell):
    async def story():
        async with fake_cell(1) as cell, submitter(cell, coalesce_s=0.1) as sent:
            await all_connected(sent)
            await sent.submit(b"first", iss=ISS)
            behind = []
            for _ in range(20):
                behind.append(sent.submit(b"behind", iss=ISS))
                await asyncio.sleep(0)
            await asyncio.gather(*behind)
            assert [len(message) for message in cell.validators[1].messages] == [1, 20]

    asyncio.run(story())


def test_a_message_keeps_the_limits_of_the_proto(fake_cell):
    async def story():
        async with fake_cell(1) as cell, submitter(cell) as sent:
            await all_connected(sent)
            small = [sent.submit(b"x", iss=ISS) for _ in range(1_500)]
            large = [sent.submit(bytes(16_384), iss=ISS) for _ in range(100)]
            await asyncio.gather(*small, *large)
            for message in cell.validators[1].messages:
                assert len(message) <= 1_000
                assert sum(len(item.jws) + 16 for item in message) <= 1 << 20

    asyncio.run(story())


def test_a_refusal_is_an_answer(fake_cell):
    async def story():
        async with fake_cell(1) as cell, submitter(cell) as sent:
            cell.validators[1].answer = lambda _: Problem("request_expired", "old", field="exp")
            await all_connected(sent)
            refusal = await sent.submit(b"x", iss=ISS)
            assert (refusal.code, refusal.field) == ("request_expired", "exp")

    asyncio.run(story())


def test_the_wait_is_passed_on(fake_cell, recorded):
    async def story():
        async with fake_cell(1) as cell, submitter(cell) as sent:
            await all_connected(sent)
            await sent.submit(b"x", iss=ISS, wait=Wait.ADMITTED)
            assert cell.validators[1].items[0].wait is Wait.ADMITTED

    asyncio.run(story())


def test_a_request_is_not_sent_again_while_its_stream_lives(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first_of(ISS, cell).answer = lambda _: None
            await all_connected(sent)
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: first_of(ISS, cell).items)
            # Then other traffic passes through both validators, and this one just waits.
            await asyncio.gather(
                *[
                    sent.submit(b"y", iss=f"s{n}")
                    for n in range(20)
                    if ranked(f"s{n}", (1, 2))[0] != ranked(ISS, (1, 2))[0]
                ]
            )
            assert not answer.done()
            assert b"x" not in [item.jws for item in second_of(ISS, cell).items]

    asyncio.run(story())


def test_a_broken_stream_hands_its_requests_to_the_next_validator(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            first.answer = lambda _: None
            await all_connected(sent)
            answers = [sent.submit(b"%d" % n, iss=ISS) for n in range(5)]
            await eventually(lambda: len(first.items) == 5)
            await first.stop()
            done = await asyncio.gather(*answers)
            assert all(answer.state is RequestState.COMMITTED for answer in done)
            assert sorted(item.jws for item in second.items) == [b"0", b"1", b"2", b"3", b"4"]

    asyncio.run(story())


def test_a_validator_that_is_about_to_stop_passes_its_requests_on(fake_cell):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: Problem("draining", "stopping")
            assert (await sent.submit(b"x", iss=ISS)).state is RequestState.COMMITTED
            assert [item.jws for item in second_of(ISS, cell).items] == [b"x"]
            second_of(ISS, cell).answer = lambda _: Problem("draining", "stopping")
            assert (await sent.submit(b"y", iss=ISS)).code == "validator_unavailable"
            assert sent.in_flight == 0

    asyncio.run(story())


def short(detail="nothing was committed for 6 s"):
    return Problem("quorum_unavailable", detail, retry_after_s=1)


def test_a_validator_that_is_cut_off_from_the_replicas_passes_its_requests_on(fake_cell):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short()
            assert (await sent.submit(b"x", iss=ISS)).state is RequestState.COMMITTED
            assert [item.jws for item in second_of(ISS, cell).items] == [b"x"]
            assert sent.in_flight == 0

    asyncio.run(story())


@pytest.mark.parametrize("second", ["quorum_unavailable", "vault_unavailable", "overloaded"])
def test_where_no_validator_can_record_it_the_first_ones_refusal_stands(fake_cell, second):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short("five are needed")
            second_of(ISS, cell).answer = lambda _: Problem(second, "five are needed")
            refusal = await sent.submit(b"x", iss=ISS)
            assert (refusal.code, refusal.detail) == ("quorum_unavailable", "five are needed")
            assert sent.in_flight == 0

    asyncio.run(story())


def test_what_the_next_validator_refuses_for_good_is_refused_for_good(fake_cell):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short()
            second_of(ISS, cell).answer = lambda _: Problem("request_expired", "old")
            assert (await sent.submit(b"x", iss=ISS)).code == "request_expired"

    asyncio.run(story())


def test_a_request_that_a_second_validator_may_hold_is_not_called_unrecorded(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            second = second_of(ISS, cell)
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short()
            second.answer = lambda _: None
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: second.items)
            await second.stop()
            assert (await answer).code == "validator_unavailable"

    asyncio.run(story())


@pytest.mark.parametrize("patience_s", [0.0, 60.0])
@pytest.mark.parametrize("code", ["quorum_unavailable", "vault_unavailable"])
def test_a_first_that_is_gone_may_have_recorded_it(fake_cell, eventually, code, patience_s):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=patience_s) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            await all_connected(sent)
            first.answer, second.answer = lambda _: None, lambda _: Problem(code, "not now")
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: first.items)
            await first.stop()
            assert (await answer).code == "validator_unavailable"
            assert [item.jws for item in second.items] == [b"x"]

    asyncio.run(story())


def test_where_the_whole_group_is_short_nobody_is_asked_about_anothers_requests(fake_cell):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            await all_connected(sent)
            first.answer = second.answer = lambda _: short()
            other = next(f"s{n}" for n in range(99) if first_of(f"s{n}", cell) is second)
            await sent.submit(b"of the second", iss=other)
            await sent.submit(b"of the first", iss=ISS)
            assert b"of the first" not in [item.jws for item in second.items]

    asyncio.run(story())


def test_a_validator_that_could_not_take_over_is_left_alone_for_a_while(fake_cell):
    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=0.0) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short()
            second_of(ISS, cell).answer = lambda _: Problem("vault_unavailable", "cannot ask")
            for jws in (b"1", b"2", b"3"):
                assert (await sent.submit(jws, iss=ISS)).code == "quorum_unavailable"
            assert [item.jws for item in second_of(ISS, cell).items] == [b"1"]

    asyncio.run(story())


def test_a_refusal_for_want_of_a_quorum_stands_at_first(fake_cell):
    """Where the whole group is short, another validator may only not have noticed yet."""

    async def story():
        async with fake_cell(2) as cell, submitter(cell, patience_s=60.0) as sent:
            await all_connected(sent)
            first_of(ISS, cell).answer = lambda _: short()
            assert (await sent.submit(b"x", iss=ISS)).code == "quorum_unavailable"
            assert not second_of(ISS, cell).items

    asyncio.run(story())


def test_a_validator_that_comes_back_gets_its_subjects_back(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first = first_of(ISS, cell)
            await all_connected(sent)
            await first.stop()
            await eventually(sent.troubles)
            await sent.submit(b"meanwhile", iss=ISS)
            assert [item.jws for item in second_of(ISS, cell).items] == [b"meanwhile"]
            await first.start()
            await eventually(lambda: not sent.troubles())
            await sent.submit(b"again", iss=ISS)
            assert [item.jws for item in first.items] == [b"again"]

    asyncio.run(story())


def test_with_no_validator_left_the_answer_says_so_at_once(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first_of(ISS, cell).answer = lambda _: None
            await all_connected(sent)
            under_way = sent.submit(b"x", iss=ISS)
            await second_of(ISS, cell).stop()
            await eventually(lambda: first_of(ISS, cell).items)
            await first_of(ISS, cell).stop()
            assert (await under_way).code == "validator_unavailable"
            assert (await sent.submit(b"y", iss=ISS)).code == "validator_unavailable"
            assert not sent.ready
            assert sorted(sent.troubles()) == [1, 2]

    asyncio.run(story())


def test_the_first_validator_that_is_reached_waits_a_moment_for_the_others(fake_cell):
    """Else the first requests of all subjects go to it, and half of them are at the wrong door."""

    async def story():
        async with fake_cell(3) as cell, submitter(cell) as sent:
            await sent.wait_ready(5.0)
            assert sent.troubles() == {}

    asyncio.run(story())


def test_nobody_to_reach_at_the_start_is_a_problem_with_reasons(fake_cell):
    async def story():
        async with fake_cell(1) as cell:
            await cell.validators[1].stop()
            async with submitter(cell) as sent:
                with pytest.raises(Problem, match="validator-1"):
                    await sent.wait_ready(0.05)

    asyncio.run(story())


def test_a_request_is_given_up_at_its_deadline_and_its_late_answer_is_dropped(
    fake_cell, recorded, eventually
):
    async def story():
        async with fake_cell(1) as cell, submitter(cell, silence_s=100.0) as sent:
            held = []
            cell.validators[1].answer = held.append
            await all_connected(sent)
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: held)
            now_s = asyncio.get_running_loop().time()
            sent.expire(now_s + 9.0)
            assert not answer.done()
            sent.expire(now_s + 10.1)
            assert (await answer).code == "deadline_exceeded"
            assert sent.in_flight == 0
            # When the same stream answers another request, nothing of the old one is left.
            cell.validators[1].answer = lambda item: recorded(item.id)
            assert (await sent.submit(b"y", iss=ISS)).state is RequestState.COMMITTED

    asyncio.run(story())


def test_a_validator_that_falls_silent_hands_its_requests_to_the_next(fake_cell, eventually):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            first.answer = lambda _: None
            await all_connected(sent)
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: first.items)
            now_s = asyncio.get_running_loop().time()
            sent.expire(now_s + 6.9)
            assert not second.items
            sent.expire(now_s + 7.1)
            assert (await answer).state is RequestState.COMMITTED
            assert [item.jws for item in second.items] == [b"x"]

    asyncio.run(story())


def test_a_validator_that_is_hung_counts_as_gone_until_it_speaks(fake_cell, eventually):
    """Its connection is alive, and takes new streams in its stead."""

    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            first.answer = lambda _: None
            await all_connected(sent)
            answer = sent.submit(b"x", iss=ISS)
            await eventually(lambda: first.items)
            first.is_hung, streams = True, first.streams
            sent.expire(asyncio.get_running_loop().time() + 7.1)
            assert (await answer).state is RequestState.COMMITTED
            # when a new stream has been opened on the old connection
            await eventually(lambda: first.streams > streams)
            assert (await sent.submit(b"y", iss=ISS)).state is RequestState.COMMITTED
            assert [item.jws for item in second.items] == [b"x", b"y"]

    asyncio.run(story())


def test_a_slow_validator_that_still_answers_is_not_given_up(fake_cell, eventually):
    """Its requests would be worked on twice, just when there is too much to do."""

    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first, second = first_of(ISS, cell), second_of(ISS, cell)
            first.answer = lambda item: None if item.jws == b"slow" else recorded_by(item)
            recorded_by = second.answer
            await all_connected(sent)
            slow = sent.submit(b"slow", iss=ISS)
            [ticket] = sent._open.values()
            ticket.placed_s -= 60
            await sent.submit(b"quick", iss=ISS)
            sent.expire(asyncio.get_running_loop().time() + 6.0)
            assert not slow.done()
            assert not second.items

    asyncio.run(story())


def test_only_so_many_may_be_under_way(fake_cell):
    async def story():
        async with fake_cell(1) as cell, submitter(cell, in_flight_max=3) as sent:
            cell.validators[1].answer = lambda _: None
            await all_connected(sent)
            for _ in range(3):
                sent.submit(b"x", iss=ISS)
            with pytest.raises(Problem, match="overloaded"):
                sent.submit(b"x", iss=ISS)
            assert sent.in_flight == 3

    asyncio.run(story())


def test_closing_answers_what_is_under_way(fake_cell):
    async def story():
        async with fake_cell(1) as cell:
            cell.validators[1].answer = lambda _: None
            async with submitter(cell) as sent:
                await all_connected(sent)
                answer = sent.submit(b"x", iss=ISS)
            assert (await answer).code in {"draining", "validator_unavailable"}

    asyncio.run(story())


def test_garbage_from_a_validator_closes_its_stream_and_nothing_else(fake_cell, monkeypatch):
    async def story():
        async with fake_cell(2) as cell, submitter(cell) as sent:
            first = first_of(ISS, cell)
            monkeypatch.setattr(
                "heptad.wire.convert.validator.OutcomeWriter.take", lambda _: b"\xff\xff"
            )
            await all_connected(sent)
            answer = sent.submit(b"x", iss=ISS)
            # Both send garbage, so in the end nobody answered; the client is alive and reconnects.
            assert (await answer).code == "validator_unavailable"
            monkeypatch.undo()
            await all_connected(sent)
            assert (await sent.submit(b"y", iss=ISS)).state is RequestState.COMMITTED
            assert first.streams >= 2

    asyncio.run(story())


def compact(payload: bytes) -> bytes:
    return b"aGVhZA." + base64url.encode_bytes(payload) + b".c2ln"


def test_the_issuer_is_read_and_nothing_else():
    assert issuer_of(compact(json.dumps({"iss": ISS, "data": {"iss": "other"}}).encode())) == ISS


@pytest.mark.parametrize(
    "jws",
    [
        b"",
        b".",
        b"..",
        b"no dots at all",
        compact(b"[]"),
        compact(b"{}"),
        compact(b'"text"'),
        compact(b"null"),
        compact(b'{"iss": 7}'),
        compact(b'{"iss": ["a"]}'),
        compact(b'{"iss": "\\ud800"}'),
        compact(b'{"iss": "\xc3\xa4"}'),
        compact(b"[" * 12_000),
        compact(b'{"iss": ' + b"9" * 5_000 + b"}"),
        compact(b"\xff\xfe"),
        b"a.b.c.d",
        "ä.ö.ü".encode(),
    ],
)
def test_what_cannot_be_read_is_routed_by_the_empty_name(jws):
    assert issuer_of(jws) == ""
