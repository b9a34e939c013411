"""The process dies, or the disk is full, at any moment: what was acknowledged is there, and the
store goes on as if nothing had happened.
"""

import os
import signal
import subprocess
import sys
import textwrap
from hashlib import sha256

import pytest

from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.tiled_tree import TiledTree
from heptad_ledger.store import AppliedState, LogStore
from heptad_ledger.store.row_pages import cut
from heptad_ledger.store.wave import pack_index

GENESIS = AppliedState(0, b"\0" * 32, 0, CompactRange.empty())
ENTRIES_PER_WAVE = 300

WRITER = textwrap.dedent(
    """
    import os, resource, signal, sys
    from hashlib import sha256
    from pathlib import Path

    from heptad.transparency.merkle import CompactRange, leaf_hashes
    from heptad.transparency.tiled_tree import append_leaves
    from heptad.transparency.tiles import encode_entries
    from heptad_ledger.errors import StoreError
    from heptad_ledger.store import AppliedState, LogStore, TimeSpan, Wave, recent
    from heptad_ledger.store.wave import pack_index

    recent.ROWS_MIN = 1_000  # So that nearly every wave puts some rows into their tables.
    folder, waves, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ENTRIES = int(sys.argv[4])
    genesis = AppliedState(0, bytes(32), 0, CompactRange.empty())
    store = LogStore.open(folder, origin="log.test", genesis=genesis, map_bytes_max=1 << 26)

    def wave():
        before = store.state
        indexes = range(before.size, before.size + ENTRIES)
        entries = [b"entry %d" % index for index in indexes]
        append = append_leaves(
            before=before.edge, leaf_hashes=leaf_hashes(entries), tiles=store.edge_tiles
        )
        packed = [pack_index(index) for index in indexes]
        return Wave(
            state=AppliedState(before.height + 1, bytes(32), 0, append.after),
            leaves=[(pack_index(before.size), encode_entries(entries))],
            tiles={(tile.level, tile.index): tile.hashes for tile in append.tiles},
            spans=[TimeSpan(0, before.size, append.after.size)],
            sealed=[(index, bytes(400)) for index in packed],
            by_subject=[(sha256(index).digest()[:16], index) for index in packed],
            by_request=[(sha256(b"q" + index).digest()[:16], index) for index in packed],
        )

    for number in range(waves):
        if number == waves // 2 and how == "before the commit":
            class Die(dict):
                def __getitem__(self, name):
                    if name == "meta":
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().__getitem__(name)
            store._environment._tables = Die(store._environment._tables)
        if number == waves // 2 and how == "disk full":
            size = os.path.getsize(folder / "data.mdb")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                for _ in range(50):
                    store.write(wave())
                    print(store.state.height, flush=True)
                raise SystemExit("nothing was refused")
            except StoreError as fault:
                print("fault", type(fault).__name__, flush=True)
            with store.snapshot() as snapshot:
                assert snapshot.state() == store.state
                assert snapshot.entry(0) == b"entry 0"
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.write(wave())
        print(store.state.height, flush=True)
        if number == waves // 2 and how == "after the commit":
            os.kill(os.getpid(), signal.SIGKILL)
    """
)


def start_writer(folder, waves, how):
    command = [sys.executable, "-c", WRITER, str(folder), str(waves), how, str(ENTRIES_PER_WAVE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def assert_intact(folder, *, acknowledged):
    """Whatever height the store has, it is whole; and it is not below what was acknowledged."""
    store = LogStore.open(folder, origin="log.test", genesis=GENESIS, map_bytes_max=1 << 26)
    with store.snapshot() as snapshot:
        state = snapshot.state()
        assert state.height >= acknowledged
        assert state.size == state.height * ENTRIES_PER_WAVE
        entries = [b"entry %d" % index for index in range(state.size)]
        assert snapshot.entries(0, state.size) == entries
        root = CompactRange.empty().extended(leaf_hashes(entries)).root()
        assert TiledTree(size=state.size, tiles=snapshot).root() == root == state.edge.root()
        assert snapshot.sealed(state.size - 1) is not None
        assert snapshot.sealed(state.size) is None
        for index in map(pack_index, range(state.size)):
            number = int.from_bytes(index, "big")
            assert snapshot.subject_row(sha256(index).digest()[:16]) == number
            assert snapshot.request(sha256(b"q" + index).digest()[:16]) == number
    store.settle()
    rows = rows_in_pages(store)
    assert len(rows) == len(set(rows)) == 2 * state.size
    store.close()


def rows_in_pages(store):
    environment = store._environment
    with environment.reading() as transaction:
        return [
            row
            for table in ("by_subject", "by_request")
            for _, page in transaction.cursor(environment.table(table))
            for row in cut(page)
        ]


@pytest.mark.parametrize("how", ["before the commit", "after the commit"])
def test_a_kill_around_a_commit_loses_nothing_that_was_acknowledged(tmp_path, how):
    writer = start_writer(tmp_path, 6, how)
    heights = [int(line) for line in writer.stdout]
    assert writer.wait() == -signal.SIGKILL
    assert heights[-1] == (3 if how == "before the commit" else 4)
    assert_intact(tmp_path, acknowledged=heights[-1])


@pytest.mark.parametrize("acknowledged", [1, 2, 5, 9])
def test_a_kill_from_outside_at_any_moment_loses_nothing(tmp_path, acknowledged):
    # given a writer that is killed while it works on the wave after the one it acknowledged
    writer = start_writer(tmp_path, 10_000, "until killed")
    for _ in range(acknowledged):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    # then all is there, and a second writer goes on from it
    assert_intact(tmp_path, acknowledged=max([acknowledged, *map(int, rest)]))
    second = start_writer(tmp_path, 2, "to the end")
    heights = [int(line) for line in second.stdout]
    assert second.wait() == 0
    assert heights[0] > acknowledged
    assert_intact(tmp_path, acknowledged=heights[-1])


def test_a_full_disk_is_a_clear_fault_and_writing_goes_on_once_there_is_room(tmp_path):
    writer = start_writer(tmp_path, 6, "disk full")
    lines = [line.strip() for line in writer.stdout]
    assert writer.wait() == 0
    assert any(line.startswith("fault Store") for line in lines)
    assert_intact(tmp_path, acknowledged=int(lines[-1]))
