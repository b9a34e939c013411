"""A validator's batch keys take over from each other at an incarnation, and the group stays."""

from dataclasses import replace

import pytest

from heptad.consensus.committee import LaterKey, Validator
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.evidence import of_batches
from heptad.consensus.judging import Judge
from heptad.consensus.pool import BatchReader
from heptad.model.batch import encode_batch

FIRST, SECOND, THIRD = b"1" * 32, b"2" * 32, b"3" * 32
ROTATED = Validator(1, FIRST, (LaterKey(10, SECOND), LaterKey(20, THIRD)))


@pytest.mark.parametrize(
    ("incarnation", "key"),
    [(0, FIRST), (9, FIRST), (10, SECOND), (19, SECOND), (20, THIRD), (2**63 - 1, THIRD)],
)
def test_exactly_one_key_counts_for_an_incarnation(incarnation, key):
    assert ROTATED.batch_key_for(incarnation) == key


@pytest.mark.parametrize("starts", [(20, 10), (10, 10), (0,), (-1,)])
def test_keys_take_over_one_after_the_other(starts):
    with pytest.raises(AssertionError):
        Validator(1, FIRST, tuple(LaterKey(start, SECOND) for start in starts))


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def rotated(idle):
    """The same cell, in which validator 2's key has taken over validator 1's work from life 10."""
    first, second = idle.cell.validators
    later = replace(first, later_keys=(LaterKey(10, second.batch_key),))
    return replace(idle.cell, validators=(later, second))


def signed_by_the_old(idle, incarnation, **more):
    return idle.batch(validator=1, incarnation=incarnation, **more)


def signed_by_the_new(idle, incarnation, **more):
    keys = dict(idle.batch_keys)
    idle.batch_keys[1] = keys[2]
    try:
        return idle.batch(validator=1, incarnation=incarnation, **more)
    finally:
        idle.batch_keys.update(keys)


def test_the_genesis_block_does_not_change_when_a_batch_key_is_rotated(idle, rotated):
    assert rotated.membership_hash() == idle.cell.membership_hash()


@pytest.mark.parametrize(("incarnation", "sign"), [(9, signed_by_the_old), (10, signed_by_the_new)])
def test_a_replica_takes_a_batch_by_the_key_of_its_incarnation(idle, rotated, incarnation, sign):
    batch = sign(idle, incarnation)
    reader = BatchReader(rotated, idle.verifier)
    assert reader.verify(batch, encode_batch(batch), now_ms=0).ref.incarnation == incarnation


@pytest.mark.parametrize(("incarnation", "sign"), [(9, signed_by_the_new), (10, signed_by_the_old)])
def test_a_replica_refuses_a_batch_by_the_other_key(idle, rotated, incarnation, sign):
    batch = sign(idle, incarnation)
    reader = BatchReader(rotated, idle.verifier)
    with pytest.raises(ForgedError):
        reader.verify(batch, encode_batch(batch), now_ms=0)


def pair(idle, incarnation, sign):
    sides = [sign(idle, incarnation, records=count) for count in (1, 2)]
    return of_batches(*sides, origin=idle.cell.origin)


@pytest.mark.parametrize(("incarnation", "sign"), [(9, signed_by_the_old), (10, signed_by_the_new)])
def test_evidence_holds_against_the_key_of_that_incarnation(idle, rotated, incarnation, sign):
    Judge(rotated, idle.verifier).require(pair(idle, incarnation, sign))


@pytest.mark.parametrize(("incarnation", "sign"), [(9, signed_by_the_new), (10, signed_by_the_old)])
def test_who_stole_a_replaced_key_cannot_frame_its_validator(idle, rotated, incarnation, sign):
    with pytest.raises(RefusedError, match="not by validator-1"):
        Judge(rotated, idle.verifier).require(pair(idle, incarnation, sign))
