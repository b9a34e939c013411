"""Records of access: what they may say, who can have signed them, and no bit that may change."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.crypto import strict_json
from heptad.crypto.accesses import ACCESS_TYP, parse_access, sign_access, verify_access
from heptad.crypto.errors import CryptoRefusalError, JwsHeaderRefusedError, SignatureInvalidError
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import REQUEST_TYP
from heptad.model.access import (
    CLAIMS,
    GROUND_CHARACTERS_MAX,
    PRIVATE_ACTIONS,
    REASON_CHARACTERS_MAX,
    AccessRecord,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_id

KEY = Ed25519Key(bytes(range(32)))
RECORD = AccessRecord(
    ledger="ledger-1",
    origin="cell.example",
    jti="6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e",
    time_s=1_760_000_000,
    subject_id="kn-" + "a" * 26,
    action="subject.export",
    role="officer",
    caller="dpo",
    ground="GDPR, Art. 15",
    reason="asked for in writing on 3 May: Köln, Straße 5",
)


def changed(**claims):
    """The record's JWS with these claims in the place of its own."""
    return sign_compact(KEY, strict_json.encode({**RECORD.claims(), **claims}), typ=ACCESS_TYP)


def test_what_was_signed_is_what_is_read():
    signed = parse_access(sign_access(KEY, RECORD))
    verify_access(signed, KEY.public)
    assert signed.record == RECORD
    assert signed.record.request_id == request_id(iss=RECORD.ledger, jti=RECORD.jti)


def test_another_key_has_not_signed_it():
    signed = parse_access(sign_access(KEY, RECORD))
    with pytest.raises(SignatureInvalidError):
        verify_access(signed, Ed25519Key(b"x" * 32).public)


def test_a_request_is_no_record_of_access():
    raw = sign_compact(KEY, strict_json.encode(RECORD.claims()), typ=REQUEST_TYP)
    with pytest.raises(JwsHeaderRefusedError):
        parse_access(raw)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_has_to_be_there(name):
    claims = {key: value for key, value in RECORD.claims().items() if key != name}
    with pytest.raises(Problem, match="claim_missing"):
        parse_access(sign_compact(KEY, strict_json.encode(claims), typ=ACCESS_TYP))


def test_no_other_claim_may_be_there():
    with pytest.raises(Problem, match="claim_invalid"):
        parse_access(changed(note="x"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "validator-1"),
        ("iss", "ledger-0"),
        ("aud", "a b"),
        ("jti", "6F1D1A0E-4A34-4F57-9F0E-0C1F2B3A4D5E"),
        ("iat", 0),
        ("iat", True),
        ("iat", 1.0),
        ("iat", 253_402_300_800),
        ("sub", "nobody"),
        ("act", "Export"),
        ("act", "a" * 65),
        ("what", KEY.public.kid),
        ("what", None),
        ("role", "the officer"),
        ("by", ""),
        ("by", "x" * 64),
        ("ground", None),
        ("ground", "g" * (GROUND_CHARACTERS_MAX + 1)),
        ("reason", ""),
        ("reason", "   "),
        ("reason", "two\nlines"),
        ("reason", "r" * (REASON_CHARACTERS_MAX + 1)),
    ],
)
def test_a_claim_of_another_form_is_refused_by_its_name(name, value):
    with pytest.raises(Problem) as caught:
        parse_access(changed(**{name: value}))
    assert (caught.value.code, caught.value.field) == ("claim_invalid", name)
    assert str(value) not in caught.value.detail or value in ("", 0, True, 1.0)


def test_nothing_is_signed_that_could_not_be_read():
    with pytest.raises(Problem, match="claim_invalid"):
        sign_access(KEY, dataclasses.replace(RECORD, reason="two\nlines"))


def test_a_revoked_key_is_named_by_its_thumbprint_and_nothing_else():
    named = dataclasses.replace(RECORD, action="key.revoked", what=KEY.public.kid)
    assert parse_access(sign_access(KEY, named)).record == named
    for what in ("", "x" * 43, KEY.public.kid + "A"):
        with pytest.raises(Problem, match="what"):
            sign_access(KEY, dataclasses.replace(named, what=what))


def test_the_longest_words_fit():
    longest = dataclasses.replace(
        RECORD,
        ground="ß" * GROUND_CHARACTERS_MAX,
        reason="\N{GRINNING FACE}" * REASON_CHARACTERS_MAX,
    )
    assert parse_access(sign_access(KEY, longest)).record == longest


def test_what_is_printed_of_a_record_says_nothing_of_the_reason():
    assert RECORD.reason not in repr(RECORD)
    assert RECORD.ground not in repr(RECORD)


@settings(max_examples=60)
@given(st.data())
def test_no_bit_may_change_unnoticed(data):
    raw = bytearray(sign_access(KEY, RECORD))
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    with pytest.raises((CryptoRefusalError, Problem)):
        verify_access(parse_access(bytes(raw)), KEY.public)


def test_a_kind_has_actions_of_its_own():
    """An action stands for one kind only, or a validator could file it as another."""
    actions = [action for actions in PRIVATE_ACTIONS.values() for action in actions]
    assert len(actions) == len(set(actions))
