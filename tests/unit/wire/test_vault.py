"""The vault's questions and answers survive the wire; limits are held at the door."""

from dataclasses import replace

import pytest

from heptad.model.lending import (
    CellKeys,
    EntryEvidence,
    Leases,
    LeaseSubjects,
    LookUpRequest,
    RequestFound,
    ReserveSlots,
    ReturnLeases,
    Revoked,
    SlotLease,
    Slots,
    SubjectKey,
    SubjectLease,
    VaultRefusal,
)
from heptad.model.problems import Problem
from heptad.wire.convert.vault import (
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)

KEY, LEASE_ID = b"\x01" * 32, b"\x02" * 16
SUBJECT_KEY = SubjectKey("kid", True, 5, b"entry", b"payload", KEY, b"proof")
REVOCATION = EntryEvidence(9, b"revoking", b"other payload", KEY, b"proof")
REVOKED_KEY = replace(SUBJECT_KEY, revocation=REVOCATION)
LEASE = SubjectLease(
    "ab-x", 7, LEASE_ID, KEY, 60_000, (SUBJECT_KEY, REVOKED_KEY), applied_size=2**40
)


@pytest.mark.parametrize(
    "question",
    [
        LeaseSubjects(("ab-x", "ab-y"), 5_000),
        LeaseSubjects(("ab-x",), is_registering=True),
        LeaseSubjects(("ab-x",), is_sealing=True),
        LeaseSubjects(("ab-x",), proved_size_min=2**40),
        ReserveSlots(1_024),
        LookUpRequest(KEY, "", 2**40),
        ReturnLeases((LEASE_ID,)),
        ReturnLeases(()),
    ],
)
def test_a_question_comes_back_as_it_went(question):
    assert decode_question(encode_question(9, question)) == (9, question)


@pytest.mark.parametrize(
    "answer",
    [
        CellKeys(KEY, 3, KEY),
        Leases((LEASE, SubjectLease("ab-y", refused_code="key_unknown"))),
        Slots((SlotLease(8, LEASE_ID, KEY),), 60_000),
        RequestFound(True, 6, KEY, b"entry", "ab-x"),
        RequestFound(False),
        Revoked(("ab-x",)),
        Revoked(()),
        VaultRefusal("overloaded", "too much at once"),
    ],
)
def test_an_answer_comes_back_as_it_went(answer):
    assert decode_answer(encode_answer(9, answer)) == (9, answer)


@pytest.mark.parametrize(
    "question",
    [
        LeaseSubjects(("s",) * 257),
        LeaseSubjects(()),
        LeaseSubjects(("s",), 5_001),
        ReserveSlots(0),
        ReserveSlots(1_025),
        LookUpRequest(KEY[:31], ""),
        ReturnLeases((LEASE_ID[:15],)),
    ],
)
def test_a_question_beyond_its_limits_is_refused(question):
    with pytest.raises(Problem) as caught:
        decode_question(encode_question(1, question))
    assert caught.value.code == "parameter_invalid"


@pytest.mark.parametrize(
    "answer",
    [
        CellKeys(KEY[:31], 1, KEY),
        CellKeys(KEY, 1, b""),
        Leases((SubjectLease("ab-x", 7, LEASE_ID, KEY[:16], 1),)),
        Slots((SlotLease(8, b"", KEY),), 1),
    ],
)
def test_a_key_of_a_wrong_length_never_reaches_a_validator(answer):
    with pytest.raises(Problem) as caught:
        decode_answer(encode_answer(1, answer))
    assert caught.value.code == "frame_malformed"


@pytest.mark.parametrize("data", [b"", b"\xff"])
def test_garbage_is_refused_in_both_directions(data):
    for decode in (decode_question, decode_answer):
        with pytest.raises(Problem) as caught:
            decode(data)
        assert caught.value.code == "frame_malformed"


def test_no_key_shows_in_a_text():
    for value in (LEASE, SlotLease(8, LEASE_ID, KEY), CellKeys(KEY, 1, KEY), SUBJECT_KEY):
        assert repr(KEY)[2:-1] not in repr(value)
