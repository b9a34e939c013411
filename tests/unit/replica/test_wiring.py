"""Whether a replica's keys are used at all is decided here, by what its disks say."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import heptad_replica.wiring
from heptad.consensus.ready import Persist
from heptad.crypto.keys import KeyRole
from heptad_replica.storage import LmdbStore
from heptad_replica.wiring import STARTED_MARKER, build_driver, has_started, mark_started


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **_: object) -> None:
        self.lines.append(event)


@dataclass
class Context:
    """As much of a service's context as the wiring looks at."""

    data: Path
    keys: Path
    log: Log
    name: str = "replica-1"
    cell: object = None
    config: object = None


@pytest.fixture(name="context")
def _context(tmp_path):
    for folder in ("data", "keys"):
        (tmp_path / folder).mkdir()
    return Context(tmp_path / "data", tmp_path / "keys", Log())


@pytest.fixture(name="built")
def _built(monkeypatch, context):
    """Build with a driver that only notes what it is given; keys that are read are noted too."""
    read: list[str] = []

    def load(path: Path) -> object:
        read.append(path.name)
        return object()

    monkeypatch.setattr(heptad_replica.wiring, "load_service_key", load)
    monkeypatch.setattr(heptad_replica.wiring, "agreed_cell", lambda cell: cell)
    monkeypatch.setattr(heptad_replica.wiring, "limits_of", lambda config: config)
    monkeypatch.setattr(
        heptad_replica.wiring, "Driver", lambda **given: SimpleNamespace(given=given, read=read)
    )

    def build(store: object) -> SimpleNamespace:
        return build_driver(context, store=store, outbox=None, sink=None)

    return build


@pytest.fixture(name="store")
def _store(context):
    store = LmdbStore(context.data / "store", map_bytes=1 << 26)
    yield store
    store.close()


def test_a_replica_that_starts_for_the_first_time_may_sign(built, store):
    driver = built(store)
    assert driver.read == [KeyRole.VOTE.file_name, KeyRole.COSIGN.file_name]
    assert driver.given["is_new"]


@pytest.mark.parametrize("place", ["data", "keys"])
def test_an_empty_store_beside_either_marker_makes_a_follower_whose_keys_are_not_even_read(
    built, store, context, place
):
    """The disk with the store is gone, with its marker or without: the keys remember."""
    (getattr(context, place) / STARTED_MARKER).write_bytes(b"")
    driver = built(store)
    assert driver.read == []
    assert driver.given["vote_signer"] is None
    assert driver.given["cosigner"] is None


def test_a_record_that_is_there_is_signed_by_whatever_the_markers_say(built, store):
    store.write(Persist(record=b"\x01 a member's"))
    assert built(store).given["vote_signer"] is not None


def test_a_followers_record_is_not_signed_by_though_both_markers_were_removed(built, store):
    store.write(Persist(record=b"\x02 a follower's"))
    assert built(store).read == []


def test_a_store_out_of_a_backup_has_blocks_and_no_record_so_it_is_not_signed_by(
    built, store, chain
):
    wave = chain.grow(1)
    store.write(Persist(blocks=wave.blocks, batches=wave.batches, state=wave.state))
    assert built(store).read == []


def test_the_first_start_marks_store_and_keys(context):
    assert not has_started(context)
    mark_started(context)
    assert (context.data / STARTED_MARKER).exists()
    assert (context.keys / STARTED_MARKER).exists()
    assert has_started(context)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_keys_that_lie_where_nothing_can_be_written_are_said_to_be_unmarked(context):
    context.keys.chmod(0o500)
    mark_started(context)
    context.keys.chmod(0o700)
    assert context.log.lines == ["key_not_marked"]
    assert has_started(context)


def test_keys_that_cannot_be_marked_do_not_keep_a_replica_from_starting(context):
    context.keys.rmdir()
    mark_started(context)
    assert context.log.lines == ["key_not_marked"]
    assert has_started(context)
