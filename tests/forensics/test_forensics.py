"""An attacker with every file from before and after an erasure, and the live root of afterwards.

Each test is one sentence of what an erasure promises, or one in which the attacker must succeed so
that his failure means something. Here only the vault's part of an erasure is done: no row is
deleted and no replica drops anything, which is the harder case for us and holds all the same.
"""

import json
from types import SimpleNamespace

import pytest
from forensics.cell import CellOnDisk, finds_payload
from typer.testing import CliRunner

from heptad.cli import main
from heptad.crypto.derivation import lease_key, subject_index_key
from heptad.trials.forensics.attacker import WAYS
from heptad.trials.forensics.loot import read_files
from heptad.trials.privacy.canaries import needles_of

REQUESTS = 4
LONG = "a long text " * 600


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    cell = CellOnDisk(tmp_path_factory.mktemp("forensics"))
    yield cell
    cell.close()


@pytest.fixture(scope="module")
def story(cell):
    """Anna, Ben and Carl; Anna is erased; later the routing key of that time is destroyed.

    T0 is before, without the live root; T1 is after the erasure, T2 at the end.
    """
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben", "carl"), 1)))
    people = list(cell.people.values())
    for number in range(1, REQUESTS):
        cell.commit(*(cell.request(person, number) for person in people))
    # One request does not fit on a page, and the rows are put from `recent` into their tables.
    cell.commit(*(cell.request(person, REQUESTS, filler=LONG) for person in people))
    cell.parts.store.settle()
    anna, ben, _ = people
    story = SimpleNamespace(anna=anna, ben=ben, t0=read_files([cell.copy_without_root("t0")]))
    story.root_t0 = read_files([cell.data / "vault-root"])
    story.before = cell.attacker(story.t0, story.root_t0)
    cell.erase_key(anna)
    story.t1 = read_files([cell.copy_without_root("t1")])
    story.root_t1 = read_files([cell.data / "vault-root"])
    story.after = cell.attacker(story.t0, story.t1, story.root_t1)
    cell.destroy_old_routing_keys()
    story.t2 = read_files([cell.home])
    story.at_the_end = cell.attacker(story.t0, story.t1, story.t2)
    return story


# What is promised.


def test_no_payload_of_the_erased_person_opens_with_any_key_in_reach(story):
    assert finds_payload(story.after, story.anna) == 0
    assert finds_payload(story.at_the_end, story.anna) == 0


def test_the_key_itself_is_in_nobodys_reach(story):
    assert story.after.keys.of_slot(story.anna.slot) == set()
    assert story.anna.slot_key not in story.at_the_end.keys.slots


def test_nothing_links_two_entries_of_the_erased_person_once_the_routing_key_is_gone(story):
    assert story.at_the_end.links(story.anna.indexes) == {}


def test_until_then_only_routing_headers_in_old_copies_link_them(story):
    # which is what a certificate's `link_until` says
    assert set(story.after.links(story.anna.indexes)) == {"routing", "lease"}
    assert story.after.links(story.anna.indexes)["routing"] == set(story.anna.indexes)


def test_nothing_personal_lies_open_in_any_file(story):
    everywhere = story.t0 + story.t1 + story.t2
    for person in (story.anna, story.ben):
        lease = lease_key(slot_key=person.slot_key, lease_id=person.lease_id)
        secrets = [
            person.canary.encode(), person.subject_id.encode(), person.key.public.kid.encode(),
            person.slot_key, lease, subject_index_key(person.slot_key), person.lease_id,
        ]  # fmt: skip
        for secret in secrets:
            needles = needles_of("secret", secret)
            assert [where for n in needles for where in everywhere.holding(n.data)] == []


def test_no_root_key_but_the_live_one_lies_anywhere(story):
    assert len(story.at_the_end.roots) == 1
    (old,) = story.before.roots
    assert (story.t0 + story.t1 + story.t2).holding(old) == []


# Where the attacker must succeed.


def test_the_neighbour_is_found_by_the_same_attacker(story):
    for attacker in (story.after, story.at_the_end):
        assert finds_payload(attacker, story.ben) == REQUESTS
        links = attacker.links(story.ben.indexes)
        assert links["pointers"] == links["records"] == set(story.ben.indexes)


def test_before_the_erasure_the_same_person_is_found_in_every_way(story):
    assert finds_payload(story.before, story.anna) == REQUESTS
    assert story.anna.slot_key in story.before.keys.of_slot(story.anna.slot)
    links = story.before.links(story.anna.indexes)
    assert set(links) == set(WAYS) - {"registry"}
    assert set(links.values()) == {frozenset(story.anna.indexes)}
    # (the registry's row leads to the entry of the one key that she has)
    assert frozenset(story.anna.indexes[:1]) in story.before.groups["registry"]


def test_with_the_old_root_key_the_files_of_afterwards_still_give_everything_away(cell, story):
    """Why the root key must be destroyed: freed pages of T1 hold the old path."""
    attacker = cell.attacker(story.t1, story.root_t0)
    assert finds_payload(attacker, story.anna) == REQUESTS
    assert attacker.links(story.anna.indexes)["pointers"] == set(story.anna.indexes)


def test_without_any_root_key_nothing_opens(cell, story):
    attacker = cell.attacker(story.t0, story.t1)
    assert (attacker.roots, attacker.payloads()) == (frozenset(), [])
    assert not any(attacker.groups.values())


@pytest.mark.parametrize("place", ["ledger", "replica"])
def test_each_place_is_searched_for_itself(cell, story, place):
    """A long payload is on overflow pages, in the ledger and in the replicas' batches."""
    folder = cell.data if place == "ledger" else cell.home / "replica-1"
    vault = read_files([cell.data / "vault", cell.data / "vault-root"])
    attacker = cell.attacker(read_files([folder]), vault)
    if place == "ledger":
        assert finds_payload(attacker, story.ben) == REQUESTS
        return
    # In the replicas' copies a record names no lease: without the routing key they say nothing.
    assert finds_payload(attacker, story.ben) == 0
    vault_t0 = read_files([cell.folder / "t0" / "ledger-1" / "data" / "vault"])
    before = cell.attacker(read_files([folder]), vault_t0, story.root_t0)
    assert finds_payload(before, story.ben) == REQUESTS


# As an operator drills it.


def test_the_command_tells_what_is_found_and_what_is_not(cell, story):
    def run(person, *paths):
        words = ["privacy", "forensics", *map(str, paths), "--home", str(cell.home), "--json"]
        words += ["--canary", person.canary, "--subject", person.subject_id]
        words += [word for index in person.indexes for word in ("--entry", str(index))]
        done = CliRunner().invoke(main.build(words), words)
        return done.exit_code, json.loads(done.stdout)

    status, found = run(story.anna, cell.folder / "t0", cell.home)
    assert (status, found["opened"], found["links"], found["in_the_open"]) == (0, 0, {}, [])
    status, found = run(story.ben, cell.home)
    assert status == 1
    assert found["opened"] >= REQUESTS
    assert found["links"]["pointers"] == story.ben.indexes
