"""Attestation keys: all verify, those in use sign, and each for what came while it was in use."""

from dataclasses import replace

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.runtime.attestation import (
    UNDER_WAY_S,
    attestation_keys,
    attestation_keys_at,
    attestation_keys_in_use,
)
from heptad.runtime.config import Cell
from heptad.runtime.config.dated_keys import LaterKey
from heptad.runtime.config.dates import seconds_of

SECOND, THIRD = (Ed25519Key(seed * 32).public for seed in (b"2", b"3"))
DAY, END = "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"
END_MS = seconds_of(END) * 1000


def with_keys(cell: Cell, *later: LaterKey) -> Cell:
    return replace(cell, ledgers=(replace(cell.ledger, later_attestation_keys=later),))


def raws(keys) -> list[bytes]:
    return [key.raw for key in keys.values()]


def test_before_any_rotation_there_is_one_key(cell: Cell) -> None:
    for keys in (attestation_keys, attestation_keys_in_use):
        assert raws(keys(cell)) == [cell.ledger.attestation_key]


def test_what_any_key_signed_stays_verifiable(cell: Cell) -> None:
    rotated = with_keys(cell, LaterKey(SECOND.raw, DAY, END), LaterKey(THIRD.raw, END))
    keys = attestation_keys(rotated)
    assert raws(keys) == [cell.ledger.attestation_key, SECOND.raw, THIRD.raw]
    assert keys[THIRD.kid] == THIRD


def test_both_sign_while_they_overlap_and_one_alone_afterwards(cell: Cell) -> None:
    overlapping = with_keys(cell, LaterKey(SECOND.raw, DAY))
    assert raws(attestation_keys_in_use(overlapping)) == [cell.ledger.attestation_key, SECOND.raw]
    assert raws(attestation_keys_in_use(with_keys(cell, LaterKey(SECOND.raw, DAY, END)))) == [
        SECOND.raw
    ]


@pytest.mark.parametrize(("late_s", "counts"), [(UNDER_WAY_S - 1, True), (UNDER_WAY_S, False)])
def test_a_replaced_key_counts_for_what_was_under_way_at_its_end(
    cell: Cell, late_s: int, counts: bool
) -> None:
    rotated = with_keys(cell, LaterKey(SECOND.raw, DAY, END))
    keys = raws(attestation_keys_at(rotated, END_MS + late_s * 1000))
    assert (cell.ledger.attestation_key in keys) == counts
    assert SECOND.raw in keys
