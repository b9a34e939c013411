"""With which keys a ledger signs checkpoints follows from its private keys and `cell.toml`."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from heptad.crypto.keys import Ed25519Key, save_key
from heptad.runtime.config.dated_keys import LaterKey
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad_ledger.publishing.signers import log_signers

OLD, NEW = Ed25519Key(b"o" * 32), Ed25519Key(b"n" * 32)
DAY, NEXT_DAY = "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"
OVERLAPPING, DONE = LaterKey(NEW.public_key, DAY), LaterKey(NEW.public_key, DAY, NEXT_DAY)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    home = tmp_path_factory.mktemp("home") / "cell"
    made = create_home(home, GenesisPlan(PortPlan(7700)), now=datetime(2026, 1, 1, tzinfo=UTC))
    return replace(made, ledgers=(replace(made.ledger, log_key=OLD.public_key),))


@pytest.fixture
def signing(cell, tmp_path):
    """The public keys of who signs, given what lies in `keys/` and what the cell names."""

    def signing(files, *later):
        for name, key in files.items():
            save_key(tmp_path / name, key)
        named = replace(cell, ledgers=(replace(cell.ledger, later_log_keys=later),))
        return [signer.key.public_key for signer in log_signers(named, tmp_path)]

    return signing


def test_one_key_signs_while_nothing_is_rotated(signing):
    assert signing({"log.pem": OLD}) == [OLD.public_key]


def test_both_sign_once_the_next_one_is_named(signing):
    files = {"log.pem": OLD, "log.next.pem": NEW}
    assert signing(files, OVERLAPPING) == [OLD.public_key, NEW.public_key]


def test_a_next_key_that_the_cell_does_not_name_signs_nothing(signing):
    assert signing({"log.pem": OLD, "log.next.pem": NEW}) == [OLD.public_key]


@pytest.mark.parametrize("later", [OVERLAPPING, DONE])
def test_the_new_key_signs_alone_once_it_has_taken_the_place(signing, later):
    assert signing({"log.pem": NEW}, later) == [NEW.public_key]


def test_a_replaced_key_that_comes_back_is_refused(signing):
    with pytest.raises(ConfigInvalidError, match="has in use"):
        signing({"log.pem": OLD}, DONE)


def test_a_key_of_nobody_is_refused(signing):
    with pytest.raises(ConfigInvalidError, match="not a log key"):
        signing({"log.pem": NEW})
