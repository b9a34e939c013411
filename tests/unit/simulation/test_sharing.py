"""Decoding once for all replicas of a world: the same values, and rubbish refused each time."""

import pytest

from heptad.consensus.messages import FetchBatches, decode_message, encode_message
from heptad.model.canonical import MalformedError
from heptad.simulation import sharing
from heptad.simulation.sharing import shared_decoding


def test_a_payload_is_decoded_once():
    decoding = shared_decoding()
    payload = encode_message(FetchBatches((bytes(32),)))

    first, second = decoding.message(payload), decoding.message(bytes(bytearray(payload)))

    assert first is second
    assert first == decode_message(payload)


def test_rubbish_is_refused_each_time():
    decoding = shared_decoding()

    for _ in range(2):
        with pytest.raises(MalformedError):
            decoding.message(b"\xff")


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(sharing, "REMEMBERED_MAX", 2)
    decoding = shared_decoding()
    payloads = [encode_message(FetchBatches((bytes([each]) * 32,))) for each in range(3)]

    first = decoding.message(payloads[0])
    for payload in payloads[1:]:
        decoding.message(payload)

    assert decoding.message(payloads[0]) is not first
    assert decoding.message(payloads[0]) == first
