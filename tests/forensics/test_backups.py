"""What backups know of an erased person, until when, and that the book of keys says so.

An erasure is beyond use only when no backup of before opens any more: that is the day which a
certificate names, and the key's effacement is what makes it true.
"""

import shutil
from types import SimpleNamespace

import pytest
from forensics.cell import NOW_MS, CellOnDisk, finds_payload

from heptad.trials.forensics.loot import read_files
from heptad_ledger.backup.key_book import beyond_use_ms

DAY_MS = 86_400_000
DAYS = 7


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A backup with its key; then Anna is erased; another backup; both keys still lie about."""
    cell = CellOnDisk(tmp_path_factory.mktemp("backups"))
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben"), 1)))
    for number in (1, 2):
        cell.commit(*(cell.request(person, number) for person in cell.people.values()))
    anna, ben = cell.people.values()
    story = SimpleNamespace(cell=cell, anna=anna, ben=ben)
    story.before, story.key_before = cell.back_up("before", days=DAYS)
    story.keyless, _ = cell.back_up("keyless", with_key=False)
    cell.erase_key(anna)
    story.erased_at = cell.parts.vault.epoch
    cell.destroy_old_routing_keys()
    story.after, story.key_after = cell.back_up("after", days=2 * DAYS)
    yield story
    cell.close()


def test_a_backup_of_before_opens_with_its_key_and_the_book_says_until_when(story):
    attacker = story.cell.attacker(story.before, story.key_before)
    assert finds_payload(attacker, story.anna) == 2
    assert attacker.links(story.anna.indexes)["pointers"] == set(story.anna.indexes)
    until_ms = beyond_use_ms(story.cell.data, erased_at_epoch=story.erased_at)
    assert until_ms == NOW_MS + DAYS * DAY_MS


def test_a_backup_of_before_does_not_open_with_the_live_root_or_a_later_backups_key(story):
    live = read_files([story.cell.home])
    attacker = story.cell.attacker(story.before, story.keyless, live, story.key_after)
    assert finds_payload(attacker, story.anna) == 0
    assert attacker.links(story.anna.indexes) == {}
    assert finds_payload(attacker, story.ben) == 2


def test_a_backup_of_afterwards_has_nothing_of_the_erased_person(story):
    attacker = story.cell.attacker(story.after, story.key_after)
    assert finds_payload(attacker, story.anna) == 0
    assert finds_payload(attacker, story.ben) == 2


def test_once_its_key_is_effaced_a_backup_of_before_says_nothing_to_anybody(story, tmp_path):
    cell = story.cell
    key_file = tmp_path / "a hard link keeps the blocks"
    key_file.hardlink_to(story.key_before)
    shutil.copytree(story.before, tmp_path / "copy")
    cell.efface_backup_keys()
    # then neither the place of the key nor its blocks hold it, and the promise is kept
    assert not story.key_before.exists()
    attacker = cell.attacker(story.before, tmp_path, read_files([cell.home]))
    assert finds_payload(attacker, story.anna) == 0
    assert attacker.links(story.anna.indexes) == {}
    assert beyond_use_ms(cell.data, erased_at_epoch=story.erased_at) == 0
