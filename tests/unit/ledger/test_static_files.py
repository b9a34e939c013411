"""The log as plain files: what readers of the folder may rely on, always and after any crash.

The story: the ledger publishes, the exporter writes. Then the process dies, or the power goes,
after each single operation on the file system; whoever looks at the folder finds a checkpoint whose
tiles are all there, and the next process goes on from it.
"""

import itertools
import os
import random
import stat

import pytest

from heptad.crypto import signatures
from heptad.crypto.keys import Ed25519Key
from heptad.transparency.checkpoint import Checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.tiled_tree import append_leaves
from heptad.transparency.tiles import TilePath, all_tiles, encode_entries, new_tiles
from heptad_ledger.errors import StaticFolderError
from heptad_ledger.static import exporter as exporter_module
from heptad_ledger.static.exporter import STEP_FILES_MAX, Exporter
from heptad_ledger.static.folder import DiskFolder, put
from heptad_ledger.store import AppliedState, LogStore, TimeSpan, Wave
from heptad_ledger.store.wave import pack_index

ORIGIN = "log.test"
LOG_SIGNER = Ed25519Key(b"\x66" * 32)
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG_SIGNER.public_key)
NEXT_KEY = VerifierKey(ORIGIN, SignatureType.LOG, Ed25519Key(b"n" * 32).public_key)
PARTIALS_S = 60.0
SIZES = (3, 200, 256, 300, 513, 600, 1030)


class Log:
    """A store that grows and publishes, without a cell around it."""

    def __init__(self, folder):
        genesis = AppliedState(0, bytes(32), 0, CompactRange.empty())
        self.store = LogStore.open(folder, origin=ORIGIN, genesis=genesis, map_bytes_max=1 << 28)

    def grow(self, size, *, key=LOG_KEY, signer=LOG_SIGNER):
        """Let there be so many entries, and publish them."""
        before = self.store.state
        entries = [b"entry %d" % index for index in range(before.size, size)]
        append = append_leaves(
            before=before.edge, leaf_hashes=leaf_hashes(entries), tiles=self.store.edge_tiles
        )
        wave = Wave(
            state=AppliedState(before.height + 1, bytes(32), 0, append.after),
            leaves=[(pack_index(before.size), encode_entries(entries))],
            tiles={(tile.level, tile.index): tile.hashes for tile in append.tiles},
            spans=[TimeSpan(0, before.size, size)],
        )
        self.store.write(wave)
        note = note_of(Checkpoint(key.name, size, append.after.root()), key=key, signer=signer)
        self.store.publish(size, note)

    def content(self, path):
        """What a tile must hold."""
        with self.store.snapshot() as snapshot:
            if path.level is None:
                return snapshot.bundle(path.index * 256, path.width)
            return snapshot.read_tile(level=path.level, index=path.index, width=path.width)

    def note(self, size):
        with self.store.snapshot() as snapshot:
            return snapshot.checkpoint(size).note


def note_of(checkpoint, *, key=LOG_KEY, signer=LOG_SIGNER):
    signature = sign_checkpoint(checkpoint, key=key, sign=signer.sign)
    return Note(checkpoint.body(), (signature,)).encode()


class Clock:
    now_s = 1000.0


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "log")
    yield log
    log.store.close()


@pytest.fixture
def make_exporter(log, tmp_path):
    """An exporter into `tmp_path/static`, or elsewhere."""

    def make(
        *, root=tmp_path / "static", files=None, now_s=lambda: Clock.now_s, log_keys=(LOG_KEY,)
    ):
        return Exporter(
            store=log.store,
            folder=DiskFolder(root),
            log_keys=log_keys,
            verify=signatures.verify,
            partials_s=PARTIALS_S,
            now_s=now_s,
            files=files,
        )

    return make


def finish(exporter):
    """Work until there is nothing to do; how many steps that took."""
    return next(count for count in itertools.count(1) if not exporter.work())


def tree(root):
    """Every file in a folder, by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def require_whole(files, log):
    """The checkpoint's tree is there; a partial tile may have become a full one. Its size."""
    note = files.get("checkpoint")
    if note is None:
        return 0
    size = int(note.split(b"\n")[1])
    assert note == log.note(size)
    for path in all_tiles(size):
        full = TilePath(level=path.level, index=path.index)
        wide = path if path.format() in files else full
        assert files.get(wide.format()) == log.content(wide), (size, path)
    return size


# What lies there.


def test_the_folder_holds_the_tree_of_the_last_checkpoint_and_partial_tiles_of_shown_sizes_only(
    log, make_exporter, tmp_path
):
    exporter, expected = make_exporter(), {}
    for size in SIZES:
        log.grow(size)
        finish(exporter)
        expected |= {path.format(): log.content(path) for path in all_tiles(size)}
        expected["checkpoint"] = log.note(size)
        assert tree(tmp_path / "static") == expected
        assert exporter.size == size


def test_sizes_that_were_published_in_between_are_passed_over(log, make_exporter, tmp_path):
    for size in SIZES:
        log.grow(size)
    finish(make_exporter())
    paths = {path.format() for path in all_tiles(SIZES[-1])}
    assert tree(tmp_path / "static").keys() == paths | {"checkpoint"}


@pytest.mark.parametrize("old_size", [0, 1, 255, 256, 300, 65_535, 65_536, 65_537, 70_000])
@pytest.mark.parametrize("more", [0, 1, 255, 256, 257, 65_536, 66_000])
def test_what_a_grown_tree_has_anew_is_all_that_the_old_one_had_not(old_size, more):
    new = list(new_tiles(old_size=old_size, new_size=old_size + more))
    assert set(new) == set(all_tiles(old_size + more)) - set(all_tiles(old_size))
    assert len(set(new)) == len(new)


def test_everybody_may_read_what_lies_there_whatever_the_umask(log, make_exporter, tmp_path):
    log.grow(300)
    before = os.umask(0o077)
    try:
        finish(make_exporter())
    finally:
        os.umask(before)
    root = tmp_path / "static"
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


# Steps.


def test_a_restart_goes_on_where_the_folder_is_and_writes_nothing_again(
    log, make_exporter, tmp_path
):
    log.grow(600)
    finish(make_exporter())
    log.grow(700)
    recorded = Recorder(DiskFolder(tmp_path / "static"))
    finish(make_exporter(files=recorded))
    staged = {path for name, path, _ in recorded.operations if name == "stage"}
    assert staged == {"checkpoint"} | {
        path.format() for path in new_tiles(old_size=600, new_size=700)
    }


def test_catching_up_shows_a_growing_log_in_bounded_steps(
    log, make_exporter, tmp_path, monkeypatch
):
    monkeypatch.setattr(exporter_module, "STRIDE_ENTRIES", 1024)
    for size in range(500, 12_000, 500):
        log.grow(size)
    recorded = Recorder(DiskFolder(tmp_path / "static"))
    exporter = make_exporter(files=recorded)
    shown, at = [], 0
    while exporter.work():
        step, at = recorded.operations[at:], len(recorded.operations)
        assert sum(name == "stage" for name, _, _ in step) <= STEP_FILES_MAX
        shown.append(require_whole(tree(tmp_path / "static"), log))
    assert shown == sorted(shown)
    assert len(set(shown)) > 8
    assert shown[-1] == 11_500


def test_a_step_is_bounded_in_bytes(log, make_exporter, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter_module, "STEP_BYTES_MAX", 1)
    log.grow(1000)
    recorded = Recorder(DiskFolder(tmp_path / "static"))
    exporter = make_exporter(files=recorded)
    exporter.work()
    assert sum(name == "stage" for name, _, _ in recorded.operations) == 1
    finish(exporter)
    assert require_whole(tree(tmp_path / "static"), log) == 1000


# Crashes.


class Recorder:
    """Does everything, and remembers it."""

    def __init__(self, folder):
        self.folder = folder
        self.operations = []

    def __getattr__(self, name):
        def operate(path, content=None):
            self.operations.append((name, path, content))
            arguments = (path,) if content is None else (path, content)
            return getattr(self.folder, name)(*arguments)

        return operate


class Stops(Exception):  # noqa: N818
    """The process dies."""


class Dying:
    """Does so many operations, and then no more."""

    def __init__(self, folder, operations):
        self.folder, self.left = folder, operations

    def __getattr__(self, name):
        def operate(*arguments):
            if self.left == 0:
                raise Stops
            self.left -= 1
            return getattr(self.folder, name)(*arguments)

        return operate


def count_of_operations(log, make_exporter, root):
    recorded = Recorder(DiskFolder(root))
    exporter = make_exporter(root=root, files=recorded)
    for size in SIZES:
        log.grow(size)
        finish(exporter)
    return recorded.operations


def test_a_process_that_dies_at_any_operation_leaves_a_whole_tree_and_the_next_goes_on(
    log, make_exporter, tmp_path
):
    log.grow(300)
    finish(make_exporter(root=tmp_path / "before"))
    log.grow(1030)
    for operations in itertools.count():
        root = tmp_path / f"dies-{operations}"
        put_all(root, tree(tmp_path / "before"))
        exporter = make_exporter(root=root, files=Dying(DiskFolder(root), operations))
        try:
            finish(exporter)
        except Stops:
            assert require_whole(tree(root), log) in (300, 1030)
        else:
            break
        finish(make_exporter(root=root))
        left = tree(root)
        assert require_whole(left, log) == 1030
        assert not [path for path in left if "/." in f"/{path}"], "a staged file was left"
    assert operations > 20


def test_an_exporter_that_was_refused_an_operation_leaves_nothing_out_when_it_goes_on(
    log, make_exporter, tmp_path
):
    """A disk that is full for a moment: the same process tries again."""
    log.grow(600)
    for operations in itertools.count():
        root = tmp_path / f"full-{operations}"
        files = Dying(DiskFolder(root), operations)
        exporter = make_exporter(root=root, files=files)
        try:
            finish(exporter)
        except Stops:
            files.left = -1
            finish(exporter)
        else:
            break
        assert require_whole(tree(root), log) == 600
    assert operations > 20


def put_all(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def after_power_loss(operations, survives):
    """The files of which a disk knows, when what was not synced may be lost, each by itself."""
    staged, pending, durable, folders = {}, {}, {}, {"": True}
    for name, path, content in operations:
        if name == "make_folder":
            folders.setdefault(path, False)
        elif name == "stage":
            staged[path] = (content, False)
        elif name == "sync":
            staged[path] = (staged[path][0], True)
        elif name == "show":
            written, is_synced = staged.pop(path)
            pending[path] = written if is_synced else b"torn"
        elif name == "sync_folder":
            for at in [at for at in pending if at.rpartition("/")[0] == path]:
                durable[at] = pending.pop(at)
            folders.update({at: True for at in folders if at and at.rpartition("/")[0] == path})
    kept = {folder for folder, is_durable in folders.items() if is_durable or survives()}
    files = durable | {path: content for path, content in pending.items() if survives()}

    def is_reached(path):
        parts = path.split("/")[:-1]
        return all("/".join(parts[: n + 1]) in kept for n in range(len(parts)))

    return {path: content for path, content in files.items() if is_reached(path)}


@pytest.mark.parametrize("how", ["nothing unsynced", "everything", "anything"])
def test_power_that_goes_after_any_operation_leaves_a_whole_tree(log, make_exporter, tmp_path, how):
    operations = count_of_operations(log, make_exporter, tmp_path / "whole")
    rng = random.Random(7)
    survives = {
        "nothing unsynced": lambda: False,
        "everything": lambda: True,
        "anything": lambda: rng.random() < 0.5,
    }[how]
    sizes = []
    for count in range(len(operations) + 1):
        for _ in range(4 if how == "anything" else 1):
            left = after_power_loss(operations[:count], survives)
            sizes.append(require_whole(left, log))
    assert set(sizes) >= set(SIZES) - {SIZES[-1]}
    if how != "anything":
        assert sizes == sorted(sizes)


# What goes.


def test_partial_tiles_go_a_while_after_the_full_one_and_not_before(log, make_exporter, tmp_path):
    clock = Clock()
    exporter = make_exporter(now_s=lambda: clock.now_s)
    root = tmp_path / "static"
    for size in (200, 300, 400):
        log.grow(size)
        finish(exporter)
    assert (root / "tile/0/000.p/200").is_file()
    clock.now_s += PARTIALS_S - 1
    finish(exporter)
    assert (root / "tile/0/000.p/200").is_file()
    clock.now_s += 1
    finish(exporter)
    left = tree(root)
    assert not [path for path in left if "000.p" in path and not path.startswith("tile/1")]
    # The tiles of the right edge are still needed, by readers of every size that was shown.
    assert {"tile/0/001.p/44", "tile/0/001.p/144", "tile/1/000.p/1"} <= left.keys()
    assert require_whole(left, log) == 400


def test_a_restart_takes_away_what_was_left_and_nothing_else(log, make_exporter, tmp_path):
    clock, root = Clock(), tmp_path / "static"
    exporter = make_exporter(now_s=lambda: clock.now_s)
    for size in (200, 300):
        log.grow(size)
        finish(exporter)
    (root / "tile/0/.000").write_bytes(b"half")
    (root / "tile/0/001.p/.45").write_bytes(b"half")
    (root / ".checkpoint").write_bytes(b"half")
    foreign = {".well-known/security.txt": b"Contact:", "robots.txt": b"", "tile/.keep": b""}
    put_all(root, foreign)

    again = make_exporter(now_s=lambda: clock.now_s)
    finish(again)
    clock.now_s += PARTIALS_S
    finish(again)
    wanted = {path.format() for path in all_tiles(300)} | {"checkpoint"}
    assert tree(root).keys() == wanted | foreign.keys()


# A folder that is not as it was left.


def test_a_folder_of_another_log_is_not_written_over(log, make_exporter, tmp_path):
    other = Ed25519Key(b"\x67" * 32)
    key = VerifierKey("other.test", SignatureType.LOG, other.public_key)
    note = note_of(Checkpoint("other.test", 5, bytes(32)), key=key, signer=other)
    put_all(tmp_path / "static", {"checkpoint": note})
    log.grow(9)
    with pytest.raises(StaticFolderError, match=r"other\.test"):
        make_exporter().work()
    assert tree(tmp_path / "static") == {"checkpoint": note}


def test_a_signed_checkpoint_that_contradicts_this_log_is_not_written_over(
    log, make_exporter, tmp_path
):
    note = note_of(Checkpoint(ORIGIN, 5, bytes(32)))
    put_all(tmp_path / "static", {"checkpoint": note})
    log.grow(9)
    with pytest.raises(StaticFolderError, match="keep that checkpoint"):
        make_exporter().work()
    assert tree(tmp_path / "static") == {"checkpoint": note}


@pytest.mark.parametrize("log_keys", [(LOG_KEY,), (LOG_KEY, NEXT_KEY), (NEXT_KEY, LOG_KEY)])
def test_a_folder_that_is_ahead_waits_for_a_restored_ledger(log, make_exporter, tmp_path, log_keys):
    """The store came back from a backup; the replicas will bring what is missing. What the folder
    shows may be signed by a log key that has been replaced since, or by one that takes over."""
    log.grow(300)
    ahead = Log(tmp_path / "ahead")
    for size in (300, 700):
        ahead.grow(size)
    put_all(tmp_path / "static", {"checkpoint": ahead.note(700)})
    ahead.store.close()
    exporter = make_exporter(log_keys=log_keys)
    with pytest.raises(StaticFolderError, match="shows 700 entries, published are 300"):
        exporter.work()
    # The restored ledger publishes other sizes than the lost one had.
    log.grow(800)
    finish(exporter)
    assert exporter.size == 800


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", None])
def test_a_checkpoint_that_nobody_signed_is_written_anew_with_all_of_the_tree(
    log, make_exporter, tmp_path, damage
):
    log.grow(300)
    finish(make_exporter())
    root, whole = tmp_path / "static", tree(tmp_path / "static")
    (root / "tile/0/000").write_bytes(b"damaged")
    if damage is None:
        damage = bytearray(whole["checkpoint"])
        damage[-10] ^= 1
    (root / "checkpoint").write_bytes(damage)
    finish(make_exporter())
    assert tree(root) == whole


def test_a_deleted_folder_comes_back(log, make_exporter, tmp_path):
    log.grow(300)
    exporter = make_exporter()
    finish(exporter)
    whole = tree(tmp_path / "static")
    DiskFolder(tmp_path).remove("static")
    log.grow(400)
    with pytest.raises(FileNotFoundError):
        finish(exporter)
    finish(exporter)
    assert require_whole(tree(tmp_path / "static"), log) == 400
    assert whole["tile/0/000"] == tree(tmp_path / "static")["tile/0/000"]


def test_nobody_meets_half_a_file(tmp_path):
    """A file appears under its name with all of its bytes, and an old one stays until then."""
    folder = DiskFolder(tmp_path)
    folder.stage("note", b"new")
    assert folder.read("note") is None
    folder.sync("note")
    folder.show("note")
    put(folder, [("a/b/c", b"deep")], known=set())
    assert tree(tmp_path) == {"note": b"new", "a/b/c": b"deep"}
