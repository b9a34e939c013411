"""Replicas and vault that fail, lie, go and come back; a validator that restarts."""

import asyncio
from dataclasses import replace

import pytest

from heptad.model.answers import RequestState, Wait
from heptad.model.lending import LookUpRequest, Revoked
from heptad.model.problems import Problem
from heptad.wire.streams import CommittedFrame, RefusedFrame
from heptad_validator.dispatching.dispatcher import StaleIncarnationError
from heptad_validator.dispatching.incarnation import IncarnationFault


def test_two_liars_and_two_dead_replicas_change_no_answer(wire_up, submit_many, ed_key):
    async def scenario(wired):
        for liar in wired.replicas[:2]:
            liar.answer = lambda row: CommittedFrame((replace(row, first_index=4_000),))
        await wired.start(replicas=5)
        await wired.run_validator()
        subject = wired.subject(ed_key)
        first = len(wired.ledger.entries)
        jwss = [wired.sign(ed_key, subject) for _ in range(20)]
        answers = await submit_many(wired.channel(), jwss)
        assert sorted(answer.index for answer in answers) == list(range(first, first + 20))

    wire_up(scenario)


def test_a_batch_nobody_has_confirmed_is_sent_again_as_the_same_bytes(
    wire_up, submit, until, ed_key
):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        subject = wired.subject(ed_key)
        for replica in wired.replicas:
            replica.is_mute = True
        pending = asyncio.ensure_future(
            submit(wired.channel(), wired.sign(ed_key, subject), timeout_s=20)
        )
        await until(lambda: wired.has_everywhere(1))
        sent = wired.replicas[0].received[-1]
        for replica in wired.replicas:
            await replica.stop()
            replica.is_mute = False
            replica.received.clear()
        for replica in wired.replicas:
            await replica.start()
        assert (await pending).state is RequestState.COMMITTED
        received = [batch for replica in wired.replicas for batch in replica.received]
        assert len(received) >= 3
        assert set(received) == {sent}
        assert len(wired.entries) == 1

    wire_up(scenario)


def test_a_replica_that_was_full_gets_the_batch_after_a_pause(wire_up, submit, until, ed_key):
    async def scenario(wired):
        await wired.start(replicas=3)
        await wired.run_validator()
        for full in wired.replicas[:3]:
            full.answer = lambda row: RefusedFrame(row.incarnation, row.sequence, "overloaded")
        subject = wired.subject(ed_key)
        pending = asyncio.ensure_future(submit(wired.channel(), wired.sign(ed_key, subject)))
        await until(lambda: wired.has_everywhere(1, replicas=3))
        for full in wired.replicas[:3]:
            full.answer = lambda row: CommittedFrame((row,))
        assert (await pending).state is RequestState.COMMITTED
        assert len(wired.entries) == 1

    wire_up(scenario)


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"\x11short", b"\x12" + bytes(16)])
def test_a_replica_that_sends_garbage_is_left_and_dialled_again(
    wire_up, submit, until, ed_key, garbage
):
    async def scenario(wired):
        evil = wired.replicas[0]
        await wired.start()
        running = await wired.run_validator()
        link = running.service._validator.links[0]

        async def serve(stream, caller):
            await stream.write(garbage)

        await evil.stop()
        evil._serve = serve
        await evil.start()
        subject = wired.subject(ed_key)
        recorded = await submit(wired.channel(), wired.sign(ed_key, subject))
        assert recorded.state is RequestState.COMMITTED
        await until(lambda: link.frames_malformed)

    wire_up(scenario)


def test_a_restarted_validator_fences_and_answers_for_its_former_life(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        first = await wired.run_validator()
        subject = wired.subject(ed_key)
        jws, channel = wired.sign(ed_key, subject), wired.channel()
        recorded = await submit(channel, jws)
        incarnation = first.service.status().incarnation
        await first.stop()
        wired.validators.remove(first)
        second = await wired.run_validator()
        assert second.service.status().incarnation > incarnation
        assert (second.service.status().incarnation, 0) in wired.group.rows
        repeated = await submit(channel, jws)
        assert (repeated.index, repeated.replayed) == (recorded.index, True)
        asked = [q for q in wired.ledger.questions if isinstance(q, LookUpRequest)]
        assert [q.applied_size_min for q in asked] == [len(wired.ledger.entries)]
        another = await submit(channel, wired.sign(ed_key, subject))
        assert another.index == recorded.index + 1
        assert len(wired.entries) == 2

    wire_up(scenario)


def test_a_first_life_looks_nothing_up(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        await submit(wired.channel(), wired.sign(ed_key, wired.subject(ed_key)))
        assert not any(isinstance(asked, LookUpRequest) for asked in wired.ledger.questions)

    wire_up(scenario)


def test_a_life_that_died_before_its_fence_leaves_no_trace(wire_up, submit, until, ed_key):
    """The first life takes its number, and no replica ever hears of it."""

    async def scenario(wired):
        await wired.start(replicas=0)
        dying = asyncio.ensure_future(wired.run_validator())
        await until(lambda: wired.validators)
        first = wired.validators.pop()
        await until(lambda: hasattr(first, "service"))
        lost = first.service.status().incarnation
        dying.cancel()
        await first.stop()
        await wired.start(vault=False)
        second = await wired.run_validator()
        assert second.service.status().incarnation > lost
        subject = wired.subject(ed_key)
        await submit(wired.channel(), wired.sign(ed_key, subject))
        assert {incarnation for incarnation, _ in wired.group.rows} == {
            second.service.status().incarnation
        }

    wire_up(scenario)


def test_two_processes_never_share_a_validators_name(wire_up):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        with pytest.raises(IncarnationFault, match="in use"):
            await wired.run_validator()
        wired.validators.pop()

    wire_up(scenario)


def test_a_validator_whose_name_was_taken_elsewhere_stops_with_the_reason(wire_up, submit, ed_key):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject = wired.subject(ed_key)
        for replica in wired.replicas[:3]:
            replica.answer = lambda row: RefusedFrame(
                row.incarnation, row.sequence, "incarnation_stale"
            )
        await submit(wired.channel(), wired.sign(ed_key, subject), wait=Wait.ADMITTED)
        await asyncio.wait_for(running.context.tasks.failed.wait(), 10)
        assert isinstance(running.context.tasks.error, StaleIncarnationError)
        running.context.tasks._error = None

    wire_up(scenario)


# The vault.


def test_while_the_ledger_restarts_live_leases_go_on(wire_up, submit, until, refusal, any_key):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        known, unknown = wired.subject(any_key), wired.subject(any_key)
        channel = wired.channel()
        await submit(channel, wired.sign(any_key, known))
        await wired.vault.stop()
        await until(lambda: not running.service.status().vault_connected)
        recorded = await submit(channel, wired.sign(any_key, known))
        assert recorded.state is RequestState.COMMITTED
        async with refusal("vault_unavailable"):
            await submit(channel, wired.sign(any_key, unknown))
        await wired.vault.start()
        await until(lambda: running.service.status().vault_connected)
        recorded = await submit(channel, wired.sign(any_key, unknown))
        assert recorded.state is RequestState.COMMITTED
        assert len(wired.entries) == 3

    wire_up(scenario)


def test_a_question_that_is_under_way_when_the_stream_breaks_is_refused_with_a_time_to_wait(
    wire_up, submit, until, refusal, ed_key
):
    async def scenario(wired):
        await wired.start()
        await wired.run_validator()
        wired.ledger.is_silent = True
        subject = wired.subject(ed_key)
        asked = len(wired.ledger.questions)

        async def send():
            async with refusal("vault_unavailable"):
                await submit(wired.channel(), wired.sign(ed_key, subject))

        sending = asyncio.ensure_future(send())
        await until(lambda: len(wired.ledger.questions) > asked)
        await wired.vault.stop()
        await sending

    wire_up(scenario)


def test_a_pushed_revocation_ends_the_lease_at_once(wire_up, submit, until, refusal, ed_key):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject, channel = wired.subject(ed_key), wired.channel()
        await submit(channel, wired.sign(ed_key, subject))
        del wired.ledger.subjects[subject]
        await wired.vault.push(Revoked((subject,)))
        await until(lambda: running.service.status().leases == 0)
        async with refusal("key_unknown"):
            await submit(channel, wired.sign(ed_key, subject))
        assert len(wired.entries) == 1

    wire_up(scenario)


def test_garbage_from_the_vault_ends_its_stream_and_nothing_else(
    wire_up, submit, until, refusal, ed_key
):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject, channel = wired.subject(ed_key), wired.channel()
        await submit(channel, wired.sign(ed_key, subject))
        link = running.service._validator.vault
        await wired.vault.send(b"\xff" * 20)
        await until(lambda: link.answers_malformed == 1)
        await until(lambda: link.is_connected)
        assert (await submit(channel, wired.sign(ed_key, subject))).state is RequestState.COMMITTED

    wire_up(scenario)


def test_a_forging_ledger_gets_no_key_accepted(wire_up, submit, refusal, ed_key):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject = wired.subject(ed_key)
        honest = wired.ledger.evidence
        wired.ledger.evidence = lambda name: honest(name, cosigners=4)
        async with refusal("vault_unavailable"):
            await submit(wired.channel(), wired.sign(ed_key, subject))
        assert "key_evidence_refused" in [line["event"] for line in running.lines]
        assert wired.entries == []

    wire_up(scenario)


def test_no_secret_and_no_personal_word_reaches_the_log_file(wire_up, submit_many, ed_key):
    async def scenario(wired):
        await wired.start()
        running = await wired.run_validator()
        subject = wired.subject(ed_key)
        jwss = [
            wired.sign(ed_key, subject, data={"name": "Jane"}),
            wired.sign(ed_key, subject, aud="other.example"),
            wired.sign(ed_key, subject, svc="jane-doe"),
            b"rubbish",
        ]
        answers = await submit_many(wired.channel(), jwss)
        assert isinstance(answers[1], Problem)
        running.service._validator.heartbeat.sweep()
        text = repr(running.lines)
        assert "unauthenticated_refused" in text
        for word in (subject, ed_key.public.kid, "Jane", "jane-doe", "rubbish"):
            assert word not in text

    wire_up(scenario)
