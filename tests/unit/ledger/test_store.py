"""The store against a model: whatever waves are written, snapshots read back what a list would."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.transparency.merkle import (
    CompactRange,
    leaf_hash,
    leaf_hashes,
    verify_consistency,
    verify_inclusion,
)
from heptad.transparency.tiled_tree import TiledTree, append_leaves
from heptad.transparency.tiles import encode_entries
from heptad_ledger.errors import StoreDamagedError, StoreFullError, StoreInUseError
from heptad_ledger.store import (
    AppliedState,
    Duplicate,
    LogStore,
    ServicePosting,
    TimeSpan,
    Wave,
)
from heptad_ledger.store.wave import pack_index

GENESIS = AppliedState(0, b"\0" * 32, 0, CompactRange.empty())
MAP_BYTES = 1 << 26


def open_store(folder, *, origin="log.test", genesis=GENESIS, map_bytes_max=MAP_BYTES):
    return LogStore.open(folder, origin=origin, genesis=genesis, map_bytes_max=map_bytes_max)


def entry_of(index, *, extra=b""):
    return b"entry %d " % index + extra


def wave_of(store, batches, *, refs=(), stated=(), time_ms=0, service=b"tax"):
    """A wave of one block whose batches are lists of entries; `refs` are (reference, index)."""
    before = store.state
    tiles, edge, leaves, postings = {}, before.edge, [], []
    reader = store.edge_tiles.copy()
    for entries in batches:
        if entries:
            leaves.append((pack_index(edge.size), encode_entries(entries)))
            postings.append(ServicePosting(service, edge.size, tuple(range(len(entries)))))
        append = append_leaves(before=edge, leaf_hashes=leaf_hashes(entries), tiles=reader)
        for tile in append.tiles:
            tiles[tile.level, tile.index] = tile.hashes
            reader.replace(tile.level, tile.index, tile.hashes)
        edge = append.after
    height = before.height + 1
    state = AppliedState(height, sha256(pack_index(height)).digest(), time_ms, edge)
    spans = (TimeSpan(time_ms, before.size, edge.size),) if edge.size > before.size else ()
    indexes = [pack_index(index) for index in range(before.size, edge.size)]
    return Wave(
        state=state,
        leaves=leaves,
        tiles=tiles,
        spans=spans,
        postings=postings,
        sealed=[(index, b"sealed" + index) for index in indexes],
        by_subject=[(sha256(b"row" + index).digest()[:16], index) for index in indexes],
        by_request=[(ref, pack_index(index)) for ref, index in refs],
        stated=[pack_index(index) for index in stated],
    )


waves_of_sizes = st.lists(st.lists(st.integers(0, 90), max_size=4), min_size=1, max_size=8)


@settings(max_examples=12, deadline=None)
@given(sizes=waves_of_sizes, reopen_at=st.integers(0, 8))
def test_every_snapshot_reads_what_a_list_of_entries_would(tmp_path_factory, sizes, reopen_at):
    # given a store and a plain list, fed the same waves, with one restart in between
    folder = tmp_path_factory.mktemp("store")
    model: list[bytes] = []
    roots = {0: CompactRange.empty().root()}
    store = open_store(folder)
    for number, wave_sizes in enumerate(sizes):
        if number == reopen_at:
            store.close()
            store = open_store(folder)
        batches = []
        for size in wave_sizes:
            batches.append([entry_of(len(model) + i, extra=b"x" * (i % 7)) for i in range(size)])
            model += batches[-1]
        store.write(wave_of(store, batches, time_ms=number * 10))
        roots[len(model)] = store.state.edge.root()
    # then entries, bundles, roots, tiles and private rows are those of the list
    with store.snapshot() as snapshot:
        size = snapshot.state().size
        assert size == len(model) == store.state.size
        tree = TiledTree(size=size, tiles=snapshot)
        assert tree.root() == CompactRange.empty().extended(leaf_hashes(model)).root()
        for start in range(0, size, 7):
            count = min(50, size - start)
            assert snapshot.entries(start, count) == model[start : start + count]
            assert snapshot.bundle(start, count) == encode_entries(model[start : start + count])
            verify_inclusion(
                leaf_index=start,
                tree_size=size,
                leaf_hash=leaf_hash(model[start]),
                proof=tree.inclusion_proof(start),
                root_hash=tree.root(),
            )
            assert snapshot.sealed(start) == b"sealed" + pack_index(start)
            row_key = sha256(b"row" + pack_index(start)).digest()[:16]
            assert snapshot.subject_row(row_key) == start
        for old_size, old_root in roots.items():
            if old_size:
                verify_consistency(
                    old_size=old_size,
                    new_size=size,
                    old_root=old_root,
                    new_root=tree.root(),
                    proof=tree.consistency_proof(old_size),
                )
        counted = sum(len(posting.offsets) for posting in snapshot.postings(b"tax"))
        assert counted == size
        spans = list(snapshot.spans(from_ms=0, until_ms=10**9))
        assert sum(span.end_index - span.first_index for span in spans) == size
    store.close()


def test_an_entry_that_is_not_there_is_told_as_damage_and_not_as_another_one(tmp_path):
    store = open_store(tmp_path)
    store.write(wave_of(store, [[b"a", b"b"]]))
    with store.snapshot() as snapshot, pytest.raises(StoreDamagedError):
        snapshot.entry(2)
    store.close()


def test_the_lowest_index_of_a_request_wins_and_later_copies_are_queued(tmp_path):
    # given a request that comes twice in one wave and again in the next
    store = open_store(tmp_path)
    ref, other = b"r" * 16, b"o" * 16
    first = store.write(wave_of(store, [[b"a", b"b", b"c"]], refs=[(ref, 0), (other, 1), (ref, 2)]))
    second = store.write(wave_of(store, [[b"d"]], refs=[(ref, 3)]))
    # then the first stands, and each later copy is told once and kept until the log states it
    assert first == (Duplicate(2, 0),)
    assert second == (Duplicate(3, 0),)
    with store.snapshot() as snapshot:
        assert snapshot.request(ref) == 0
        assert snapshot.request(other) == 1
        assert snapshot.duplicates(count_max=10) == [Duplicate(2, 0), Duplicate(3, 0)]
        assert snapshot.state().duplicates == 2
    store.write(wave_of(store, [[b"stated"]], stated=[2]))
    store.close()
    reopened = open_store(tmp_path)
    with reopened.snapshot() as snapshot:
        assert snapshot.duplicates(count_max=10) == [Duplicate(3, 0)]
        assert snapshot.duplicates(count_max=10, from_index=4) == []
    assert reopened.state.duplicates == 2
    reopened.close()


def test_postings_start_with_the_batch_that_holds_the_index(tmp_path):
    store = open_store(tmp_path)
    store.write(wave_of(store, [[b"a"] * 5, [b"b"] * 5], service=b"health"))
    store.write(wave_of(store, [[b"c"] * 5], service=b"tax"))
    store.write(wave_of(store, [[b"d"] * 5], service=b"taxi"))
    with store.snapshot() as snapshot:
        found = [posting.first_index for posting in snapshot.postings(b"health", from_index=7)]
        assert found == [5]
        assert [p.first_index for p in snapshot.postings(b"tax", from_index=3)] == [10]
        assert list(snapshot.postings(b"tax", from_index=15)) == []
        assert list(snapshot.postings(b"none")) == []
    store.close()


def test_spans_of_a_time_leave_out_its_end(tmp_path):
    store = open_store(tmp_path)
    for time_ms in (5, 5, 9):
        store.write(wave_of(store, [[b"a"]], time_ms=time_ms))
    with store.snapshot() as snapshot:
        assert list(snapshot.spans(from_ms=5, until_ms=9)) == [TimeSpan(5, 0, 1), TimeSpan(5, 1, 2)]
        assert list(snapshot.spans(from_ms=6, until_ms=10)) == [TimeSpan(9, 2, 3)]
    store.close()


def test_a_snapshot_does_not_see_what_is_written_while_it_is_open(tmp_path):
    store = open_store(tmp_path)
    store.write(wave_of(store, [[b"a"]]))
    with store.snapshot() as snapshot:
        store.write(wave_of(store, [[b"b"]]))
        assert snapshot.state().size == 1
        with pytest.raises(StoreDamagedError):
            snapshot.entry(1)
    store.close()


def test_checkpoints_are_found_by_size_and_never_published_twice(tmp_path):
    store = open_store(tmp_path)
    for size in (3, 300, 70_000):
        store.publish(size, b"note %d" % size)
    with store.snapshot() as snapshot:
        assert snapshot.latest_checkpoint().size == 70_000
        assert snapshot.checkpoint(300).note == b"note 300"
        assert snapshot.checkpoint(299) is None
        assert snapshot.checkpoint_from(4).size == 300
        assert snapshot.checkpoint_from(70_001) is None
    with pytest.raises(AssertionError):
        store.publish(300, b"another")
    with store.snapshot() as snapshot:
        assert snapshot.checkpoint(300).note == b"note 300"
    store.close()


def test_a_wave_that_does_not_follow_the_last_row_changes_nothing(tmp_path):
    store = open_store(tmp_path)
    wave = wave_of(store, [[b"a"]])
    store.write(wave)
    with pytest.raises(AssertionError):
        store.write(wave)
    assert store.state.height == 1
    with store.snapshot() as snapshot:
        assert snapshot.state().height == 1
    store.close()


def test_the_store_of_another_cell_is_refused(tmp_path):
    open_store(tmp_path).close()
    with pytest.raises(StoreDamagedError, match="origin"):
        open_store(tmp_path, origin="other.test")
    other_genesis = AppliedState(0, b"\1" * 32, 0, CompactRange.empty())
    with pytest.raises(StoreDamagedError, match="genesis"):
        open_store(tmp_path, genesis=other_genesis)


def test_a_second_process_cannot_open_a_store_that_is_open(tmp_path):
    store = open_store(tmp_path)
    with pytest.raises(StoreInUseError):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


def test_a_tile_that_does_not_lead_to_the_edge_is_found_when_the_store_is_opened(tmp_path):
    store = open_store(tmp_path)
    wave = wave_of(store, [[b"a", b"b", b"c"]])
    wrong = {key: b"\xee" * len(hashes) for key, hashes in wave.tiles.items()}
    store.write(Wave(state=wave.state, leaves=wave.leaves, tiles=wrong))
    store.close()
    with pytest.raises(StoreDamagedError, match="lead to root"):
        open_store(tmp_path)


def test_a_full_map_is_a_clear_fault_and_a_larger_one_goes_on_with_what_is_there(tmp_path):
    store = open_store(tmp_path, map_bytes_max=1 << 20)
    while store.used_bytes() < 1 << 19:
        store.write(wave_of(store, [[b"e" * 30_000]]))
    height = store.state.height
    with pytest.raises(StoreFullError, match="log_map_bytes_max"):
        store.write(wave_of(store, [[b"e" * 60_000] * 10]))
    assert store.state.height == height
    with store.snapshot() as snapshot:
        assert snapshot.state().height == height
        assert snapshot.entry(height - 1) == b"e" * 30_000
    store.close()
    larger = open_store(tmp_path)
    larger.write(wave_of(larger, [[b"e" * 30_000]]))
    assert larger.state.height == height + 1
    larger.close()
