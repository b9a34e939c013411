"""An evil ledger cannot make a validator accept a key that the log does not hold."""

from dataclasses import replace

import pytest

from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import commitment
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.subjects import subject_id
from heptad.wire.convert.entry import decode_entry, encode_entry
from heptad_validator.lending.evidence import EvidenceRefusedError, EvidenceVerifier

ORIGIN = "cell.example"
CODE = "kn"
NOW_S = 1_760_000_000
OTHER = Ed25519Key(b"o" * 32)


@pytest.fixture(name="ledger")
def _ledger(new_ledger):
    ledger = new_ledger()
    ledger.append([b"some", b"other", b"leaves"])
    return ledger


@pytest.fixture(name="prove")
def _prove(ledger):
    verifier = EvidenceVerifier(origin=ORIGIN, cell_code=CODE, policy=ledger.policy, keys_max=10)
    return lambda subject, evidence: first_key(verifier, subject, evidence)


def first_key(verifier, subject, evidence):
    [registered] = verifier.prove(subject, (evidence,)).values()
    return registered.key


def forged(ledger, payload, **changes):
    """An entry for any payload, honestly in the log: what a ledger and a validator in league make.

    Returns the subject and the evidence.
    """
    witness = b"w" * 32
    values = {
        "kind": Kind.SUBJECT_REGISTERED,
        "service": "heptad",
        "action": "subject.register",
        "outcome": Outcome.ALLOWED,
        "time_ms": 1,
        "validator": 1,
        "commitment": commitment(witness=witness, payload=payload),
    }
    index = ledger.append([encode_entry(Entry(**{**values, **changes}))])
    subject = subject_id(cell_code=CODE, witness=witness, payload=payload)
    ledger.subjects[subject] = (index, ledger.new_slot(), payload, witness)
    return subject, ledger.evidence(subject)


def test_the_key_that_the_log_holds_is_proved(ledger, prove, any_key):
    subject = ledger.register(any_key)
    ledger.append([b"later"] * 300)
    assert prove(subject, ledger.evidence(subject)) == any_key.public


def test_what_was_proved_once_stays_proved_without_its_proof(ledger, prove, ed_key):
    subject = ledger.register(ed_key)
    evidence = ledger.evidence(subject)
    prove(subject, evidence)
    assert prove(subject, replace(evidence, proof=b"")) == ed_key.public


def test_what_was_proved_is_kept_for_so_many_keys_only(ledger, ed_key):
    verifier = EvidenceVerifier(origin=ORIGIN, cell_code=CODE, policy=ledger.policy, keys_max=1)
    first, second = ledger.register(ed_key), ledger.register(ed_key)
    evidence = ledger.evidence(first)
    first_key(verifier, first, evidence)
    first_key(verifier, second, ledger.evidence(second))
    with pytest.raises(EvidenceRefusedError):
        first_key(verifier, first, replace(evidence, proof=b""))


BROKEN = {
    "another entry": lambda e, ledger: replace(e, entry=ledger.entries[0]),
    "a changed entry": lambda e, _: replace(
        e, entry=encode_entry(replace(decode_entry(e.entry), time_ms=5))
    ),
    "an entry that is none": lambda e, _: replace(e, entry=b"\xff\xff"),
    "another witness": lambda e, _: replace(e, witness=b"x" * 32),
    "a short witness": lambda e, _: replace(e, witness=b"x"),
    "another payload": lambda e, _: replace(e, payload=e.payload[:-4] + b"AAAA"),
    "no payload": lambda e, _: replace(e, payload=b""),
    "another kid": lambda e, _: replace(e, kid=OTHER.public.kid),
    "another index": lambda e, _: replace(e, index=e.index + 1),
    "no proof": lambda e, _: replace(e, proof=b""),
    "a changed proof": lambda e, _: replace(
        e, proof=e.proof.replace(b"\n", b"\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 2)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_evidence_with_a_broken_piece_proves_nothing(ledger, prove, ed_key, name):
    subject = ledger.register(ed_key)
    with pytest.raises(EvidenceRefusedError):
        prove(subject, BROKEN[name](ledger.evidence(subject), ledger))


def test_four_cosignatures_prove_nothing_and_five_do(ledger, prove, ed_key):
    subject = ledger.register(ed_key)
    with pytest.raises(EvidenceRefusedError, match="quorum"):
        prove(subject, ledger.evidence(subject, cosigners=4))
    assert prove(subject, ledger.evidence(subject, cosigners=5)) == ed_key.public


def test_a_log_that_only_the_ledger_signed_for_proves_nothing(ledger, prove, ed_key):
    subject = ledger.register(ed_key)
    with pytest.raises(EvidenceRefusedError, match="quorum"):
        prove(subject, ledger.evidence(subject, cosigners=0))


def test_a_forged_cosignature_spoils_the_checkpoint(ledger, prove, ed_key):
    subject = ledger.register(ed_key)
    ledger.cosign_keys[2] = OTHER
    with pytest.raises(EvidenceRefusedError):
        prove(subject, ledger.evidence(subject))


def test_another_logs_signature_proves_nothing(ledger, prove, ed_key):
    subject = ledger.register(ed_key)
    ledger.log_key = OTHER
    with pytest.raises(EvidenceRefusedError):
        prove(subject, ledger.evidence(subject))


def test_a_fork_of_the_log_has_no_valid_checkpoint(ledger, new_ledger, prove, ed_key):
    """The evil ledger keeps a second log with the entry, under the real log's last checkpoint."""
    fork = new_ledger()
    subject = fork.register(ed_key)
    real_note = ledger.checkpoint()
    fork.checkpoint = lambda **_: real_note
    with pytest.raises(EvidenceRefusedError):
        prove(subject, fork.evidence(subject))


def test_the_evidence_of_one_subject_is_not_anothers(ledger, prove, ed_key, p256_key):
    mine, theirs = ledger.register(ed_key), ledger.register(p256_key)
    with pytest.raises(EvidenceRefusedError, match="another subject"):
        prove(theirs, ledger.evidence(mine))


def test_a_registration_must_be_signed_by_the_key_that_it_brings(ledger, prove, ed_key):
    good = sign_registration(
        ed_key, aud=ORIGIN, jti="0" * 8 + "-0000-0000-0000-" + "0" * 12, iat=1, exp=2, svc="heptad"
    )
    unsigned = good.rpartition(b".")[0]
    forged_jws = (
        unsigned
        + b"."
        + sign_registration(
            OTHER,
            aud=ORIGIN,
            jti="0" * 8 + "-0000-0000-0000-" + "0" * 12,
            iat=1,
            exp=2,
            svc="heptad",
        ).rpartition(b".")[2]
    )
    subject, evidence = forged(ledger, forged_jws)
    with pytest.raises(EvidenceRefusedError, match="signature"):
        prove(subject, replace(evidence, kid=ed_key.public.kid))


def test_a_registration_for_another_cell_proves_nothing_here(ledger, prove, ed_key):
    payload = sign_registration(
        ed_key,
        aud="other.example",
        jti="00000000-0000-0000-0000-000000000001",
        iat=1,
        exp=2,
        svc="heptad",
    )
    subject, evidence = forged(ledger, payload)
    with pytest.raises(EvidenceRefusedError, match="another cell"):
        prove(subject, evidence)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.REQUEST},
        {"outcome": Outcome.DENIED},
        {"service": "tax-portal"},
        {"action": "authenticate"},
        {"commitment": b""},
    ],
)
def test_an_entry_that_says_something_else_registers_nobody(ledger, prove, ed_key, changes):
    payload = sign_registration(
        ed_key,
        aud=ORIGIN,
        jti="00000000-0000-0000-0000-000000000002",
        iat=1,
        exp=2,
        svc="heptad",
    )
    subject, evidence = forged(ledger, payload, **changes)
    with pytest.raises(EvidenceRefusedError):
        prove(subject, evidence)


def test_a_plain_request_with_a_jwk_in_it_registers_nobody(ledger, prove, ed_key):
    payload = sign_request(
        ed_key,
        iss=ed_key.public.kid,
        aud=ORIGIN,
        jti="00000000-0000-0000-0000-000000000003",
        iat=1,
        exp=2,
        svc="heptad",
        act="authenticate",
        data={"jwk": jwk_of(ed_key.public)},
    )
    subject, evidence = forged(ledger, payload, action="authenticate")
    with pytest.raises(EvidenceRefusedError, match="act"):
        prove(subject, evidence)
