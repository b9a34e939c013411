"""What officers and gateways ask about erasures survives the wire; words are never guessed."""

import dataclasses

import pytest

from heptad.model.erasing import (
    CertificateParts,
    DecisionCall,
    Erasure,
    ErasurePage,
    Hold,
    OrderCall,
    Ordered,
    RevokeKeyCall,
)
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.listed_keys import ListedKey
from heptad.model.problems import Problem
from heptad.wire.convert import privacy as wire
from heptad.wire.privacy.v1 import privacy_pb2 as pb

SUBJECT = "kn-" + "a" * 26
HOLDS = (Hold(RefusalGround.LEGAL_HOLD, 5), Hold(RefusalGround.PUBLIC_TASK, 6))
RECEIVED = Erasure(
    request_id=b"r" * 32,
    salt=b"s" * 32,
    state=ErasureState.RECEIVED,
    ordered_by=OrderedBy.SUBJECT,
    ground=ErasureGround.OBJECTION,
    received_at_ms=1,
    decide_by_ms=2,
    subject_id=SUBJECT,
    holds=HOLDS,
)
PARTS = CertificateParts(9, b"entry", b"proof", b"order", (b"h" * 32, b"i" * 32))
ERASED = dataclasses.replace(
    RECEIVED, state=ErasureState.ERASED, order_index=0, certificate=PARTS, holds=()
)
REFUSED = dataclasses.replace(
    RECEIVED, state=ErasureState.REFUSED, refusal_index=0, refusal_ground=RefusalGround.EXCESSIVE
)


@pytest.mark.parametrize("ground", ErasureGround)
def test_an_order_comes_back_as_it_went(ground: ErasureGround) -> None:
    call = OrderCall((SUBJECT, "kn-x"), ground, "asked for by letter")
    assert wire.decode_order_call(wire.encode_order_call(call)) == call


@pytest.mark.parametrize("ground", RefusalGround)
def test_a_decision_comes_back_as_it_went(ground: RefusalGround) -> None:
    call = DecisionCall(SUBJECT, ground, "a court has said so")
    assert wire.decode_refuse_call(wire.encode_refuse_call(call)) == call
    assert wire.decode_set_hold_call(wire.encode_set_hold_call(call)) == call
    assert wire.decode_lift_hold_call(wire.encode_lift_hold_call(call)) == call


def test_listed_keys_come_back_as_they_went() -> None:
    keys = (ListedKey("k" * 43, 2**40, 5, revoked_index=0, revoked_ms=0), ListedKey("l", 0, 7))
    assert wire.decode_keys(wire.encode_keys(keys)) == keys
    assert wire.decode_keys_call(wire.encode_keys_call(b"a.b.c")) == b"a.b.c"


def test_the_revocation_of_a_lost_key_comes_back_as_it_went() -> None:
    call = RevokeKeyCall(SUBJECT, "k" * 43, "the phone was stolen")
    assert wire.decode_revoke_key_call(wire.encode_revoke_key_call(call)) == call


@pytest.mark.parametrize("erasure", [RECEIVED, ERASED, REFUSED])
def test_an_erasure_comes_back_as_it_went(erasure: Erasure) -> None:
    page = ErasurePage((erasure, RECEIVED), "token")
    assert wire.decode_erasure(wire.encode_erasure(erasure)) == erasure
    assert wire.decode_refused(wire.encode_refused(erasure)) == erasure
    assert wire.decode_page(wire.encode_page(page)) == page


def test_answers_come_back_as_they_went() -> None:
    ordered = (Ordered(SUBJECT, b"r" * 32), Ordered("kn-x", b"", "subject_unknown"))
    assert wire.decode_ordered(wire.encode_ordered(ordered)) == ordered
    assert wire.decode_hold_set(wire.encode_hold_set(HOLDS)) == HOLDS
    assert wire.decode_hold_lifted(wire.encode_hold_lifted(HOLDS)) == HOLDS
    assert wire.decode_key_revoked(wire.encode_key_revoked(2**40)) == 2**40
    assert wire.decode_list_call(wire.encode_list_call(page_size=3, page_token="t")) == (3, "t")


@pytest.mark.parametrize("name", [b"r" * 32, SUBJECT])
def test_an_erasure_is_asked_for_by_one_name(name: bytes | str) -> None:
    assert wire.decode_erasure_call(wire.encode_erasure_call(name)) == name


def test_an_erasure_without_a_name_is_refused() -> None:
    with pytest.raises(Problem, match="parameter_invalid"):
        wire.decode_erasure_call(b"")


def test_a_ground_that_is_missing_or_not_known_is_refused() -> None:
    for data in (b"", pb.OrderErasureRequest(subject_ids=[SUBJECT]).SerializeToString()):
        with pytest.raises(Problem) as caught:
            wire.decode_order_call(data)
        assert (caught.value.code, caught.value.field) == ("parameter_invalid", "ground")
    # Field 2, number 99: of a newer caller.
    with pytest.raises(Problem, match="parameter_invalid"):
        wire.decode_set_hold_call(b"\x10\x63")


@pytest.mark.parametrize(
    "decode", [wire.decode_order_call, wire.decode_erasure_call, wire.decode_list_call]
)
def test_what_is_no_message_is_refused(decode) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Problem, match="frame_malformed"):
        decode(b"\xff")


def test_nothing_printed_names_a_subject() -> None:
    call = OrderCall((SUBJECT,), ErasureGround.OBJECTION, "a reason")
    decision = DecisionCall(SUBJECT, RefusalGround.LEGAL_HOLD, "a reason")
    for printed in map(repr, (RECEIVED, call, decision, Ordered(SUBJECT, b""))):
        assert SUBJECT not in printed
        assert "a reason" not in printed
