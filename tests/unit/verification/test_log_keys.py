"""While one log key takes over from another, a receipt holds by the old policy and by the new."""

from dataclasses import replace
from itertools import product

import pytest
from tlog_scales import signing, tlog

from heptad.crypto.keys import Ed25519Key
from heptad.transparency.checkpoint import Checkpoint, sign_checkpoint
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import KnownLog, Policy
from heptad.verification import examine_receipt_file

NEW_SIGNER = Ed25519Key(b"n" * 32)


@pytest.fixture
def new_key(policy):
    return VerifierKey(policy.logs[0].key.name, SignatureType.LOG, NEW_SIGNER.public_key)


@pytest.fixture
def policies(policy, new_key):
    """By who holds them: the old key, both of them, the new one; as files, read again."""
    logs = {"old": policy.logs, "new": (KnownLog(new_key),)}
    logs["both"] = logs["old"] + logs["new"]
    return {name: Policy.parse(replace(policy, logs=of).format()) for name, of in logs.items()}


@pytest.fixture
def notes(receipt_file, new_key):
    """One checkpoint before the rotation, during it, and after it."""
    old = Note.parse(receipt_file.receipt.checkpoint)
    line = sign_checkpoint(Checkpoint.parse(old.text), key=new_key, sign=NEW_SIGNER.sign)
    first, *cosignatures = old.signatures
    lines = {
        "before": old.signatures,
        "during": (first, line, *cosignatures),
        "after": (line, *cosignatures),
    }
    return {name: replace(old, signatures=tuple(each)).encode() for name, each in lines.items()}


HOLDS = {
    ("before", "old"), ("before", "both"),
    ("during", "old"), ("during", "both"), ("during", "new"),
    ("after", "both"), ("after", "new"),
}  # fmt: skip


def test_a_receipt_holds_by_every_policy_that_knows_a_key_of_its_time(
    receipt_file, notes, policies, now_s
):
    held = set()
    for (when, note), (whose, policy) in product(notes.items(), policies.items()):
        file = replace(receipt_file, receipt=replace(receipt_file.receipt, checkpoint=note))
        if examine_receipt_file(file, policy=policy, now_s=now_s).holds:
            held.add((when, whose))
    assert held == HOLDS


def test_a_bad_line_by_a_known_key_spoils_the_note_and_one_by_an_unknown_key_does_not(
    receipt_file, notes, policies, now_s
):
    note = Note.parse(notes["during"])
    first, second, *cosignatures = note.signatures
    bad = replace(second, signature=bytes(64))
    spoilt = replace(note, signatures=(first, bad, *cosignatures)).encode()
    file = replace(receipt_file, receipt=replace(receipt_file.receipt, checkpoint=spoilt))
    holds = {
        name: examine_receipt_file(file, policy=policy, now_s=now_s).holds
        for name, policy in policies.items()
    }
    assert holds == {"old": True, "both": False, "new": False}


@pytest.mark.parametrize("whose", ["old", "new"])
def test_tlog_scales_finds_its_key_among_two_of_one_name(notes, policies, whose):
    key = signing.Vkey.from_string(policies[whose].logs[0].key.format())
    checkpoint = tlog.Checkpoint.from_text(notes["during"].decode())
    checkpoint.verify(key)
    stranger = VerifierKey(key.name, SignatureType.LOG, Ed25519Key(b"s" * 32).public_key)
    with pytest.raises(RuntimeError, match="no signature"):
        checkpoint.verify(signing.Vkey.from_string(stranger.format()))
