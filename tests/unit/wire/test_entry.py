"""Entries go through protobuf unchanged, and what no validator writes is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.bundles import PublicEvent
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import decode_entry, encode_entry, encode_events
from heptad.wire.entry.v1 import entry_pb2

ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(Kind),
    service=st.text(max_size=20),
    action=st.text(max_size=20),
    outcome=st.sampled_from(Outcome),
    time_ms=st.integers(0, 2**63),
    validator=st.integers(0, 2**32 - 1),
    commitment=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    statement=st.binary(max_size=50),
)


@given(ENTRIES)
def test_an_entry_reads_back_as_it_was_written(entry):
    assert decode_entry(encode_entry(entry)) == entry


@given(
    st.lists(
        st.builds(
            PublicEvent,
            action=st.sampled_from(["", "a", "b" * 64]),
            outcome=st.sampled_from(Outcome),
            time_ms=st.integers(0, 2**63),
            commitment=st.binary(min_size=32, max_size=32),
        ),
        max_size=5,
    ),
    st.integers(0, 2**32 - 1),
)
def test_events_written_together_are_written_as_one_by_one(events, validator):
    entries = encode_events(events, service="tax", validator=validator)

    assert entries == [
        encode_entry(
            Entry(
                Kind.EVENT, "tax", event.action, event.outcome, event.time_ms, validator,
                event.commitment,
            )
        )
        for event in events
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        {"version": 2, "kind": 1},
        {"version": 1, "kind": 0},
        {"version": 1, "kind": 99},
        {"version": 1, "kind": 1, "outcome": 3},
        {"version": 1, "kind": 1, "commitment": b"short"},
    ],
)
def test_an_entry_that_no_validator_writes_is_refused(bad):
    with pytest.raises(MalformedError):
        decode_entry(entry_pb2.Entry(**bad).SerializeToString())


@given(st.binary(max_size=80))
def test_random_bytes_are_an_entry_or_malformed_and_never_a_crash(data):
    with suppress(MalformedError):
        decode_entry(data)


def test_the_numbers_of_kinds_and_outcomes_are_those_of_the_wire():
    wire_kinds = {k.removeprefix("KIND_"): v for k, v in entry_pb2.Kind.items() if v}
    assert wire_kinds == {kind.name: kind.value for kind in Kind}
    wire_outcomes = {k.removeprefix("OUTCOME_"): v for k, v in entry_pb2.Outcome.items() if v}
    assert wire_outcomes == {o.name: o.value for o in Outcome if o}
