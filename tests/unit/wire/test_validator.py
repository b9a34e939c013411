"""Messages of the validator's door: what one end writes the other reads, and garbage is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.access import PrivateRecord
from heptad.model.answers import (
    BundleRecorded,
    PendingRequest,
    Recorded,
    Registered,
    RequestState,
    SubmitItem,
    ValidatorStatus,
    Wait,
)
from heptad.model.bundles import PrivateEvent
from heptad.model.entry import Kind, Outcome
from heptad.model.problems import PROBLEMS, Problem
from heptad.wire.convert import validator as wire
from heptad.wire.validator.v1 import validator_pb2 as pb

U64 = st.integers(0, 2**64 - 1)
RECORDED = st.builds(
    Recorded,
    request_id=st.binary(min_size=32, max_size=32),
    state=st.sampled_from(RequestState),
    index=U64,
    outcome=st.sampled_from(Outcome),
    denied_code=st.sampled_from(["", "service_unknown"]),
    time_ms=U64,
    replayed=st.booleans(),
)
TRACE = st.just(b"") | st.binary(min_size=24, max_size=24)
ITEM = st.builds(SubmitItem, U64, st.binary(max_size=50), st.sampled_from(Wait), TRACE)
DECODERS = [
    wire.decode_submit,
    wire.decode_submitted,
    wire.decode_items,
    wire.decode_outcomes,
    wire.decode_bundle,
    wire.decode_bundle_recorded,
    wire.decode_register,
    wire.decode_registered,
    wire.decode_statement,
    wire.decode_stated,
    wire.decode_private,
    wire.decode_private_recorded,
    wire.decode_pending_call,
    wire.decode_pending,
    wire.decode_status,
]


@given(st.binary(max_size=50), st.sampled_from(Wait))
def test_a_request_is_read_as_it_was_written(jws, wait):
    assert wire.decode_submit(wire.encode_submit(jws, wait)) == SubmitItem(0, jws, wait)


EVENT = st.builds(
    PrivateEvent,
    subject=st.text(max_size=9),
    action=st.text(max_size=9),
    outcome=st.sampled_from(Outcome),
    time_ms=st.integers(0, 2**64 - 1),
    witness=st.binary(max_size=40),
    payload=st.binary(max_size=9),
)


@given(st.binary(max_size=50), st.lists(EVENT, max_size=4), st.sampled_from(Wait))
def test_a_bundle_is_read_as_it_was_written(statement, events, wait):
    encoded = wire.encode_bundle(statement, events, wait)
    assert wire.decode_bundle(encoded) == (statement, events, wait)


def test_an_outcome_that_nobody_knows_is_none_that_an_event_may_have():
    message = pb.SubmitBundleRequest(events=[pb.BundleEvent(outcome=9)]).SerializeToString()
    [event] = wire.decode_bundle(message)[1]
    assert event.outcome is Outcome.NONE


@given(RECORDED, st.integers(0, 999))
def test_what_was_recorded_of_a_bundle_is_read_as_it_was_written(recorded, count):
    answer = BundleRecorded(recorded, count)
    assert wire.decode_bundle_recorded(wire.encode_bundle_recorded(answer)) == answer


def test_a_wait_that_nobody_has_chosen_is_for_the_commit():
    message = pb.SubmitRequest(jws=b"x").SerializeToString()
    assert wire.decode_submit(message).wait is Wait.COMMITTED


@given(st.lists(ITEM, max_size=20, unique_by=lambda item: item.id))
def test_items_are_read_as_they_were_written(items):
    assert wire.decode_items(wire.encode_items(items)) == items


def test_a_trace_of_another_length_or_of_an_item_that_is_not_there_is_none():
    message = pb.SubmitStreamRequest()
    message.items.add(id=1, jws=b"a")
    for number, trace in ((1, b"short"), (1, b"x" * 25), (2, b"x" * 24)):
        message.traced.add(id=number, trace_context=trace)
    assert wire.decode_items(message.SerializeToString()) == [SubmitItem(1, b"a", Wait.COMMITTED)]


def test_what_is_not_traced_costs_the_message_no_byte():
    item = SubmitItem(1, b"a", Wait.COMMITTED)
    plain, traced = wire.encode_items([item]), wire.encode_items([item._replace(trace=b"x" * 24)])
    assert traced.startswith(plain)
    assert len(traced) == len(plain) + 30


@given(RECORDED)
def test_what_was_recorded_is_read_as_it_was_written(recorded):
    assert wire.decode_submitted(wire.encode_submitted(recorded)) == recorded
    registered = Registered("kn-a", "k" * 43, recorded)
    assert wire.decode_registered(wire.encode_registered(registered)) == registered


@given(st.lists(st.tuples(U64, RECORDED), max_size=20))
def test_answers_in_a_stream_are_read_as_they_were_written(answers):
    writer = wire.OutcomeWriter()
    for number, recorded in answers:
        fields = {name: getattr(recorded, name) for name in Recorded.__slots__}
        writer.add_recorded(number, **fields)
    assert writer.count == len(answers)
    outcomes = wire.decode_outcomes(writer.take())
    assert [(outcome.id, outcome.result) for outcome in outcomes] == answers
    assert (writer.count, writer.take()) == (0, b"")


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_refusal_keeps_its_code_field_and_waiting_time(code):
    writer = wire.OutcomeWriter()
    writer.add_refusal(7, Problem(code, "why", field="iss", retry_after_s=3))
    writer.add_refusal(8, Problem(code, "why"))
    first, second = wire.decode_outcomes(writer.take())
    read = first.result
    assert (first.id, read.code, read.detail) == (7, code, "why")
    assert (read.field, read.retry_after_s) == ("iss", 3)
    assert (second.result.field, second.result.retry_after_s) == ("", None)


def test_a_code_of_a_newer_version_is_an_internal_error_and_not_a_crash():
    outcome = pb.SubmitOutcome(id=1, refusal=pb.Refusal(code="brand_new", detail="d"))
    message = pb.SubmitStreamResponse(outcomes=[outcome]).SerializeToString()
    [read] = wire.decode_outcomes(message)
    assert read.result.code == "internal_error"


@pytest.mark.parametrize(
    "outcome",
    [
        pb.SubmitOutcome(id=1),
        pb.SubmitOutcome(id=1, recorded=pb.Recorded()),
        pb.SubmitOutcome(id=1, recorded=pb.Recorded(state=99)),
        pb.SubmitOutcome(id=1, recorded=pb.Recorded(state=2, outcome=99)),
    ],
)
def test_an_answer_that_says_nothing_known_is_malformed(outcome):
    message = pb.SubmitStreamResponse(outcomes=[outcome]).SerializeToString()
    with pytest.raises(Problem, match="frame_malformed"):
        wire.decode_outcomes(message)


def test_the_small_messages_are_read_as_they_were_written():
    assert wire.decode_register(wire.encode_register(b"jws")) == b"jws"
    statement = (Kind.DUPLICATE, b"said")
    assert wire.decode_statement(wire.encode_statement(*statement)) == statement
    assert wire.decode_stated(wire.encode_stated(2**63)) == 2**63
    private = PrivateRecord(Kind.ACCESS, "subject.export", "kn-a", b"jws")
    assert wire.decode_private(wire.encode_private(private)) == private
    assert wire.decode_private_recorded(wire.encode_private_recorded(7)) == 7
    assert wire.decode_pending_call(wire.encode_pending_call(b"i" * 32)) == b"i" * 32
    pending = PendingRequest(RequestState.PENDING, 4, 9)
    assert wire.decode_pending(wire.encode_pending(pending)) == pending
    status = ValidatorStatus(1, 2, 3, 4, 5, True, 7, clock_off_ms=-8)
    assert wire.decode_status(wire.encode_status(status)) == status
    stuck = Problem("quorum_unavailable", "nothing was committed for 9 s", retry_after_s=1)
    heard = wire.decode_status(wire.encode_status(replace(status, trouble=stuck))).trouble
    assert (heard.code, heard.detail, heard.retry_after_s) == (stuck.code, stuck.detail, 1)
    assert wire.encode_status_call() == b""


def test_a_private_record_of_an_unknown_kind_is_named():
    message = pb.RecordPrivateRequest(kind=99).SerializeToString()
    with pytest.raises(Problem, match="parameter_invalid"):
        wire.decode_private(message)


def test_a_statement_of_an_unknown_kind_is_named():
    message = pb.RecordStatementRequest(kind=99).SerializeToString()
    with pytest.raises(Problem, match="parameter_invalid"):
        wire.decode_statement(message)


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused_by_a_code_of_the_table(decode, data):
    try:
        decode(data)
    except Problem as problem:
        assert problem.code in {"frame_malformed", "parameter_invalid"}  # noqa: PT017  or none
