"""The names under which a cell signs are formed from the cell alone."""

from dataclasses import replace

from heptad.runtime.config import Cell
from heptad.runtime.config.dated_keys import LaterKey
from heptad.runtime.vkeys import cell_policy, log_vkey, log_vkeys, witness_vkey
from heptad.transparency.notes import SignatureType
from heptad.transparency.policy import Policy


def test_the_logs_key_is_called_as_the_origin(cell: Cell) -> None:
    key = log_vkey(cell)
    assert (key.name, key.type) == (cell.origin, SignatureType.LOG)
    assert key.public_key == cell.ledger.log_key


def test_a_replicas_key_is_called_as_its_certificate_is(cell: Cell) -> None:
    key = witness_vkey(cell, cell.replica("replica-4"))
    assert (key.name, key.type) == (f"replica-4.{cell.origin}", SignatureType.COSIGNATURE)
    assert key.public_key == cell.replica("replica-4").cosign_key


def test_five_of_seven_replicas_are_a_quorum_and_four_are_not(cell: Cell) -> None:
    policy = cell_policy(cell)
    names = [replica.id for replica in cell.replicas]
    assert policy.has_quorum(names[:5])
    assert not policy.has_quorum(names[:4])


def test_a_policy_lists_every_log_key_under_the_logs_one_name(cell: Cell) -> None:
    later = LaterKey(b"l" * 32, "2026-02-01T00:00:00Z")
    rotated = replace(cell, ledgers=(replace(cell.ledger, later_log_keys=(later,)),))
    policy = Policy.parse(cell_policy(rotated).format())
    assert tuple(log.key for log in policy.logs) == log_vkeys(rotated)
    assert [key.public_key for key in log_vkeys(rotated)] == [cell.ledger.log_key, b"l" * 32]
    assert {key.name for key in log_vkeys(rotated)} == {cell.origin}
    assert policy.witnesses == cell_policy(cell).witnesses
