"""Opening what lies on disk: begun once, found again, refused where it does not belong together."""

import shutil

import pytest

from heptad.consensus.committee import Cell
from heptad.model.entry import Kind
from heptad.runtime.config import LedgerConfig, Node
from heptad.vault.errors import VaultFaultError
from heptad_ledger.errors import StoreDamagedError, StoreInUseError
from heptad_ledger.parts import LOG_FOLDER, ROOT_FOLDER, VAULT_FOLDER, open_parts

CONFIG = LedgerConfig(
    node=Node("ledger-1", "127.0.0.1:1", "127.0.0.1:2"),
    log_map_bytes_max=1 << 26,
    vault_map_bytes_max=1 << 26,
)


def opened(folder, group, *, cell=None):
    return open_parts(
        folder, cell=cell or group.cell, cell_code="ab", config=CONFIG, now_ms=1_700_000_000_000
    )


def catch_up(parts, group):
    result = parts.ingest.take(group.frames[parts.store.state.height :])
    assert result.refusal is None


def commit_subject(parts, group, kit, seed=1):
    """A subject and a request of it, committed and applied."""
    office = kit.Office(parts.vault)
    person = office.register(seed)
    group.commit(group.batch([person.registration, office.request(person)[0]]))
    catch_up(parts, group)
    return person


def test_what_was_applied_is_there_after_opening_again(tmp_path, group, kit):
    parts = opened(tmp_path, group)
    person = commit_subject(parts, group, kit)
    own_slot, index_key = parts.registry.own_slot, parts.vault.index_key()
    parts.close()
    again = opened(tmp_path, group)
    assert again.store.state.size == 2
    assert (again.registry.own_slot, again.vault.index_key()) == (own_slot, index_key)
    with again.store.snapshot() as snapshot:
        assert again.registry.find(snapshot, person.subject_id).slot == person.slot
    again.close()


def test_a_second_process_is_refused(tmp_path, group):
    parts = opened(tmp_path, group)
    with pytest.raises(StoreInUseError):
        opened(tmp_path, group)
    parts.close()


def test_a_lost_log_is_built_again_from_the_replicas_with_its_registry(tmp_path, group, kit):
    # given subjects, one of whom is erased meanwhile
    parts = opened(tmp_path, group)
    anna = commit_subject(parts, group, kit, seed=1)
    ben = commit_subject(parts, group, kit, seed=2)
    parts.vault.erase([ben.slot])
    root = parts.store.state.edge.root()
    parts.close()
    shutil.rmtree(tmp_path / LOG_FOLDER)
    # when the log's store begins anew beside the same vault
    again = opened(tmp_path, group)
    catch_up(again, group)
    # then it is the same log and the same registry, without the erased
    assert again.store.state.edge.root() == root
    with again.store.snapshot() as snapshot:
        found = again.registry.find(snapshot, anna.subject_id)
        assert (found.slot, found.keys[0].index) == (anna.slot, 0)
        assert again.registry.find(snapshot, ben.subject_id) is None
        assert snapshot.sealed(0) is not None
        assert snapshot.sealed(2) is None
    assert again.store.state.unfiled == 2
    again.close()


def test_a_log_beside_another_vault_is_refused(tmp_path, group):
    opened(tmp_path, group).close()
    for name in (VAULT_FOLDER, ROOT_FOLDER):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(StoreDamagedError, match="vault"):
        opened(tmp_path, group)
    # and nothing is left open
    with pytest.raises(StoreDamagedError, match="vault"):
        opened(tmp_path, group)


def test_a_vault_without_its_root_key_is_refused_and_nothing_is_left_open(tmp_path, group):
    opened(tmp_path, group).close()
    shutil.rmtree(tmp_path / ROOT_FOLDER)
    for _ in range(2):
        with pytest.raises(VaultFaultError):
            opened(tmp_path, group)


def test_the_data_of_another_cell_is_refused(tmp_path, group):
    opened(tmp_path, group).close()
    other = Cell("other.test", 0, group.cell.committee, group.cell.validators)
    with pytest.raises(StoreDamagedError, match="origin"):
        opened(tmp_path, group, cell=other)


def test_nobody_is_registered_on_the_ledgers_own_slot(tmp_path, group, kit):
    parts = opened(tmp_path, group)
    own = parts.vault.lookup(parts.registry.own_slot)
    office = kit.Office(parts.vault)
    payload = office.register(7).payload
    record = office.record(
        payload, slot=parts.registry.own_slot, slot_key=own, kind=Kind.SUBJECT_REGISTERED
    )
    group.commit(group.batch([record]))
    catch_up(parts, group)
    assert (parts.store.state.subjects, parts.store.state.unfiled) == (0, 1)
    parts.close()
