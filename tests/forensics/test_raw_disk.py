"""The same attacker with the whole disk of afterwards: free blocks and the journal included.

The cell lives on an ext4 of its own in a loop device, which needs root; elsewhere these are
skipped, with the reason.
"""

import os
from types import SimpleNamespace

import pytest
from forensics.cell import CellOnDisk, finds_payload
from forensics.disks import make_disk

from heptad.trials.forensics.loot import read_files, read_image

REQUESTS = 3


def live_on(disk, *, data):
    """A cell on that disk: three people, a backup with its key; Anna is erased, the key effaced."""
    story = SimpleNamespace(disk=disk)
    with disk.mounted(data=data) as folder:
        cell = story.cell = CellOnDisk(folder)
        made = enumerate(("anna", "ben", "carl"), 1)
        cell.commit(*(cell.register(name, seed=n) for n, name in made))
        for number in range(1, REQUESTS + 1):
            cell.commit(*(cell.request(person, number) for person in cell.people.values()))
        story.anna, story.ben, _ = cell.people.values()
        story.t0 = read_files([cell.home], without=[cell.data / "vault-root"])
        story.root_t0 = cell.attacker(cell.data / "vault-root").roots
        cell.back_up("backup")
        story.key = (folder / "backup.key").read_bytes()
        cell.close()
    story.image_t0 = read_image(disk.image)
    with disk.mounted(data=data):
        cell.open()
        story.caveat = cell.parts.vault.root_key_store.caveat
        cell.erase_key(story.anna)
        cell.destroy_old_routing_keys()
        cell.efface_backup_keys()
        cell.close()
    story.image_t1 = read_image(disk.image)
    return story


@pytest.fixture(scope="module")
def ordered(tmp_path_factory):
    """With ext4's usual journal, of metadata only."""
    return live_on(make_disk(tmp_path_factory.mktemp("ordered")), data="ordered")


def test_the_whole_disk_of_afterwards_says_nothing_of_the_erased_person(ordered):
    attacker = ordered.cell.attacker(ordered.image_t1, ordered.t0)
    assert finds_payload(attacker, ordered.anna) == 0
    assert attacker.links(ordered.anna.indexes) == {}
    # (the neighbour is found on the raw disk alone)
    alone = ordered.cell.attacker(ordered.image_t1)
    assert finds_payload(alone, ordered.ben) == REQUESTS
    assert alone.links(ordered.ben.indexes)["pointers"] == set(ordered.ben.indexes)


def test_the_caveat_of_the_root_key_names_the_file_system(ordered):
    assert "read back, on ext4; a drive" in ordered.caveat


def test_no_block_of_the_disk_holds_the_old_root_key_or_an_effaced_backup_key(ordered):
    (old,) = ordered.root_t0
    assert old not in ordered.cell.attacker(ordered.image_t1).roots
    assert ordered.image_t1.holding(old) == []
    assert ordered.image_t1.holding(ordered.key.strip()) == []


def test_the_whole_disk_of_before_gives_the_same_person_away(ordered):
    attacker = ordered.cell.attacker(ordered.image_t0)
    assert attacker.roots > ordered.root_t0
    assert finds_payload(attacker, ordered.anna) == REQUESTS
    assert attacker.links(ordered.anna.indexes)["routing"] == set(ordered.anna.indexes)


@pytest.mark.skipif("HEPTAD_FORENSICS" not in os.environ, reason="make forensics")
def test_a_journal_of_data_keeps_what_was_overwritten_and_the_attacker_finds_it(tmp_path):
    """Why the certificate's caveat names the file system: and the journal is really searched."""
    story = live_on(make_disk(tmp_path), data="journal")
    attacker = story.cell.attacker(story.image_t1)
    assert story.root_t0 <= attacker.roots
    assert finds_payload(attacker, story.anna) == REQUESTS
    assert "WHOSE JOURNAL MAY STILL HOLD THE OLD BLOCK" in story.caveat
