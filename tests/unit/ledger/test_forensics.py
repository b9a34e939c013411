"""What is left on the ledger's disk of a subject whose slot is destroyed: nothing that links.

A smoke test with an attacker who has every file and the live root afterwards. It tries all that the
vault still opens, and looks at raw bytes; before the erasure the same attacker must succeed, or it
would be blind.
"""

import shutil
from itertools import pairwise

import lmdb
import pytest

from heptad.crypto.derivation import subject_index_key, subject_row_key
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.filing import open_routing_box
from heptad.crypto.registry_rows import open_keys, registry_row_key
from heptad.crypto.sealing import open_stored
from heptad.vault.errors import SlotErasedError, SlotUnknownError
from heptad_ledger.store.checked import CHECK_BYTES
from heptad_ledger.store.environment import TABLES
from heptad_ledger.store.recent import unpack_rows
from heptad_ledger.store.row_pages import cut

CANARY = "canary-7f3a91"
LEASE_ID = b"\x44" * 16


class Attacker:
    """Has the log's files and an open vault."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.slot_keys = {}
        for slot in range(1, ledger.vault.slot_next):
            try:
                self.slot_keys[slot] = ledger.vault.lookup(slot)
            except (SlotErasedError, SlotUnknownError):
                continue

    def tables(self):
        """Every row of every table, out of a copy of the file."""
        folder = self.ledger.folder / "copied"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.ledger.folder / "log" / "data.mdb", folder)
        rows = {}
        with lmdb.open(str(folder), max_dbs=len(TABLES), readonly=True, lock=False) as env:
            for name in TABLES:
                db = env.open_db(name.encode(), create=False)
                with env.begin(db=db) as transaction:
                    rows[name] = [(bytes(k), bytes(v)) for k, v in transaction.cursor()]
        return rows

    def raw(self):
        return (self.ledger.folder / "log" / "data.mdb").read_bytes()

    def linked(self):
        """For each slot that opens, the indexes that its key finds."""
        rows = self.tables()
        by_subject = {row[:16]: row[16:] for _, page in rows["by_subject"] for row in cut(page)}
        for _, packed in rows["recent"]:
            by_subject.update(unpack_rows(packed)[0])
        found = {}
        for slot, key in self.slot_keys.items():
            index_key, indexes = subject_index_key(key), []
            while (
                row := by_subject.get(subject_row_key(index_key=index_key, row=len(indexes)))
            ) is not None:
                indexes.append(int.from_bytes(row, "big"))
            found[slot] = indexes
        return found

    def payloads(self):
        """Every record that any key opens."""
        opened = {}
        with self.ledger.store.snapshot() as snapshot:
            for packed, stored in self.tables()["sealed"]:
                index = int.from_bytes(packed, "big")
                for key in self.slot_keys.values():
                    try:
                        record = open_stored(
                            stored,
                            entry=snapshot.entry(index),
                            entry_index=index,
                            slot_key=key,
                        )
                    except SealBrokenError:
                        continue
                    opened[index] = record.payload
        return opened

    def registering_slots(self):
        """Slots that the kept routing headers of registrations still give away, by entry index."""
        keys = self.ledger.registry.routing_keys()
        rows = [value for _, value in self.tables()["subject"]]
        boxes = [row[:-CHECK_BYTES] for row in rows if len(row) == 85 + CHECK_BYTES]
        found = []
        with self.ledger.store.snapshot() as snapshot:
            for box in boxes:
                for index in range(snapshot.state().size):
                    opened = open_routing_box(box, entry=snapshot.entry(index), routing_keys=keys)
                    if opened is not None:
                        found.append((int.from_bytes(opened[0], "big"), index))
        return sorted(found)


@pytest.fixture
def people(ledger, group, office):
    """Two subjects with three entries each, over several waves and with a restart."""
    anna, ben = office.register(1), office.register(2)
    group.commit(group.batch([anna.registration, ben.registration]))
    ledger.catch_up()
    for _ in range(2):
        records = [office.request(person, data={"x": CANARY})[0] for person in (anna, ben)]
        group.commit(group.batch(records))
        ledger.catch_up()
    ledger.store.settle()
    group.commit(group.batch([office.request(ben, data={"x": CANARY})[0]]))
    ledger.catch_up()
    return anna, ben


def erase(ledger, person):
    """What the erasure of a slot does to the vault (rows are deleted by a later step)."""
    old = [dated.key.key_id for dated in ledger.vault.routing_keys()]
    ledger.vault.rotate_routing_key(now_ms=1)
    ledger.vault.erase([person.slot], routing_key_ids=old)
    ledger.filer.forget()


def test_before_an_erasure_the_attacker_finds_everything(ledger, people):
    anna, ben = people
    attacker = Attacker(ledger)
    assert attacker.linked()[anna.slot] == [0, 2, 4]
    assert attacker.linked()[ben.slot] == [1, 3, 5, 6]
    assert sorted(attacker.payloads()) == [0, 1, 2, 3, 4, 5, 6]
    assert attacker.registering_slots() == [(anna.slot, 0), (ben.slot, 1)]


def test_after_the_key_is_gone_no_row_opens_or_links_and_the_neighbour_is_whole(ledger, people):
    anna, ben = people
    erase(ledger, anna)
    attacker = Attacker(ledger)
    assert anna.slot not in attacker.slot_keys
    assert attacker.linked()[ben.slot] == [1, 3, 5, 6]
    assert sorted(attacker.payloads()) == [1, 3, 5, 6]
    assert attacker.registering_slots() == []
    # then the registry's row is there, but says nothing of entries
    with ledger.store.snapshot() as snapshot:
        registry_key = ledger.vault.lookup(ledger.own_slot)
        row_key = registry_row_key(registry_key=registry_key, subject_id=anna.subject_id)
        row = snapshot.subject(row_key)
        for key in attacker.slot_keys.values():
            with pytest.raises(SealBrokenError):
                open_keys(row, slot_key=key, subject_id=anna.subject_id)
        assert ledger.registry.find(snapshot, anna.subject_id) is None


def test_two_records_of_one_subject_and_lease_share_no_bytes_on_disk(ledger, people):
    rows = dict(Attacker(ledger).tables()["sealed"])
    of_anna = [rows[index.to_bytes(8, "big")] for index in (0, 2, 4)]
    for first, second in pairwise(of_anna):
        windows = {first[at : at + 6] for at in range(len(first) - 6)}
        assert not windows & {second[at : at + 6] for at in range(len(second) - 6)}


def test_nothing_personal_stands_in_the_file_in_the_clear(ledger, people):
    raw = Attacker(ledger).raw()
    for person in people:
        secrets = [
            person.subject_id.encode(), person.subject_id.partition("-")[2].encode(),
            person.key.public.kid.encode(), person.slot_key, person.witness, person.payload,
        ]  # fmt: skip
        for secret in secrets:
            assert secret not in raw
    assert CANARY.encode() not in raw
    assert LEASE_ID not in raw
