"""Keys that took over from others: what `cell.toml` may say of them."""

from dataclasses import replace

import pytest

from heptad.consensus.committee import LaterKey as AgreedLaterKey
from heptad.runtime.config import Cell
from heptad.runtime.config.dated_keys import LaterBatchKey, LaterKey
from heptad.runtime.config.dates import format_date, parse_date
from heptad.runtime.config.decode import decode, encode
from heptad.runtime.group import agreed_cell

DAY, NEXT_DAY = "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"
A, B = b"a" * 32, b"b" * 32


def mistakes(cell: Cell) -> list[str]:
    return [f"{key}: {reason}" for key, reason in cell.mistakes()]


def with_batch_keys(cell: Cell, *keys: LaterBatchKey) -> Cell:
    first, *others = cell.validators
    return replace(cell, validators=(replace(first, later_batch_keys=keys), *others))


def with_log_keys(cell: Cell, *keys: LaterKey) -> Cell:
    return replace(cell, ledgers=(replace(cell.ledger, later_log_keys=keys),))


def test_a_rotated_cell_reads_as_it_was_written(cell: Cell) -> None:
    rotated = with_log_keys(
        with_batch_keys(cell, LaterBatchKey(A, 7, DAY)), LaterKey(B, DAY, NEXT_DAY)
    )
    assert mistakes(rotated) == []
    assert decode(Cell, encode(rotated), source="cell.toml") == rotated


def test_a_cell_from_before_rotations_reads_as_one_without_any(cell: Cell) -> None:
    document = encode(cell)
    for member in (*document["validators"], *document["ledgers"]):
        for name in [name for name in member if name.startswith("later_")]:
            del member[name]
    for service in document["services"]:
        for key in service["keys"]:
            del key["since"], key["retired"]
    assert decode(Cell, document, source="cell.toml") == cell


def test_the_group_knows_the_later_batch_keys_and_is_the_same_group(cell: Cell) -> None:
    rotated = agreed_cell(with_batch_keys(cell, LaterBatchKey(A, 7, DAY)))
    assert rotated.validators[0].later_keys == (AgreedLaterKey(7, A),)
    assert rotated.membership_hash() == agreed_cell(cell).membership_hash()


@pytest.mark.parametrize("starts", [(7, 7), (8, 7)])
def test_batch_keys_take_over_at_rising_incarnations(cell: Cell, starts: tuple[int, int]) -> None:
    keys = [LaterBatchKey(key, start, DAY) for key, start in zip((A, B), starts, strict=True)]
    [mistake] = mistakes(with_batch_keys(cell, *keys))
    assert mistake.startswith("validators[0].later_batch_keys: incarnations do not rise")


def test_a_key_that_took_over_may_have_no_other_duty(cell: Cell) -> None:
    rotated = with_log_keys(cell, LaterKey(cell.replicas[0].vote_key, DAY))
    assert mistakes(rotated) == [
        "ledgers[0].later_log_keys[0]: is the same key as replicas[0].vote_key"
    ]


def test_at_most_two_log_keys_overlap(cell: Cell) -> None:
    assert mistakes(with_log_keys(cell, LaterKey(A, DAY, DAY), LaterKey(B, NEXT_DAY))) == []
    assert mistakes(with_log_keys(cell, LaterKey(A, DAY), LaterKey(B, NEXT_DAY))) == [
        "ledgers[0].later_log_keys[0].alone_since: is missing, although another key came after it"
    ]


@pytest.mark.parametrize("date", ["", "2026-02-30T00:00:00Z", "2026-02-01", "2026-02-01T00:00:00"])
def test_a_date_has_one_spelling(cell: Cell, date: str) -> None:
    assert mistakes(with_log_keys(cell, LaterKey(A, date)))[0].startswith(
        "ledgers[0].later_log_keys[0].since: "
    )
    first, *others = cell.services
    if date:
        retired = replace(first, keys=(replace(first.keys[0], retired=date),))
        assert mistakes(replace(cell, services=(retired, *others)))[0].startswith(
            "services[0].keys[0].retired: "
        )


def test_a_key_is_not_alone_before_it_was_there(cell: Cell) -> None:
    assert mistakes(with_log_keys(cell, LaterKey(A, NEXT_DAY, DAY))) == [
        "ledgers[0].later_log_keys[0].alone_since: lies before since"
    ]


def test_a_date_is_written_as_it_is_read() -> None:
    assert format_date(parse_date(DAY)) == DAY


def test_a_service_has_at_most_eight_keys_in_use_and_any_number_retired(cell: Cell) -> None:
    first, *others = cell.services
    keys = tuple(
        replace(first.keys[0], kid=f"{n:043d}", retired=DAY if n >= 9 else "") for n in range(20)
    )
    assert mistakes(replace(cell, services=(replace(first, keys=keys), *others))) == [
        "services[0].keys: 9 are in use, at most 8 may be"
    ]
    twice = replace(first, keys=(first.keys[0], first.keys[0]))
    assert mistakes(replace(cell, services=(twice, *others))) == [
        "services[0].keys: one key is there twice"
    ]
