"""What is traced of a request on its way into a batch, and that nothing else is."""

import pytest
from spans import Traced, context
from unit.validator.admission.bundle_calls import event, sign

from heptad.model.answers import Wait
from heptad.model.problems import Problem
from heptad.observability.traces import unpack_contexts
from heptad.runtime.identity import Identity, Role
from heptad.wire.streams import TRACES_MAX, decode_from_validator
from heptad_validator import tracing
from heptad_validator.bundles import BundleCall
from heptad_validator.tracing import RequestTraces

TRACE = context(7)


def outstanding_frame(world):
    return decode_from_validator(list(world.submission._outstanding.values())[-1].frame)


def parents(traced):
    names = {span.context.span_id: span.name for span in traced.spans}
    return {span.name: names.get(span.parent.span_id) for span in traced.spans if span.parent}


def test_a_traced_request_leaves_a_span_for_each_part_of_its_way(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject), trace=TRACE)
        frame = outstanding_frame(world)
        await world.commit()
        assert parents(world.traced) == {
            "validator.request": None,
            "validator.admission": "validator.request",
            "validator.lease": "validator.request",
            "validator.seal": "validator.request",
            "validator.gather": "validator.request",
            "validator.batch": "validator.request",
        }
        # and replicas are told under which span of it their own shall lie
        [batch] = world.traced.named("validator.batch")
        [told] = unpack_contexts(frame.traces)
        assert told.trace_id == TRACE[:16]
        assert told.span_id == batch.context.span_id.to_bytes(8, "big")
        assert batch.attributes["heptad.records"] == 1
        assert len(world.traces) == 0

    play(scenario)


def test_what_is_not_traced_leaves_no_span_and_its_batch_carries_no_context(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        assert outstanding_frame(world).traces == b""
        await world.commit()
        assert world.traced.spans == ()

    play(scenario)


def test_a_refusal_ends_the_trace_with_its_code_and_nothing_of_the_request(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject, aud="elsewhere.example")
        await world.submit(jws, trace=TRACE)
        [whole] = world.traced.named("validator.request")
        assert dict(whole.attributes) == {"heptad.code": "audience_mismatch"}
        assert len(world.traces) == 0

    play(scenario)


def test_a_retry_is_traced_as_one(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.submit(jws)
        await world.submit(jws, trace=TRACE)
        [whole] = world.traced.named("validator.request")
        assert dict(whole.attributes) == {"heptad.replayed": True}

    play(scenario)


def test_a_bundle_is_traced_like_a_request(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        bundle = sign(world, event(subject))
        call = BundleCall(bundle, b"key", Wait.ADMITTED, TRACE)
        gateway = Identity("cell.example", Role.GATEWAY, "gateway-1")
        with world.traces.following(TRACE):
            await world.bundles.submit(call, caller=gateway, patience_s=9.0)
        await world.settle_down()
        await world.commit()
        assert parents(world.traced) == {
            "validator.request": None,
            "validator.admission": "validator.request",
            "validator.lease": "validator.request",
            "validator.seal": "validator.request",
            "validator.gather": "validator.request",
            "validator.batch": "validator.request",
        }

    play(scenario)


def test_each_phase_begins_when_the_one_before_it_ends():
    traced = Traced()
    traces = RequestTraces(traced.tracer, now_ns=traced.now_ns)
    traces.begin(TRACE)
    traces.enter(TRACE, "validator.lease")
    traces.enter(TRACE, "validator.lease")
    traces.enter(TRACE, "validator.seal")
    traces.settled(traces.sent([TRACE]), {})
    phases = {span.name: span for span in traced.spans}
    assert phases["validator.admission"].end_time == phases["validator.lease"].start_time == 1
    assert phases["validator.lease"].end_time == phases["validator.seal"].start_time == 2
    assert phases["validator.seal"].end_time == phases["validator.batch"].start_time == 3


def test_what_a_call_raises_ends_its_trace_with_the_code():
    traced = Traced()
    traces = RequestTraces(traced.tracer)
    with pytest.raises(Problem), traces.following(TRACE):
        raise Problem("draining", "about to stop")
    [whole] = traced.named("validator.request")
    assert dict(whole.attributes) == {"heptad.code": "draining"}
    assert len(traces) == 0


def test_one_batch_in_so_many_begins_a_trace_of_its_own(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        for _ in range(5):
            await world.submit(world.sign(ed_key, subject))
            await world.commit()
        # the fence is the first batch of six
        assert world.traced.names == ["validator.batch"] * 2
        assert [span.parent for span in world.traced.spans] == [None, None]

    play(scenario, trace_one_in=3)


def test_a_batch_names_at_most_four_of_its_traces():
    traced = Traced()
    traces = RequestTraces(traced.tracer)
    contexts = [context(number) for number in range(1, 7)]
    for each in contexts:
        traces.begin(each)
    batch = traces.sent(contexts)
    assert len(list(unpack_contexts(batch.packed))) == TRACES_MAX
    traces.settled(batch, {"heptad.records": 6})
    assert len(traced.named("validator.batch")) == len(traced.named("validator.request")) == 6


def test_a_context_that_comes_twice_is_traced_once():
    traced = Traced()
    traces = RequestTraces(traced.tracer)
    traces.begin(TRACE)
    traces.begin(TRACE)
    batch = traces.sent([TRACE, TRACE])
    assert len(list(unpack_contexts(batch.packed))) == 1


@pytest.mark.parametrize("rubbish", [b"", b"x" * 23, bytes(24)])
def test_what_is_no_context_traces_nothing(rubbish):
    traces = RequestTraces(Traced().tracer)
    traces.begin(rubbish)
    assert len(traces) == 0


def test_of_too_many_traced_requests_the_oldest_are_given_up(monkeypatch):
    monkeypatch.setattr(tracing, "OPEN_MAX", 3)
    traced = Traced()
    traces = RequestTraces(traced.tracer)
    for number in range(1, 6):
        traces.begin(context(number))
    assert len(traces) == 3
    assert traces.sent([context(1), context(2)]) is None
    assert len(traces.sent([context(5)]).spans) == 1


def test_beyond_the_budget_of_a_second_nothing_is_traced():
    traces = RequestTraces(Traced(per_s=2).tracer)
    for number in range(1, 6):
        traces.begin(context(number))
    assert len(traces) == 2
