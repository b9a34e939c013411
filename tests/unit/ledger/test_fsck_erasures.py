"""After an erasure a check finds nothing wrong, and finds what is wrong with an erasure."""

import shutil

import lmdb
import pytest
from forensics.cell import CellOnDisk

from heptad_ledger.fsck.run import Job, check
from heptad_ledger.store.checked import with_check
from heptad_ledger.store.environment import TABLES
from heptad_ledger.store.erasure_rows import ErasureCase


@pytest.fixture(scope="module")
def erased(tmp_path_factory):
    """Anna is erased, and all of it is in the log."""
    cell = CellOnDisk(tmp_path_factory.mktemp("erased"))
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben"), 1)))
    cell.commit(*(cell.request(person, 1) for person in cell.people.values()))
    cell.order_erasure(cell.people["anna"])
    cell.close()
    shutil.copytree(cell.data / "vault", cell.folder / "old" / "vault")
    shutil.copytree(cell.data / "vault-root", cell.folder / "old" / "vault-root")
    cell.open()
    cell.carry_out()
    cell.close()
    return cell


@pytest.fixture
def data(erased, tmp_path):
    shutil.copytree(erased.data, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def findings(erased, data):
    def findings():
        found = []
        check(Job(data, None, erased.cell), report=found.append, progress=lambda *_: None)
        return {finding.code.value: finding.detail for finding in found}

    return findings


def altered(data, table, change):
    """Give every row of a table to `change`, which may return another value."""
    with lmdb.open(str(data / "log"), max_dbs=len(TABLES), map_size=1 << 30) as environment:
        handle = environment.open_db(table.encode(), create=False)
        with environment.begin(write=True, db=handle) as transaction:
            rows = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
            for key, value in rows:
                changed = change(key, value)
                if changed is None:
                    transaction.delete(key)
                elif changed != value:
                    transaction.put(key, changed)


def test_an_erasure_is_nothing_that_is_wrong(findings):
    assert findings() == {}


def test_a_key_that_is_there_although_its_erasure_was_carried_out_is_found(erased, data, findings):
    for folder in ("vault", "vault-root"):
        shutil.rmtree(data / folder)
        shutil.copytree(erased.folder / "old" / folder, data / folder)
    assert f"the key of slot {erased.people['anna'].slot} is there" in findings()["erasure_wrong"]


def test_a_case_that_names_another_entry_is_found(data, findings):
    def change(key, value):
        if not key.startswith(b"n"):
            return value
        case = ErasureCase.decode(value[:-8])
        object.__setattr__(case, "order_index", 0)
        return with_check(b"erasure", key, case.encode())

    altered(data, "erasure", change)
    assert findings() == {"erasure_wrong": "entry 0 is no ERASURE_ORDERED of it"}


@pytest.mark.parametrize("row", [b"n", b"d", b"s"])
def test_a_bit_changed_in_any_row_of_a_case_is_found(data, findings, row):
    def change(key, value):
        return bytes([value[0] ^ 1]) + value[1:] if key.startswith(row) else value

    altered(data, "erasure", change)
    assert "table_damaged" in findings()


def test_a_tombstone_without_an_erasure_is_found(data, findings):
    altered(data, "erasure", lambda key, value: None if key.startswith(b"d") else value)
    found = findings()
    assert "request that is not known" in found["registry_wrong"]


def test_a_tombstone_that_is_gone_is_found_for_the_id_could_come_back(data, findings):
    shortest = []
    altered(data, "subject", lambda key, value: shortest.append((len(value), key)) or value)
    _, tombstone = min(shortest)
    altered(data, "subject", lambda key, value: None if key == tombstone else value)
    assert findings() == {"erasure_wrong": "no row keeps the id of its subject from coming back"}
