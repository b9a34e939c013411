"""Control: against a vault that merely deletes keys, the same attacker finds everything.

So the search is known to be able to find, and the key tree is known to be needed.
"""

import lmdb
from forensics.cell import CellOnDisk, finds_payload

from heptad.trials.forensics.loot import read_files


def naive_vault(folder, people):
    """Keys of slots as plain rows of LMDB, as anybody would write it first."""
    environment = lmdb.open(str(folder), map_size=1 << 24)
    for person in people:
        with environment.begin(write=True) as transaction:
            transaction.put(person.slot.to_bytes(8, "big"), person.slot_key)
    return environment


def test_a_key_that_was_only_deleted_opens_its_records_and_links_them(tmp_path):
    cell = CellOnDisk(tmp_path)
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben"), 1)))
    for number in (1, 2):
        cell.commit(*(cell.request(person, number) for person in cell.people.values()))
    anna = cell.people["anna"]
    naive = naive_vault(tmp_path / "naive", cell.people.values())
    with naive.begin(write=True) as transaction:
        assert transaction.delete(anna.slot.to_bytes(8, "big"))
    with naive.begin() as transaction:
        assert transaction.get(anna.slot.to_bytes(8, "big")) is None
    naive.close()
    cell.close()
    files = read_files([tmp_path / "naive", cell.data / "log"])
    attacker = cell.attacker(files)
    assert attacker.roots == frozenset()
    assert finds_payload(attacker, anna) == 2
    assert attacker.links(anna.indexes)["pointers"] == set(anna.indexes)
