"""A registry row opens for whoever has both keys and the id, and says nothing without them."""

import pytest

from heptad.crypto.errors import SealBrokenError
from heptad.crypto.registry_rows import (
    KeyRow,
    open_keys,
    open_slot,
    registry_row_key,
    seal_row,
)

REGISTRY_KEY, SLOT_KEY = b"\x01" * 32, b"\x02" * 32
KEYS = (KeyRow("k" * 43, 2**40), KeyRow("l" * 43, 7, revoked_at=0), KeyRow("m" * 43, 8, 2**50))


def row_of(subject_id="ab-x"):
    return seal_row(
        registry_key=REGISTRY_KEY, slot_key=SLOT_KEY, subject_id=subject_id, slot=9, keys=KEYS
    )


def test_a_row_gives_back_slot_and_keys():
    row = row_of()
    assert open_slot(row, registry_key=REGISTRY_KEY, subject_id="ab-x") == 9
    assert open_keys(row, slot_key=SLOT_KEY, subject_id="ab-x") == KEYS


@pytest.mark.parametrize(
    ("registry_key", "subject_id"), [(SLOT_KEY, "ab-x"), (REGISTRY_KEY, "ab-y")]
)
def test_the_slot_does_not_open_for_another_ledger_or_subject(registry_key, subject_id):
    with pytest.raises(SealBrokenError):
        open_slot(row_of(), registry_key=registry_key, subject_id=subject_id)


@pytest.mark.parametrize(("slot_key", "subject_id"), [(REGISTRY_KEY, "ab-x"), (SLOT_KEY, "ab-y")])
def test_the_keys_do_not_open_without_the_slot_key_and_the_id(slot_key, subject_id):
    with pytest.raises(SealBrokenError):
        open_keys(row_of(), slot_key=slot_key, subject_id=subject_id)


def test_row_keys_differ_by_subject_and_by_ledger():
    keys = {
        registry_row_key(registry_key=key, subject_id=name)
        for key in (REGISTRY_KEY, SLOT_KEY)
        for name in ("ab-x", "ab-y")
    }
    assert len(keys) == 4


def test_a_row_shows_neither_kid_nor_index_nor_slot():
    row = row_of()
    assert b"k" * 43 not in row
    assert (2**40).to_bytes(8, "big") not in row
    assert (9).to_bytes(8, "big") not in row
