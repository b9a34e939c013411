"""The lives for which a batch key signs are those in which its batches are taken."""

from dataclasses import replace

import pytest

from heptad.runtime.batch_keys import incarnations_of
from heptad.runtime.config import Cell
from heptad.runtime.config.dated_keys import LaterBatchKey
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.group import agreed_cell

DAY = "2026-02-01T00:00:00Z"
A, B = b"a" * 32, b"b" * 32


def test_each_key_signs_for_exactly_the_lives_in_which_it_counts(cell: Cell) -> None:
    first, *others = cell.validators
    later = (LaterBatchKey(A, 10, DAY), LaterBatchKey(B, 20, DAY))
    rotated = replace(first, later_batch_keys=later)
    agreed = agreed_cell(replace(cell, validators=(rotated, *others))).validators[0]

    for key in (first.batch_key, A, B):
        lives = incarnations_of(rotated, key)
        assert [n for n in range(30) if agreed.batch_key_for(n) == key] == [
            n for n in range(30) if n in lives
        ]
        assert (2**63 - 1 in lives) == (key == B)


def test_a_key_that_the_cell_does_not_name_begins_no_life(cell: Cell) -> None:
    with pytest.raises(ConfigInvalidError, match="no batch key of validator-1"):
        incarnations_of(cell.validators[0], A)
