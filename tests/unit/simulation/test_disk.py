"""A simulated disk keeps what was synced, all of it or nothing of it."""

import pytest

from heptad.consensus.codec import encode_proof
from heptad.consensus.ready import Persist
from heptad.model.batch import encode_batch
from heptad.model.ids import Height
from heptad.simulation.disk import DiskFaultError, WriteFault
from heptad.simulation.violations import Broken, ViolationError


@pytest.fixture
def disk(scene):
    return scene.replicas[0].disk


def block_with_batch(scene):
    batch = scene.forge.batch(0, b"a")
    scene.submit(batch)
    return scene.forge.block(scene.forge.genesis, batch), batch


def test_a_new_disk_has_nothing_to_load(disk):
    assert disk.load() is None


def test_what_was_written_is_loaded_with_the_batches_of_uncommitted_blocks(scene, disk):
    block, batch = block_with_batch(scene)
    scene.store(scene.replicas[0], block, record=b"r1")
    restored = disk.load()

    assert restored.record == b"r1"
    assert restored.state is None
    assert restored.blocks == (block.encoded,)
    assert restored.batches == (encode_batch(batch),)


def test_a_committed_block_is_served_by_height_and_no_longer_restored(scene, disk):
    block, _ = block_with_batch(scene)
    scene.store_everywhere(block)
    commit = scene.forge.commit(block)
    disk.write(Persist(record=b"r2", commits=(commit,), state=b"s"))

    assert disk.load().blocks == ()
    assert disk.load().state == b"s"
    assert disk.committed(Height(1)).proof == encode_proof(commit.proof)
    assert disk.committed(Height(0)) is None
    assert disk.committed(Height(2)) is None
    assert disk.block(block.id) == block.encoded


def test_what_is_dropped_is_gone(scene, disk):
    block, batch = block_with_batch(scene)
    scene.store(scene.replicas[0], block)
    disk.write(Persist(blocks_dropped=(block.id,), batches_dropped=(batch.digest,)))

    assert disk.block(block.id) is None
    assert disk.batch(batch.digest) is None
    assert disk.load().blocks == ()


def test_a_committed_block_is_not_overwritten_by_another(scene, disk):
    block, _ = block_with_batch(scene)
    other = scene.forge.block(scene.forge.genesis, time_ms=5)
    for each in (block, other):
        scene.store_everywhere(each)
    disk.write(Persist(commits=(scene.forge.commit(block),)))

    with pytest.raises(ViolationError) as raised:
        disk.write(Persist(commits=(scene.forge.commit(other),)))
    assert raised.value.broken is Broken.FORK


@pytest.mark.parametrize(
    ("fault", "record", "is_kept"),
    [(WriteFault.NOTHING_KEPT, b"old", False), (WriteFault.ALL_KEPT, b"new", True)],
)
def test_a_failed_write_leaves_everything_or_nothing_and_fails_once(disk, fault, record, is_kept):
    disk.write(Persist(record=b"old"))
    disk.break_down(fault)
    with pytest.raises(DiskFaultError) as raised:
        disk.write(Persist(record=b"new"))

    assert raised.value.is_kept is is_kept
    assert disk.load().record == record
    disk.write(Persist(record=b"newer"))
    assert disk.load().record == b"newer"


def test_a_wiped_disk_is_a_new_one(scene, disk):
    block, _ = block_with_batch(scene)
    scene.store(scene.replicas[0], block)
    disk.wipe()

    assert disk.load() is None
    assert disk.block(block.id) is None


def test_the_write_that_fails_may_be_a_later_one(disk):
    disk.break_down(WriteFault.NOTHING_KEPT, after=2)
    disk.write(Persist(record=b"first"))
    disk.write(Persist(record=b"second"))

    with pytest.raises(DiskFaultError):
        disk.write(Persist(record=b"third"))
    assert disk.load().record == b"second"


def test_a_full_disk_takes_nothing_until_there_is_room(disk):
    disk.write(Persist(record=b"old"))
    disk.break_down(WriteFault.FULL)
    for _ in range(3):
        with pytest.raises(DiskFaultError):
            disk.write(Persist(record=b"new"))
    assert disk.load().record == b"old"

    disk.mend()
    disk.write(Persist(record=b"new"))
    assert disk.load().record == b"new"


def test_a_torn_write_leaves_what_never_was(disk):
    disk.write(Persist(record=b"old", state=b"state"))
    disk.break_down(WriteFault.TORN)
    with pytest.raises(DiskFaultError):
        disk.write(Persist(record=b"new", state=b"next"))

    restored = disk.load()
    assert (restored.record, restored.state) != (b"old", b"state")
    assert disk.is_torn


def test_a_disk_that_loses_writes_forgets_them_when_the_power_goes(scene, disk):
    block, _ = block_with_batch(scene)
    disk.write(Persist(record=b"kept"))
    disk.lose_writes()
    disk.write(Persist(record=b"lost", blocks=(block,)))
    assert disk.load().record == b"lost"

    disk.lose_power()
    assert disk.load().record == b"kept"
    assert disk.header(block.id) is None
    disk.write(Persist(record=b"lost again"))
    disk.lose_power()
    assert disk.load().record == b"kept"
