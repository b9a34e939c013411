"""The replica's disk: what a wave wrote is there after any end of the process, and nothing else."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from random import Random

import lmdb
import pytest

import heptad_replica.storage
from heptad.consensus.chain import encode_committed
from heptad.consensus.codec import encode_proof
from heptad.consensus.limits import Limits
from heptad.consensus.messages import FetchChain
from heptad.consensus.objects import BatchId
from heptad.consensus.ready import Persist
from heptad.consensus.serving import answer
from heptad.consensus.state import ChainState
from heptad.consensus.tree import Node
from heptad.model.ids import Height, ValidatorNumber
from heptad.transparency.merkle import CompactRange
from heptad.transparency.subtrees import Growth, grown_by_cover, grown_by_leaves
from heptad_replica.storage import LmdbStore, StoreInUseError


@pytest.fixture(name="store")
def _store(tmp_path):
    store = LmdbStore(tmp_path / "store", map_bytes=1 << 28)
    yield store
    store.close()


def reopened(store: LmdbStore, tmp_path: Path) -> LmdbStore:
    store.close()
    return LmdbStore(tmp_path / "store", map_bytes=1 << 28)


def test_an_empty_store_has_no_record(store):
    assert store.load() is None
    assert store.height() == 0


def test_a_second_replica_over_the_same_record_does_not_start(store, tmp_path):
    with pytest.raises(StoreInUseError):
        LmdbStore(tmp_path / "store", map_bytes=1 << 28)
    again = reopened(store, tmp_path)
    again.close()


def test_what_a_wave_wrote_is_there_after_a_restart(store, tmp_path, chain):
    wave = chain.grow(3)
    store.write(wave)

    again = reopened(store, tmp_path)

    restored = again.load()
    assert (restored.record, restored.state) == (wave.record, wave.state)
    assert again.height() == 3
    for commit in wave.commits:
        kept = again.committed(commit.block.height)
        assert (kept.block, kept.proof) == (commit.block.encoded, encode_proof(commit.proof))
        assert again.stored_block(commit.block.height).first_index == commit.first_index
    for digest, encoded in wave.batches:
        assert again.batch(digest) == encoded
    again.close()


def test_only_open_blocks_and_their_batches_are_restored(store, tmp_path, chain):
    store.write(chain.grow(2))
    ref, encoded = chain.batch(1)
    block = chain.block(ref)
    store.write(Persist(blocks=(block,), batches=((ref.digest, encoded),)))

    restored = store.load()

    assert restored.blocks == (block.encoded,)
    assert restored.batches == (encoded,)


def test_a_committed_block_is_no_longer_open(store, chain):
    block = chain.block()
    store.write(Persist(record=b"r", blocks=(block,)))
    store.write(Persist(commits=(chain.commit(block),)))
    assert store.load().blocks == ()


def test_a_header_that_comes_again_after_its_commit_stays_committed(store, chain):
    block = chain.block()
    store.write(Persist(record=b"r", blocks=(block,)))
    store.write(Persist(commits=(chain.commit(block),)))
    store.write(Persist(blocks=(block,)))
    assert store.load().blocks == ()


def test_dropped_blocks_and_batches_are_gone(store, chain):
    ref, encoded = chain.batch(1)
    block = chain.block(ref)
    store.write(Persist(record=b"r", blocks=(block,), batches=((ref.digest, encoded),)))
    store.write(Persist(blocks_dropped=(block.id,), batches_dropped=(ref.digest,)))
    assert store.block(block.id) is None
    assert store.batch(ref.digest) is None
    assert store.load().blocks == ()


def test_a_committed_block_cannot_be_dropped(store, chain):
    block = chain.block()
    store.write(Persist(record=b"r", blocks=(block,), commits=(chain.commit(block),)))
    store.write(Persist(blocks_dropped=(block.id,)))
    assert store.block(block.id) == block.encoded


def test_writing_a_wave_twice_changes_nothing(store, chain):
    wave = chain.grow(2)
    store.write(wave)
    before = store.load()
    store.write(wave)
    assert store.load() == before
    assert store.height() == 2


def test_a_batch_is_found_by_its_number_with_its_place(store, chain):
    wave = chain.grow(3, count=4)
    store.write(wave)
    place = store.place(BatchId(ValidatorNumber(1), 1, 2))
    assert (place.height, place.first_index) == (3, 8)
    assert place.digest == wave.commits[2].block.batches[0].digest
    assert store.place(BatchId(ValidatorNumber(1), 1, 3)) is None


def test_bug_02_every_write_is_synced_and_so_is_the_folder_that_names_the_file(
    tmp_path, monkeypatch
):
    synced: list[Path] = []
    monkeypatch.setattr(heptad_replica.storage, "sync_folder", synced.append)
    store = LmdbStore(tmp_path / "store", map_bytes=1 << 24)
    flags = store._env.flags()
    assert (flags["sync"], flags["metasync"], flags["map_async"]) == (True, True, False)
    assert synced == [tmp_path / "store", tmp_path]
    store.close()


def test_bug_31_a_batch_is_never_found_as_a_block_nor_a_block_as_a_batch(store, chain):
    wave = chain.grow(1)
    store.write(wave)
    (block,), ((digest, _),) = wave.blocks, wave.batches
    assert store.batch(block.id) is None
    assert store.block(digest) is None


def test_a_full_disk_fails_the_whole_wave_and_keeps_the_last(tmp_path, chain):
    store = LmdbStore(tmp_path / "store", map_bytes=1 << 20)
    first = chain.grow(1)
    store.write(first)
    ref, _ = chain.batch(1)
    huge = Persist(record=b"new", batches=((ref.digest, bytes(2 << 20)),))
    with pytest.raises(lmdb.MapFullError):
        store.write(huge)
    assert store.load().record == first.record
    assert store.batch(ref.digest) is None
    store.close()


def test_only_published_blocks_beyond_the_retention_are_pruned(store, chain):
    wave = chain.grow(10)
    store.write(wave)

    assert store.prune(height_max=10, size_max=15, retention_bytes=0) == 5
    assert store.prune(height_max=10, size_max=15, retention_bytes=0) == 0
    kept_bytes = sum(size_of(commit) for commit in wave.commits[6:])
    assert store.prune(height_max=10, size_max=30, retention_bytes=kept_bytes - 1) == 1
    assert store.prune(height_max=10, size_max=30, retention_bytes=kept_bytes - 1) == 0

    kept = [store.batch(digest) is not None for digest, _ in wave.batches]
    assert kept == [False] * 6 + [True] * 4
    assert store.next_height(1) == 7


def test_what_a_ledger_says_must_go_goes_whatever_would_be_kept(store, chain):
    store.write(chain.grow(10))
    kept = {"height_max": 8, "size_max": 99, "retention_bytes": 1 << 30}
    assert store.prune(**kept) == 0
    assert store.prune(**kept, drop_height=4) == 4
    assert store.next_height(1) == 5
    # but nothing that the ledger has not made durable and published
    assert store.prune(**kept, drop_height=99) == 4
    assert store.next_height(1) == 9
    assert store.prune(height_max=99, size_max=99, retention_bytes=1 << 30, drop_height=99) == 1
    assert store.next_height(1) == 10


def size_of(commit) -> int:
    batches = sum(ref.size_bytes for ref in commit.block.batches)
    return len(commit.block.encoded) + len(encode_proof(commit.proof)) + batches


def test_a_pruned_block_leaves_nothing_behind(store, chain):
    wave = chain.grow(3)
    store.write(wave)
    store.prune(height_max=2, size_max=99, retention_bytes=0)
    for commit in wave.commits[:2]:
        (ref,) = commit.block.batches
        assert store.committed(commit.block.height) is None
        assert store.block(commit.block.id) is None
        assert store.batch(ref.digest) is None
        assert store.place(ref.id) is None
    assert store.committed(3).block == wave.commits[2].block.encoded
    assert store.height() == 3


def test_nothing_above_what_the_ledger_has_applied_is_pruned(store, chain):
    wave = chain.grow(4)
    store.write(wave)
    assert store.prune(height_max=2, size_max=99, retention_bytes=0) == 2
    assert store.batch(wave.batches[2][0]) is not None


def test_the_last_commit_keeps_its_batches_whatever_is_acknowledged(store, chain):
    wave = chain.grow(2)
    store.write(wave)
    store.prune(height_max=99, size_max=99, retention_bytes=0)
    assert store.batch(wave.batches[1][0]) is not None


def test_batches_that_blocks_above_the_last_commit_refer_to_are_never_pruned(store, chain):
    store.write(chain.grow(3))
    open_refs = [chain.batch(2) for _ in range(3)]
    blocks = tuple(chain.block(ref) for ref, _ in open_refs)
    batches = tuple((ref.digest, encoded) for ref, encoded in open_refs)
    store.write(Persist(blocks=blocks, batches=batches))
    store.prune(height_max=99, size_max=1 << 40, retention_bytes=0)
    restored = store.load()
    assert set(restored.blocks) == {block.encoded for block in blocks}
    assert set(restored.batches) == {encoded for _, encoded in open_refs}


def test_blocks_on_both_sides_of_a_jump_are_pruned_by_one_rule(store, chain):
    store.write(chain.grow(2))
    skipped = [chain.block() for _ in range(4)]
    store.write(Persist(commits=(replace(chain.commit(skipped[-1]), is_jump=True),)))
    store.write(chain.grow(3))
    assert store.height() == 9
    assert store.prune(height_max=7, size_max=99, retention_bytes=0) == 4
    assert store.next_height(1) == 8


def test_what_is_stored_is_counted_without_what_was_pruned(store, chain):
    assert store.stored_bytes() == 0
    wave = chain.grow(6)
    store.write(wave)
    before = store.stored_bytes()
    store.prune(height_max=3, size_max=99, retention_bytes=0)
    gone = sum(map(size_of, wave.commits[1:4]))
    assert store.stored_bytes() == before - gone


# What leads from one size of the log to another.


@pytest.mark.parametrize("seed", range(4))
def test_a_store_leads_from_any_boundary_to_its_head_although_its_blocks_are_pruned(
    store, chain, seed
):
    rng = Random(seed)
    edges = [CompactRange.empty()]
    for _ in range(40):
        leaves = [rng.randbytes(32) for _ in range(rng.choice((1, 2, 3, 17, 100)))]
        edge, growth = grown_by_leaves(edges[-1], leaves)
        ref, encoded = chain.batch(len(leaves))
        block = chain.block(ref)
        commit = replace(chain.commit(block), grown=(growth,))
        state = encode_committed(Node(block, ChainState(edge, {}), None))
        batches = ((ref.digest, encoded),)
        store.write(Persist(b"r", blocks=(block,), batches=batches, commits=(commit,), state=state))
        edges.append(edge)
    store.prune(height_max=99, size_max=1 << 40, retention_bytes=0)

    for edge in edges:
        reply = answer(FetchChain(Height(1), edge.size), store=store, limits=Limits())
        led, _ = grown_by_cover(edge, reply.hashes, size=edges[-1].size)
        assert led == edges[-1]


HASHES = (bytes(32),) * 3


def test_what_leads_from_one_size_to_another_is_bounded(tmp_path, chain):
    store = LmdbStore(tmp_path / "small", map_bytes=1 << 26, subtrees_bytes_max=1 << 16)
    for _ in range(40):
        wave = chain.grow(50, count=1)
        commits = tuple(
            replace(commit, grown=(Growth(commit.first_index, commit.block.head.size, HASHES),))
            for commit in wave.commits
        )
        store.write(replace(wave, commits=commits))
    pages = store._env.begin().stat(store._subtrees)
    assert pages["leaf_pages"] * pages["psize"] < 1 << 17
    assert pages["entries"] > 100
    store.close()


def test_the_process_killed_at_any_moment_leaves_whole_waves(tmp_path):
    """A child writes wave after wave and says so; whatever it had said is there, and no half."""
    child = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from conftest import Chain
        from heptad_replica.storage import LmdbStore
        store, chain = LmdbStore(Path({str(tmp_path)!r}), map_bytes=1 << 30), Chain()
        for number in range(1, 10_000):
            store.write(chain.grow(2, count=50))
            print(number, flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True)
    said = 0
    for line in process.stdout:
        said = int(line)
        if said >= 20:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()

    store = LmdbStore(tmp_path, map_bytes=1 << 30)
    height = store.height()
    assert height >= 2 * said
    assert height % 2 == 0
    assert store.load().record == b"record %d" % height
    for number in range(1, height + 1):
        assert store.committed(number) is not None
    assert store.committed(height + 1) is None
    store.close()


def test_the_proofs_that_wait_are_there_after_a_restart_until_others_replace_them(store, tmp_path):
    store.write(Persist(record=b"record", evidence=b"two proofs"))
    store.write(Persist(record=b"record 2"))
    again = reopened(store, tmp_path)
    assert again.load().evidence == b"two proofs"
    again.write(Persist(evidence=b"one proof"))
    assert again.load().evidence == b"one proof"
    again.close()


def test_a_batch_behind_a_block_with_a_proof_stands_one_further(store, chain):
    first, second = chain.batch(3), chain.batch(2)
    one = chain.block(first[0], control=(b"proof",))
    two = chain.block(second[0])
    store.write(
        Persist(
            record=b"record",
            batches=tuple((ref.digest, encoded) for ref, encoded in (first, second)),
            commits=(chain.commit(one, proven=False), chain.commit(two)),
        )
    )
    assert store.place(first[0].id).first_index == 0
    assert store.place(second[0].id).first_index == 4
    assert store.stored_block(2).first_index == 4
