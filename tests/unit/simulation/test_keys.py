"""Simulated signatures are as hard to forge inside a world as real ones outside."""

import pytest

from heptad.model.problems import Problem
from heptad.simulation.keys import FakeKeys, RealKeys, forged_signature


@pytest.fixture(params=[FakeKeys, RealKeys], ids=["fake", "real"])
def keys(request):
    return request.param(7)


def check(keys, *, role="vote", number=1, message=b"m", signature):
    public_key = keys.public_key(role, number)
    keys.verifier.verify(public_key=public_key, message=message, signature=signature)


def test_a_signature_verifies_and_is_the_same_each_time(keys):
    signature = keys.signer("vote", 1).sign(b"m")

    check(keys, signature=signature)
    assert len(signature) == 64
    assert keys.signer("vote", 1).sign(b"m") == signature


@pytest.mark.parametrize(
    "changes",
    [{"role": "cosign"}, {"number": 2}, {"message": b"n"}],
    ids=["role", "member", "text"],
)
def test_a_signature_holds_for_its_key_and_message_only(keys, changes):
    signature = keys.signer("vote", 1).sign(b"m")

    with pytest.raises(Problem):
        check(keys, signature=signature, **changes)


def test_a_made_up_signature_does_not_hold(keys):
    with pytest.raises(Problem):
        check(keys, signature=forged_signature(12345))


def test_a_key_that_nobody_holds_verifies_nothing():
    with pytest.raises(Problem):
        FakeKeys(1).verify(public_key=bytes(32), message=b"m", signature=bytes(64))


def test_seeds_have_different_keys(keys):
    assert type(keys)(8).public_key("vote", 1) != keys.public_key("vote", 1)
