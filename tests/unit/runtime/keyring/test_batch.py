"""A validator's batch key is exchanged in two steps, each done once however often it is ordered."""

import pytest

from heptad.runtime.batch_keys import incarnations_of
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.group import agreed_cell
from heptad.runtime.keyring import batch

SINCE, NOW_MS = "2026-06-01T00:00:00Z", 1_780_000_000_000
NAME = "validator-2"


def start(home, now_ms=NOW_MS):
    return batch.start(home, NAME, now_ms=now_ms, since=SINCE)


def lived(home, incarnation):
    path = home / NAME / "data" / "incarnation"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{incarnation}\n")


def test_the_next_key_is_named_and_the_old_one_still_signs(home, cell_of, public_of):
    before, old = cell_of(), public_of(NAME, "batch.pem")
    step = start(home)
    [later] = cell_of().validator(NAME).later_batch_keys
    assert (later.key, later.since) == (public_of(NAME, "batch.next.pem"), SINCE)
    assert later.from_incarnation == NOW_MS
    assert public_of(NAME, "batch.pem") == old == cell_of().validator(NAME).batch_key
    assert step.restart == ("replica-1", "replica-2", "replica-3", "replica-4", "ledger-1")
    assert agreed_cell(cell_of()).membership_hash() == agreed_cell(before).membership_hash()


def test_the_new_key_takes_over_and_the_old_private_half_is_gone(home, cell_of, public_of):
    start(home)
    new = public_of(NAME, "batch.next.pem")
    step = batch.finish(home, NAME)
    assert public_of(NAME, "batch.pem") == new
    assert [path.name for path in (home / NAME / "keys").iterdir()] == ["batch.pem"]
    assert step.restart == (NAME,)
    assert NOW_MS in incarnations_of(cell_of().validator(NAME), new)


@pytest.mark.parametrize("last", [NOW_MS + 5, NOW_MS - 5])
def test_the_new_keys_lives_lie_beyond_what_the_old_one_may_need(home, cell_of, last):
    """The validator's clock may be ahead of ours, and it may be started anew a few times."""
    lived(home, last)
    start(home)
    [later] = cell_of().validator(NAME).later_batch_keys
    assert later.from_incarnation >= last + batch.LIVES_LEFT_MIN


def test_one_rotation_follows_the_other(home, cell_of):
    for _ in range(3):
        start(home)
        batch.finish(home, NAME)
    starts = [later.from_incarnation for later in cell_of().validator(NAME).later_batch_keys]
    assert starts == [NOW_MS, NOW_MS + 1, NOW_MS + 2]


def test_the_same_order_again_changes_nothing(home, cell_of):
    assert start(home).is_news
    named = cell_of()
    assert not start(home, NOW_MS + 1).is_news
    assert cell_of() == named
    assert batch.finish(home, NAME).is_news
    assert not batch.finish(home, NAME).is_news
    assert cell_of() == named


def test_it_is_not_finished_before_it_was_started(home, public_of):
    with pytest.raises(HomeRefusedError, match="--start does that"):
        batch.finish(home, NAME)


def test_it_is_done_where_the_private_key_lies(home):
    (home / NAME / "keys" / "batch.pem").unlink()
    with pytest.raises(HomeRefusedError, match="where validator-2 is kept"):
        start(home)


def test_a_crash_at_any_write_leaves_a_key_that_signs_and_is_gone_on_with(
    home, cell_of, public_of, crashes
):
    for number in crashes(lambda: (start(home), batch.finish(home, NAME))):  # noqa: B007  looked at afterwards
        # Whatever key lies there now is one by which the validator can begin a life.
        incarnations_of(cell_of().validator(NAME), public_of(NAME, "batch.pem"))
    assert number == 3
    [later] = cell_of().validator(NAME).later_batch_keys
    assert public_of(NAME, "batch.pem") == later.key
