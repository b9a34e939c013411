"""The ledger's keys: named, overlapping, alone; and the policy that auditors get meanwhile."""

from dataclasses import replace

import pytest

from heptad.crypto.keys import KeyRole
from heptad.runtime.attestation import attestation_keys, attestation_keys_in_use
from heptad.runtime.errors import ConfigInvalidError, HomeRefusedError
from heptad.runtime.keyring import dated
from heptad.runtime.keyring.cell_file import policy_files, revise
from heptad.runtime.vkeys import log_vkeys
from heptad.transparency.policy import Policy

SINCE, AT = "2026-06-01T00:00:00Z", "2026-06-20T00:00:00Z"
DUTIES = [KeyRole.LOG, KeyRole.ATTESTATION]
FIELDS = {KeyRole.LOG: "later_log_keys", KeyRole.ATTESTATION: "later_attestation_keys"}

each_duty = pytest.mark.parametrize("duty", DUTIES)


@pytest.fixture
def later_of(cell_of):
    return lambda duty: getattr(cell_of().ledger, FIELDS[duty])


@each_duty
def test_the_next_key_is_named_while_the_old_one_signs(home, later_of, public_of, duty):
    old = public_of("ledger-1", duty.file_name)
    step = dated.start(home, duty, since=SINCE)
    [later] = later_of(duty)
    assert (later.key, later.since) == (public_of("ledger-1", duty.next_file_name), SINCE)
    assert later.alone_since == ""
    assert public_of("ledger-1", duty.file_name) == old
    assert step.restart == ("validator-1", "validator-2", "ledger-1")
    assert bool(step.by_hand) == (duty is KeyRole.LOG)


@each_duty
def test_the_new_key_is_alone_afterwards(home, later_of, public_of, duty):
    dated.start(home, duty, since=SINCE)
    new = public_of("ledger-1", duty.next_file_name)
    step = dated.finish(home, duty, at=AT)
    assert public_of("ledger-1", duty.file_name) == new
    assert not (home / "ledger-1" / "keys" / duty.next_file_name).exists()
    assert [later.alone_since for later in later_of(duty)] == [AT]
    assert step.restart == ("ledger-1", "validator-1", "validator-2")


def test_policies_list_the_next_log_key_from_the_start_on_and_the_old_one_for_ever(home, cell_of):
    policies = []
    for step in (lambda: None, lambda: dated.start(home, KeyRole.LOG, since=SINCE),
                 lambda: dated.finish(home, KeyRole.LOG, at=AT)):  # fmt: skip
        step()
        contents = {path.read_bytes() for path in policy_files(home)}
        assert len(contents) == 1
        policies.append(Policy.parse(contents.pop()))
    assert [len(policy.logs) for policy in policies] == [1, 2, 2]
    assert policies[1] == policies[2]
    assert tuple(log.key for log in policies[2].logs) == log_vkeys(cell_of())
    assert len(policy_files(home)) > 3


def test_attestations_of_the_old_key_stay_verifiable_and_it_signs_nothing_new(home, cell_of):
    dated.start(home, KeyRole.ATTESTATION, since=SINCE)
    assert len(attestation_keys_in_use(cell_of())) == 2
    dated.finish(home, KeyRole.ATTESTATION, at=AT)
    assert len(attestation_keys(cell_of())) == 2
    assert len(attestation_keys_in_use(cell_of())) == 1


@each_duty
def test_the_same_order_again_changes_nothing(home, cell_of, duty):
    assert dated.start(home, duty, since=SINCE).is_news
    named = cell_of()
    assert not dated.start(home, duty, since=AT).is_news
    assert cell_of() == named
    assert dated.finish(home, duty, at=AT).is_news
    done = cell_of()
    assert not dated.finish(home, duty, at="2026-07-01T00:00:00Z").is_news
    assert cell_of() == done


@each_duty
def test_it_is_not_finished_before_it_was_started_nor_started_twice_at_once(home, duty):
    with pytest.raises(HomeRefusedError, match="--start does that"):
        dated.finish(home, duty, at=AT)
    dated.start(home, duty, since=SINCE)
    (home / "ledger-1" / "keys" / duty.next_file_name).unlink()
    with pytest.raises(HomeRefusedError, match="next key is not here"):
        dated.start(home, duty, since=SINCE)
    assert not (home / "ledger-1" / "keys" / duty.next_file_name).exists()


@each_duty
def test_it_is_done_where_the_ledger_is_kept(home, duty):
    (home / "ledger-1" / "keys" / duty.file_name).unlink()
    with pytest.raises(HomeRefusedError, match="where the ledger is kept"):
        dated.start(home, duty, since=SINCE)


@each_duty
def test_a_crash_at_any_write_leaves_a_key_that_may_sign(home, later_of, public_of, crashes, duty):
    def rotate():
        dated.start(home, duty, since=SINCE)
        dated.finish(home, duty, at=AT)

    genesis = public_of("ledger-1", duty.file_name)
    for number in crashes(rotate):  # noqa: B007  looked at afterwards
        replaced = sum(bool(later.alone_since) for later in later_of(duty))
        in_use = [genesis, *(later.key for later in later_of(duty))][replaced:]
        assert public_of("ledger-1", duty.file_name) in in_use
    policies = len(policy_files(home)) if duty is KeyRole.LOG else 0
    assert number == 4 + policies
    [later] = later_of(duty)
    assert public_of("ledger-1", duty.file_name) == later.key
    assert later.alone_since == AT


def test_a_file_that_would_break_a_rule_is_not_written(home, cell_of):
    before = (home / "cell.toml").read_bytes()
    with pytest.raises(ConfigInvalidError, match="code"):
        revise(home, lambda cell: replace(cell, code="NO"))
    assert (home / "cell.toml").read_bytes() == before
