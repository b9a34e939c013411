"""Rows that wait before they go into their tables: nobody can tell from outside that they do."""

from contextlib import contextmanager
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.tiled_tree import append_leaves
from heptad.transparency.tiles import encode_entries
from heptad_ledger.errors import StoreDamagedError, StoreFullError
from heptad_ledger.store import AppliedState, LogStore, Wave, recent
from heptad_ledger.store.row_pages import ROW_BYTES, cut
from heptad_ledger.store.wave import pack_index, unpack_index

GENESIS = AppliedState(0, b"\0" * 32, 0, CompactRange.empty())


@pytest.fixture(autouse=True, scope="module")
def few_rows_wait():
    """So few that most waves put a part of the key space into the tables."""
    before, recent.ROWS_MIN = recent.ROWS_MIN, 40
    yield
    recent.ROWS_MIN = before


def open_store(folder):
    return LogStore.open(folder, origin="log.test", genesis=GENESIS, map_bytes_max=1 << 26)


def ref_of(number):
    return sha256(b"request %d" % number).digest()[:16]


def row_key_of(index):
    return sha256(b"row %d" % index).digest()[:16]


def wave_of(store, requests):
    """One entry for each request's number."""
    first = store.state.size
    entries = [b"e" for _ in requests]
    append = append_leaves(
        before=store.state.edge, leaf_hashes=leaf_hashes(entries), tiles=store.edge_tiles
    )
    rows = list(enumerate(requests, start=first))
    return Wave(
        state=AppliedState(store.state.height + 1, bytes(32), 0, append.after),
        leaves=[(pack_index(first), encode_entries(entries))] if entries else [],
        tiles={(tile.level, tile.index): tile.hashes for tile in append.tiles},
        by_subject=[(row_key_of(index), pack_index(index)) for index, _ in rows],
        by_request=[(ref_of(number), pack_index(index)) for index, number in rows],
    )


@contextmanager
def full_at_the_commit(store):
    writing = store._environment.writing

    @contextmanager
    def failing():
        with writing() as transaction:
            yield transaction
            raise StoreFullError("no space left on the device")

    store._environment.writing = failing
    yield
    store._environment.writing = writing


def waiting(store):
    """How many waves `recent` holds."""
    environment = store._environment
    with environment.reading() as transaction:
        return transaction.stat(environment.table("recent"))["entries"]


@settings(max_examples=12, deadline=None)
@given(
    waves=st.lists(st.lists(st.integers(0, 120), max_size=30), min_size=1, max_size=12),
    restarts=st.sets(st.integers(0, 11)),
    settles=st.sets(st.integers(0, 11)),
)
def test_lookups_are_those_of_a_dictionary_whatever_has_been_merged(
    tmp_path_factory, waves, restarts, settles
):
    store = open_store(tmp_path_factory.mktemp("store"))
    folder = store._environment._folder
    lowest, later, size = {}, [], 0
    for number, requests in enumerate(waves):
        found = store.write(wave_of(store, requests))
        told = []
        for index, request in enumerate(requests, start=size):
            if lowest.setdefault(request, index) != index:
                told.append((index, lowest[request]))
        assert [(copy.index, copy.first_index) for copy in found] == told
        later += told
        size += len(requests)
        if number in settles:
            store.settle()
            assert waiting(store) == 0
        if number in restarts:
            store.close()
            store = open_store(folder)
    with store.snapshot() as snapshot:
        assert [snapshot.request(ref_of(n)) for n in range(121)] == [
            lowest.get(n) for n in range(121)
        ]
        assert [snapshot.subject_row(row_key_of(i)) for i in range(size + 1)] == [
            *range(size),
            None,
        ]
        queued = snapshot.duplicates(count_max=1_000)
        assert [(copy.index, copy.first_index) for copy in queued] == later
    store.close()


def test_recent_rows_do_not_pile_up(tmp_path):
    store = open_store(tmp_path)
    for number in range(200):
        store.write(wave_of(store, range(number * 10, number * 10 + 10)))
    assert waiting(store) > 0
    assert (
        store._private._recent.count <= 2 * 2_000 * ROW_BYTES // 4_000 * 2 * recent.WAITING_PER_PAGE
    )
    store.close()


def test_a_snapshot_keeps_what_is_merged_behind_its_back_and_sees_nothing_newer(tmp_path):
    # given rows that wait, and a snapshot
    store = open_store(tmp_path)
    store.write(wave_of(store, range(10)))
    with store.snapshot() as snapshot:
        # when more come, all go into their tables, and again more come
        store.write(wave_of(store, [98]))
        assert snapshot.request(ref_of(98)) is None
        store.settle()
        store.write(wave_of(store, [99]))
        # then the snapshot finds the old ones, and none of the new
        assert [snapshot.request(ref_of(n)) for n in range(10)] == list(range(10))
        assert snapshot.subject_row(row_key_of(9)) == 9
        assert snapshot.request(ref_of(98)) is None
        assert snapshot.request(ref_of(99)) is None
        assert snapshot.subject_row(row_key_of(10)) is None
    with store.snapshot() as snapshot:
        assert snapshot.request(ref_of(99)) == 11
    store.close()


def test_rows_of_a_wave_whose_commit_failed_are_not_found_and_can_come_again(tmp_path):
    # given a disk that is full at the very commit
    store = open_store(tmp_path)
    store.write(wave_of(store, [1]))
    with full_at_the_commit(store), pytest.raises(StoreFullError):
        store.write(wave_of(store, range(2, 40)))
    # then nothing of the wave is found, and it can be written again
    assert store._private._recent.count == 2
    with store.snapshot() as snapshot:
        assert snapshot.request(ref_of(2)) is None
    assert [(d.index, d.first_index) for d in store.write(wave_of(store, [2, 1]))] == [(2, 0)]
    with store.snapshot() as snapshot:
        assert snapshot.request(ref_of(2)) == 1
    store.close()


def held(count):
    rows = recent.RecentRows()
    keys = [bytes((n % 256, n // 256)).ljust(16) for n in range(count)]
    rows.add(by_subject=[(key, pack_index(0)) for key in keys], by_request=())
    return rows


def test_so_many_rows_wait_as_share_pages_with_those_in_the_tables():
    rows = held(1_024)
    assert rows.due(0) != []
    assert rows.due(1_024 // recent.WAITING_PER_PAGE + 1) == []
    assert rows.due(520 // recent.WAITING_PER_PAGE) == list(range(126))


def test_the_slices_that_have_waited_longest_are_put_first(monkeypatch):
    rows = held(1_024)
    rows.merged(list(range(256)), until_index=5)
    rows.merged(list(range(100)), until_index=9)
    rows.add(by_subject=[(bytes((n,)) * 16, pack_index(9)) for n in range(256)], by_request=())
    assert rows.due(200 // recent.WAITING_PER_PAGE)[0] == 100
    assert recent.RecentRows(rows.merged_until).due(0) == []
    again = recent.RecentRows(rows.merged_until)
    again.add(by_subject=[(bytes((n,)) * 16, pack_index(9)) for n in range(256)], by_request=())
    assert again.due(200 // recent.WAITING_PER_PAGE)[0] == 100


def test_never_more_rows_wait_than_memory_is_for(monkeypatch):
    monkeypatch.setattr(recent, "ROWS_MAX", 100)
    assert held(200).due(1 << 40) != []


def test_an_erased_row_is_found_by_nobody_wherever_it_was_and_does_not_come_back(tmp_path):
    # given rows in the tables, rows that wait, and waves that hold both
    store = open_store(tmp_path)
    for number in range(12):
        store.write(wave_of(store, range(number * 10, number * 10 + 10)))
    assert 0 < store._private._recent.count < 240
    before = raw_rows(store)
    # when every third is deleted, and some that are not there
    gone = range(0, 130, 3)
    with store.editing() as edit:
        count = edit.delete_rows(
            by_subject=map(row_key_of, gone), by_request=[ref_of(n) for n in (*gone, *gone)]
        )
    # then they were counted once, are found by nobody, and are in no page and no wave
    assert count == 2 * len(range(0, 120, 3))
    left = raw_rows(store)
    assert {key for key in before if key not in left} == {
        *map(row_key_of, range(0, 120, 3)),
        *map(ref_of, range(0, 120, 3)),
    }
    for _ in range(2):
        with store.snapshot() as snapshot:
            for number in range(130):
                expected = number if number % 3 and number < 120 else None
                assert snapshot.request(ref_of(number)) == expected
                assert snapshot.subject_row(row_key_of(number)) == expected
        # and not after a restart, nor when what waits has gone into the tables
        store.close()
        store = open_store(tmp_path)
        store.settle()
    # and a request that was deleted is new when it comes again
    assert store.write(wave_of(store, [3])) == ()
    store.close()


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 2_000),
    private=st.lists(st.sampled_from(["both", "subject", "request", ""]), max_size=900),
    gone=st.sets(st.integers(0, 900), max_size=20),
)
def test_a_wave_is_kept_in_parts_and_each_row_under_the_part_of_its_entry(first, private, gone):
    rows = {
        kind: [
            (sha256(b"%d" % index).digest()[:16], pack_index(index))
            for index, which in enumerate(private, start=first)
            if which in ("both", kind)
        ]
        for kind in ("subject", "request")
    }
    parts = dict(
        recent.packed_wave(
            by_subject=rows["subject"],
            by_request=rows["request"],
            first_index=first,
            until_index=first + len(private),
        )
    )
    assert list(parts) == sorted(parts)
    assert all(len(packed) < 4 * 4_096 - 16 for packed in parts.values())
    unpacked = [recent.unpack_rows(packed) for packed in parts.values()]
    assert [row for of_subject, _ in unpacked for row in of_subject] == rows["subject"]
    assert [row for _, of_request in unpacked for row in of_request] == rows["request"]
    for key, of_both in zip(parts, unpacked, strict=True):
        assert all(
            key <= index < pack_index(unpack_index(key) + recent.PART_ENTRIES)
            for _, index in (*of_both[0], *of_both[1])
        )
        less = recent.without_rows(
            parts[key], [sha256(b"%d" % n).digest()[:16] + pack_index(n) for n in gone]
        )
        assert recent.unpack_rows(less) == tuple(
            [row for row in kind if unpack_index(row[1]) not in gone] for kind in of_both
        )


def test_a_deletion_that_was_not_committed_has_deleted_nothing(tmp_path):
    store = open_store(tmp_path)
    store.write(wave_of(store, range(10)))
    with full_at_the_commit(store), pytest.raises(StoreFullError), store.editing() as edit:
        edit.delete_rows(by_subject=[row_key_of(1)], by_request=[ref_of(1)])
    with store.snapshot() as snapshot:
        assert (snapshot.request(ref_of(1)), snapshot.subject_row(row_key_of(1))) == (1, 1)
    store.close()


def raw_rows(store):
    """The keys of all rows in pages and waves, as they lie there."""
    keys = set()
    with store._environment.reading() as transaction:
        for table in ("by_subject", "by_request"):
            for _, page in transaction.cursor(store._environment.table(table)):
                keys.update(row[:16] for row in cut(page))
        for _, packed in transaction.cursor(store._environment.table("recent")):
            for rows in recent.unpack_rows(packed):
                keys.update(key for key, _ in rows)
    return keys


def test_a_wave_that_would_not_be_the_last_of_those_that_wait_is_no_wave(tmp_path):
    """A changed bit in a row's key, and every later wave would be lost by the next crash."""
    store = open_store(tmp_path)
    store.write(wave_of(store, [1]))
    environment = store._environment
    with environment.writing() as transaction:
        transaction.put(b"\xff" * 8, b"\0" * 4, db=environment.table("recent"))
    before = store.state
    with pytest.raises(StoreDamagedError):
        store.write(wave_of(store, [2]))
    assert store.state == before
    store.close()
