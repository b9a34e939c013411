"""Frames of the hot streams: what is written is read back, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.wire import streams

_U64 = st.integers(0, 2**64 - 1)
_DIGEST = st.binary(min_size=32, max_size=32)
_COMMITTED = st.builds(
    streams.CommittedFrame,
    st.lists(
        st.builds(streams.CommittedBatch, _U64, _U64, _DIGEST, _U64, _DIGEST, _U64), max_size=5
    ).map(tuple),
)
_REFUSED = st.builds(streams.RefusedFrame, _U64, _U64, st.text("abc_", min_size=1, max_size=64))
_STANDING = st.builds(streams.StandingFrame, st.booleans(), _U64, _U64)
_FOLLOW = st.builds(streams.FollowFrame, _U64, st.booleans())
_APPLIED = st.builds(streams.AppliedFrame, _U64, _U64, _U64)
_EVIDENCE = st.builds(streams.EvidenceFrame, st.binary(max_size=200))
_BLOCK = st.builds(
    streams.BlockFrame,
    _U64,
    _U64,
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.lists(st.binary(max_size=40), max_size=4).map(tuple),
)
_COSIGNATURE = st.builds(
    streams.CosignatureFrame, _U64, _DIGEST, _U64, st.binary(min_size=64, max_size=64)
)


_CONTEXTS = st.integers(1, 4).flatmap(
    lambda count: st.binary(min_size=24 * count, max_size=24 * count)
)
_TRACES = st.builds(streams.TracesFrame, _U64, _CONTEXTS)


@given(st.binary(max_size=200), _CONTEXTS)
def test_a_traced_batch_is_read_back_with_its_traces(batch: bytes, traces: bytes) -> None:
    frame = streams.BatchFrame(batch, traces)
    assert streams.decode_from_validator(streams.encode_batch(frame)) == frame


@pytest.mark.parametrize(
    "body",
    [
        b"\x02",
        b"\x02\x00batch",
        b"\x02\x02" + b"x" * 47,
        b"\x02\x05" + b"x" * 5 * 24 + b"batch",
    ],
)
def test_traces_that_are_none_or_too_many_are_a_malformed_frame(body: bytes) -> None:
    with pytest.raises(streams.FrameMalformedError):
        streams.decode_from_validator(body)


@pytest.mark.parametrize("traces", [b"", b"x" * 23, b"x" * 5 * 24])
def test_a_ledger_is_told_of_one_to_four_traces(traces: bytes) -> None:
    with pytest.raises(streams.FrameMalformedError):
        streams.decode_to_ledger(b"\x33" + bytes(8) + traces)


@given(st.binary(max_size=200))
def test_a_batch_frame_is_read_back(batch: bytes) -> None:
    frame = streams.BatchFrame(batch)
    assert streams.decode_from_validator(streams.encode_batch(frame)) == frame


@given(_COMMITTED | _REFUSED | _STANDING)
def test_a_frame_to_a_validator_is_read_back(frame: streams.ReplicaToValidator) -> None:
    assert streams.decode_to_validator(streams.encode_to_validator(frame)) == frame


@given(_FOLLOW | _APPLIED | _EVIDENCE)
def test_a_frame_from_a_ledger_is_read_back(frame: streams.LedgerToReplica) -> None:
    assert streams.decode_from_ledger(streams.encode_from_ledger(frame)) == frame


@given(_BLOCK | _COSIGNATURE | _TRACES)
def test_a_frame_to_a_ledger_is_read_back(frame: streams.ReplicaToLedger) -> None:
    assert streams.decode_to_ledger(streams.encode_to_ledger(frame)) == frame


@pytest.mark.parametrize(
    "decode",
    [
        streams.decode_from_validator,
        streams.decode_to_validator,
        streams.decode_from_ledger,
        streams.decode_to_ledger,
    ],
)
@given(body=st.binary(max_size=300))
def test_rubbish_is_a_malformed_frame_and_nothing_else(decode, body: bytes) -> None:
    try:
        decode(body)
    except streams.FrameMalformedError:
        return


@given(_BLOCK, st.data())
def test_a_block_frame_cut_short_is_never_read_as_the_whole(
    frame: streams.BlockFrame, data: st.DataObject
) -> None:
    body = streams.encode_to_ledger(frame)
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    try:
        assert streams.decode_to_ledger(cut) != frame
    except streams.FrameMalformedError:
        return


@given(_COSIGNATURE)
def test_a_cosignature_frame_with_a_byte_over_is_refused(frame: streams.CosignatureFrame) -> None:
    with pytest.raises(streams.FrameMalformedError, match="bytes, not"):
        streams.decode_to_ledger(streams.encode_to_ledger(frame) + b"\0")


def test_a_ledger_from_before_erasures_has_nothing_dropped():
    frame = streams.encode_from_ledger(streams.AppliedFrame(7, 100))
    assert streams.decode_from_ledger(frame[:17]) == streams.AppliedFrame(7, 100, 0)
