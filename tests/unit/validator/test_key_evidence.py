"""Keys that were added later: an evil ledger cannot slip one in, nor can another subject."""

import random
from dataclasses import replace

import pytest

from heptad.crypto.accesses import sign_access
from heptad.crypto.device_keys import (
    addition_data,
    sign_key_addition,
    sign_key_proof,
    sign_key_revocation,
)
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.crypto.requests import parse_request, sign_request
from heptad.crypto.sealing import commitment
from heptad.model.access import AccessRecord
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import encode_entry
from heptad_validator.lending.evidence import EvidenceRefusedError, EvidenceVerifier

ORIGIN = "cell.example"
CODE = "kn"
FIRST, THIEF = Ed25519Key(b"f" * 32), Ed25519Key(b"t" * 32)
ATTESTING = Ed25519Key(b"A" * 32)
PHONE, LAPTOP = P256Key.generate(), Ed25519Key(b"l" * 32)
_jtis = (f"00000000-0000-4000-8000-{n:012x}" for n in range(10**6))


@pytest.fixture(name="ledger")
def _ledger(new_ledger):
    ledger = new_ledger()
    ledger.append([b"some", b"other", b"leaves"])
    return ledger


@pytest.fixture(name="prove")
def _prove(ledger):
    """Which keys of a lease are proved, and whether they may sign."""
    verifier = EvidenceVerifier(
        origin=ORIGIN,
        cell_code=CODE,
        policy=ledger.policy,
        keys_max=50,
        attestation_keys={ATTESTING.public.kid: ATTESTING.public},
    )

    def run(subject, keys):
        proved = verifier.prove(subject, keys)
        assert all(kid == registered.key.kid for kid, registered in proved.items())
        return {kid: not registered.revoked for kid, registered in proved.items()}

    return run


@pytest.fixture(name="subject")
def _subject(ledger):
    return ledger.register(FIRST)


def claims(subject, **changes):
    return {"iss": subject, "aud": ORIGIN, "jti": next(_jtis), "iat": 1_759_000_000,
            "exp": 1_760_000_000, **changes}  # fmt: skip


def adding(subject, key, *, by=FIRST, **changes):
    return sign_key_addition(by, key, **claims(subject, **changes))


def revoking(subject, key, *, by=FIRST):
    return sign_key_revocation(by, kid=key.public.kid, **claims(subject))


def states(*pairs):
    return {key.public.kid: is_active for key, is_active in pairs}


def test_a_chain_of_keys_is_proved_from_the_registration_on(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    ledger.change_keys(subject, adding(subject, LAPTOP, by=PHONE))
    ledger.change_keys(subject, revoking(subject, FIRST, by=PHONE))
    ledger.change_keys(subject, revoking(subject, PHONE, by=LAPTOP))
    expected = states((FIRST, False), (PHONE, False), (LAPTOP, True))
    assert prove(subject, ledger.keys(subject)) == expected
    # What was proved once needs no proof any more.
    bare = tuple(
        replace(key, proof=b"", revocation=key.revocation and replace(key.revocation, proof=b""))
        for key in ledger.keys(subject)
    )
    assert prove(subject, bare) == expected


def test_a_revocation_without_proof_ends_a_key_all_the_same(ledger, prove, subject):
    """It counts before a checkpoint covers it; a ledger that lies so only makes a key unusable."""
    ledger.change_keys(subject, adding(subject, PHONE))
    first, phone = ledger.keys(subject)
    assert prove(subject, (replace(first, revoked=True), phone)) == states(
        (FIRST, False), (PHONE, True)
    )


def test_a_proved_revocation_ends_a_key_whatever_the_flag_says(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    ledger.change_keys(subject, revoking(subject, FIRST, by=PHONE))
    first, phone = ledger.keys(subject)
    assert prove(subject, (replace(first, revoked=False), phone)) == states(
        (FIRST, False), (PHONE, True)
    )


def lost(subject, key, *, attesting=ATTESTING):
    """An officer's revocation."""
    said = AccessRecord(
        ledger="ledger-1", origin=ORIGIN, jti=next(_jtis), time_s=1, subject_id=subject,
        action="key.revoked", role="officer", caller="dpo", ground="", reason="stolen",
        what=key.public.kid,
    )  # fmt: skip
    return sign_access(attesting, said)


def revoked_by_officer(ledger, subject, payload):
    """The subject's keys, of which the first one is ended by this record of the log."""
    revocation = ledger.change_keys(
        subject, payload, kind=Kind.ACCESS, action="key.revoked", outcome=Outcome.NONE
    )
    ledger.changes[subject].pop()
    first, *rest = ledger.keys(subject)
    return (replace(first, revoked=True, revocation=revocation), *rest)


def test_an_officers_revocation_is_proved_by_the_attestation_key(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    keys = revoked_by_officer(ledger, subject, lost(subject, FIRST))
    assert prove(subject, keys) == states((FIRST, False), (PHONE, True))


def test_nobody_else_speaks_for_an_officer(ledger, prove, subject):
    for attesting in (THIEF, FIRST):
        keys = revoked_by_officer(ledger, subject, lost(subject, FIRST, attesting=attesting))
        refused(prove, subject, keys, "not proved")
    other = ledger.register(THIEF)
    keys = revoked_by_officer(ledger, subject, lost(other, FIRST))
    refused(prove, subject, keys, "another subject")


def refused(prove, subject, keys, match):
    with pytest.raises(EvidenceRefusedError, match=match):
        prove(subject, keys)


def slipped(ledger, subject, payload, key=PHONE, **changes):
    """The subject's keys with one more, for which this request is in the log."""
    added = ledger.change_keys(subject, payload, **changes)
    keys = ledger.keys(subject)
    if all(held.kid != key.public.kid for held in keys):
        keys = (*keys, ledger.subject_key(key.public.kid, added))
    return keys


def test_a_key_that_the_log_does_not_hold_is_not_proved(ledger, new_ledger, prove, subject):
    """The ledger signs itself an entry, and has no honest proof for it."""
    payload = adding(subject, PHONE)
    ledger.change_keys(subject, payload)
    genuine = ledger.keys(subject)[1]
    entry = encode_entry(
        Entry(Kind.KEY_ADDED, "heptad", "key.add", Outcome.ALLOWED, 2, 1,
              commitment(witness=b"w" * 32, payload=payload))
    )  # fmt: skip
    invented = replace(genuine, entry=entry, witness=b"w" * 32)
    refused(prove, subject, (ledger.keys(subject)[0], invented), "key evidence at index")
    refused(prove, subject, (ledger.keys(subject)[0], replace(genuine, proof=b"")), "index")


def test_a_key_whose_request_is_another_subjects_is_not_proved(ledger, prove, subject):
    """The thief is a subject too, and the log holds its own key.add."""
    thief = ledger.register(THIEF)
    theft = slipped(ledger, subject, adding(thief, LAPTOP, by=THIEF), LAPTOP)
    refused(prove, subject, theft, "another subject")


def test_a_key_that_somebody_else_signed_for_the_subject_is_not_proved(ledger, prove, subject):
    """The thief may write anybody's id into its request; it is in the log, by an evil validator."""
    theft = slipped(ledger, subject, adding(subject, LAPTOP, by=THIEF), LAPTOP)
    refused(prove, subject, theft, "not proved")


def test_a_thiefs_key_does_not_vouch_for_itself(ledger, prove, subject):
    theft = slipped(ledger, subject, adding(subject, THIEF, by=THIEF), THIEF)
    refused(prove, subject, theft, "not proved")


def test_a_forged_signature_of_a_proved_key_is_none(ledger, prove, subject):
    genuine, forged = adding(subject, PHONE), adding(subject, PHONE, by=THIEF)
    said, theft = parse_request(genuine), forged.rpartition(b".")[2]
    payload = said.signing_input + b"." + theft
    refused(prove, subject, slipped(ledger, subject, payload), "signature_invalid")


def test_a_key_without_its_own_word_is_not_proved(ledger, prove, subject):
    said = claims(subject)
    bound = {name: said[name] for name in ("iss", "aud", "jti")}
    data = addition_data(PHONE.public, sign_key_proof(THIEF, **bound))
    payload = sign_request(FIRST, **said, svc="heptad", act="key.add", data=data)
    added = ledger.change_keys(subject, payload)
    ledger.changes.clear()
    keys = (*ledger.keys(subject), ledger.subject_key(PHONE.public.kid, added))
    refused(prove, subject, keys, "key_proof_invalid")


def test_a_key_that_was_revoked_adds_none_afterwards(ledger, prove, subject):
    """Who has stolen an old device, with an evil validator at hand."""
    ledger.change_keys(subject, adding(subject, PHONE))
    ledger.change_keys(subject, revoking(subject, PHONE))
    ledger.change_keys(subject, adding(subject, THIEF, by=PHONE))
    refused(prove, subject, ledger.keys(subject), "not active")


def test_what_was_proved_for_one_history_is_not_for_another(ledger, prove, subject):
    """The theft is proved while the ledger hides the revocation, and refused once it is shown."""
    ledger.change_keys(subject, adding(subject, PHONE))
    ledger.change_keys(subject, revoking(subject, PHONE))
    ledger.change_keys(subject, adding(subject, THIEF, by=PHONE))
    keys = ledger.keys(subject)
    hidden = tuple(replace(key, revoked=False, revocation=None) for key in keys)
    assert prove(subject, hidden)[THIEF.public.kid]
    refused(prove, subject, keys, "not active")


def test_a_revoked_key_is_not_added_again(ledger, prove, subject):
    payload = adding(subject, PHONE)
    first = ledger.change_keys(subject, payload)
    ledger.change_keys(subject, revoking(subject, PHONE))
    again = ledger.change_keys(subject, payload)
    ledger.changes[subject].pop()
    keys = ledger.keys(subject)
    refused(prove, subject, (*keys, ledger.subject_key(PHONE.public.kid, again)), "there before")
    assert first.index < again.index


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.REQUEST},
        {"outcome": Outcome.DENIED},
        {"service": "tax-portal"},
        {"action": "key.revoke"},
        {"commitment": b"c" * 32},
        {"time_ms": 1_760_001_000_000},
    ],
    ids=str,
)
def test_an_entry_that_says_something_else_brings_no_key(ledger, prove, subject, changes):
    keys = slipped(ledger, subject, adding(subject, PHONE), **changes)
    refused(prove, subject, keys, None)


def test_a_request_for_another_cell_brings_no_key(ledger, prove, subject):
    payload = adding(subject, PHONE, aud="other.example")
    refused(prove, subject, slipped(ledger, subject, payload), "another cell")


def test_the_kid_of_a_lease_is_the_one_that_the_entry_brings(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    first, phone = ledger.keys(subject)
    refused(prove, subject, (first, replace(phone, kid=LAPTOP.public.kid)), "other keys")
    refused(prove, subject, (phone, first), "other keys")


def test_evidence_without_the_registration_proves_nothing(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    refused(prove, subject, ledger.keys(subject)[1:], "KEY_ADDED")


def test_a_short_witness_proves_no_change(ledger, prove, subject):
    ledger.change_keys(subject, adding(subject, PHONE))
    first, phone = ledger.keys(subject)
    refused(prove, subject, (first, replace(phone, witness=b"x")), "witness")


def test_more_keys_than_there_may_be_are_not_even_looked_at(ledger, prove, subject):
    [first] = ledger.keys(subject)
    refused(prove, subject, (first,) * 65, "65 keys")
    refused(prove, subject, (), "0 keys")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_an_evil_ledger_leaves_out_or_mixes_no_foreign_key_is_proved(
    ledger, prove, subject, seed
):
    """It holds true entries of two subjects and a thief, and shows any of them in any order."""
    rng = random.Random(seed)
    victim, other = subject, ledger.register(THIEF)
    rightful = [PHONE, LAPTOP]
    ledger.change_keys(victim, adding(victim, PHONE))
    ledger.change_keys(victim, adding(victim, LAPTOP, by=PHONE))
    ledger.change_keys(victim, revoking(victim, PHONE, by=LAPTOP))
    stolen = Ed25519Key(b"z" * 32)
    thefts = [
        ledger.change_keys(other, adding(other, stolen, by=THIEF)),
        ledger.change_keys(other, adding(victim, stolen, by=THIEF)),
        ledger.change_keys(other, adding(victim, stolen, by=stolen)),
    ]
    ledger.changes.pop(other)
    pool = [*ledger.keys(victim), *ledger.keys(other)]
    pool += [ledger.subject_key(stolen.public.kid, theft) for theft in thefts]
    for _ in range(40):
        shown = rng.sample(pool, rng.randint(1, len(pool)))
        mixed = tuple(
            replace(key, revocation=rng.choice([key.revocation, None, *thefts])) for key in shown
        )
        try:
            proved = prove(victim, mixed)
        except EvidenceRefusedError:
            continue
        assert proved.keys() <= {key.public.kid for key in [FIRST, *rightful]}
