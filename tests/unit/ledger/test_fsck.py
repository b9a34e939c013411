"""One bit is changed, anywhere, and the check of the files finds it and names the place."""

import errno
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import lmdb
import pytest

from heptad.crypto import signatures
from heptad.crypto.derivation import lease_key, subject_index_key, subject_row_key
from heptad.crypto.sealing import Routing, open_stored, seal_record, to_stored
from heptad.runtime.config import load_cell
from heptad.runtime.vkeys import log_vkey
from heptad.vault.inspection import VaultInspector
from heptad.vault.root_files import FileRootKeyStore
from heptad_ledger.errors import StoreInUseError
from heptad_ledger.fsck import __main__ as command
from heptad_ledger.fsck.findings import Code
from heptad_ledger.fsck.run import Job, check
from heptad_ledger.static.exporter import Exporter
from heptad_ledger.static.folder import DiskFolder
from heptad_ledger.store import recent
from heptad_ledger.store.environment import TABLES, Environment, owned
from heptad_ledger.synthetic.fill import fill, new_home, open_home
from heptad_ledger.synthetic.records import FillPlan

ENTRIES = 600
FLIPS = int(os.environ.get("HEPTAD_FLIPS", "60"))
"""For each kind of file; `make flips` does thousands."""

FLIP_S_MAX = 2
"""What one of them may take on a busy machine."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cell whose ledger holds some hundred records, a few of them twice, and its static files."""
    folder = tmp_path_factory.mktemp("fsck") / "cell"
    cell = new_home(folder)
    plan = FillPlan(
        entries=ENTRIES,
        subjects=8,
        batch_records=60,
        block_batches=2,
        checkpoint_entries=100,
        is_signed=True,
    )
    rows_min, recent.ROWS_MIN = recent.ROWS_MIN, 200  # So that some wait and some do not.
    fill(folder, plan, tell=lambda _: None)
    recent.ROWS_MIN = rows_min
    parts = open_home(folder, cell)
    exporter = Exporter(
        store=parts.store,
        folder=DiskFolder(data_of(folder) / "static"),
        log_keys=[log_vkey(cell)],
        verify=signatures.verify,
        partials_s=600.0,
        now_s=lambda: 0.0,
    )
    while exporter.work():
        pass
    parts.close()
    return folder


@pytest.fixture
def copy(home, tmp_path):
    """The ledger's data, to be damaged."""
    target = tmp_path / "data"
    shutil.copytree(data_of(home), target)
    return target


def data_of(home):
    return home / load_cell(home).ledger.id / "data"


def examine(home, data, **more):
    found = []
    job = Job(data=data, static=data / "static", cell=load_cell(home), **more)
    summary = check(job, report=found.append, progress=lambda *_: None)
    assert summary.is_clean is not bool(found)
    return found


def codes(found):
    return {finding.code for finding in found}


def contents(data):
    """All that the databases say, whatever their pages look like."""
    rows = {}
    for folder, names in (("log", TABLES), ("vault", ("node", "erased", "meta"))):
        with lmdb.open(
            str(data / folder), readonly=True, lock=False, max_dbs=len(names), map_size=1 << 30
        ) as env:
            for name in names:
                table = env.open_db(name.encode(), create=False)
                with env.begin() as transaction, transaction.cursor(table) as cursor:
                    rows[folder, name] = [(bytes(key), bytes(value)) for key, value in cursor]
    return rows


def flip(path, place, bit):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes((byte ^ 1 << bit,)))


def files(data, pattern):
    return sorted(path for path in data.glob(pattern) if path.is_file())


def test_a_whole_ledger_has_nothing_wrong(home, copy):
    assert examine(home, copy) == []


@pytest.mark.timeout(180 + FLIPS * FLIP_S_MAX)
@pytest.mark.parametrize("pattern", ["log/data.mdb", "vault/data.mdb"])
def test_a_bit_changed_anywhere_in_a_database_is_found_or_changes_nothing(home, copy, pattern):
    [path] = files(copy, pattern)
    before, rng = contents(copy), random.Random(f"7 {pattern}")
    found_count = 0
    for _ in range(FLIPS):
        place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, place, bit)
        found = examine(home, copy)
        if not found:
            assert contents(copy) == before, (place, bit)
        found_count += bool(found)
        flip(path, place, bit)
    assert found_count > FLIPS / 10
    assert examine(home, copy) == []


@pytest.mark.timeout(180 + FLIPS * FLIP_S_MAX)
@pytest.mark.parametrize("pattern", ["static/checkpoint", "static/tile/**/*"])
def test_a_bit_changed_anywhere_in_a_static_file_is_found_and_the_file_is_named(
    home, copy, pattern
):
    paths, rng = files(copy, pattern), random.Random(7)
    assert paths
    for path in rng.choices(paths, k=FLIPS // 4):
        place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, place, bit)
        [finding] = examine(home, copy)
        assert finding.code == Code.STATIC_FILE_WRONG
        assert finding.where == path.relative_to(copy).as_posix()
        flip(path, place, bit)


def test_a_bit_changed_in_the_root_key_is_found(home, copy):
    path = max(files(copy, "vault-root/*"), key=lambda path: sum(path.read_bytes()))
    for place in (0, 8, 20, 50):
        flip(path, place, 3)
        assert codes(examine(home, copy)) == {Code.VAULT_DAMAGED}
        flip(path, place, 3)


def change(data, table, pick, *, new_key=None, new_value=None):
    """Change one row as a disk might, past all of the ledger's own code."""
    with lmdb.open(str(data / "log"), max_dbs=len(TABLES), map_size=1 << 30) as env:
        handle = env.open_db(table.encode(), create=False)
        with env.begin(write=True, db=handle) as transaction:
            rows = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
            key, value = pick(rows)
            transaction.delete(key)
            if new_key is not None or new_value is not None:
                put_key = new_key(key) if new_key else key
                transaction.put(put_key, new_value(value) if new_value else value)
    return key


def last_bit(data):
    return data[:-1] + bytes((data[-1] ^ 1,))


def first_bit(data):
    return bytes((data[0] ^ 0x80,)) + data[1:]


def middle(rows):
    return rows[len(rows) // 2]


def state_row(rows):
    return next(row for row in rows if row[0] == b"state")


def own_slot_row(rows):
    return next(row for row in rows if row[0].startswith(b"kept:"))


def merged_row(rows):
    return next(row for row in rows if row[0] == b"merged")


def total_row(rows):
    return next(row for row in rows if row[0].startswith(b"total:kind"))


CHANGES = {
    "an entry": ("entries", middle, None, last_bit, Code.ENTRY_ALTERED),
    "a tile": ("tile", middle, None, last_bit, Code.TILE_WRONG),
    "a missing tile": ("tile", middle, None, None, Code.TILE_WRONG),
    "an emptied batch": ("entries", middle, None, lambda v: b"", Code.ENTRY_UNREADABLE),
    "a missing batch": ("entries", middle, None, None, Code.ENTRIES_MISSING),
    "a checkpoint": ("checkpoint", middle, None, lambda v: v.replace(b"A", b"B"), None),
    "a checkpoint's size": ("checkpoint", middle, last_bit, None, Code.CHECKPOINT_CONTRADICTED),
    "a block's time": ("by_time", middle, lambda k: last_bit(k[:8]) + k[8:], None, None),
    "a block's end": ("by_time", middle, None, last_bit, Code.TIME_INDEX_WRONG),
    "a service's posting": ("by_service", middle, None, last_bit, Code.SERVICE_INDEX_WRONG),
    "a service's name": ("by_service", middle, last_bit, None, Code.SERVICE_INDEX_WRONG),
    "a record": ("sealed", middle, None, last_bit, Code.RECORD_ALTERED),
    "a record's lease": ("sealed", middle, None, lambda v: v[:3] + last_bit(v[3:4]) + v[4:], None),
    "a missing record": ("sealed", middle, None, None, Code.RECORD_MISSING),
    "a record's index": ("sealed", middle, last_bit, None, None),
    "where the ledger stands": ("meta", state_row, None, last_bit, Code.STATE_DAMAGED),
    "the ledger's own slot": ("meta", own_slot_row, None, last_bit, Code.REGISTRY_WRONG),
    "a counter": ("meta", total_row, None, last_bit, Code.TOTALS_WRONG),
    "a subject's row": ("subject", middle, None, last_bit, Code.REGISTRY_WRONG),
    "a missing subject": ("subject", middle, None, None, Code.REGISTRY_WRONG),
    "a page of rows by subject": ("by_subject", middle, None, last_bit, Code.SUBJECT_INDEX_WRONG),
    "a page of rows by request": ("by_request", middle, None, last_bit, Code.REQUEST_INDEX_WRONG),
    "a page's key": ("by_request", middle, last_bit, None, Code.TABLE_DAMAGED),
    "a row cut short": ("by_request", middle, None, lambda v: v[:-1], Code.TABLE_DAMAGED),
    "a missing page": ("by_subject", middle, None, None, Code.SUBJECT_INDEX_WRONG),
    "which rows wait": ("meta", merged_row, None, last_bit, Code.TABLE_DAMAGED),
    "rows that wait": ("recent", middle, None, last_bit, None),
    "where waiting rows begin": ("recent", middle, first_bit, None, Code.TABLE_DAMAGED),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_changed_is_what_is_named(home, copy, what):
    table, pick, new_key, new_value, code = CHANGES[what]
    change(copy, table, pick, new_key=new_key, new_value=new_value)
    found = examine(home, copy)
    assert found
    if code is not None:
        assert code in codes(found)


def test_an_altered_entry_is_named_by_its_index(home, copy):
    key = change(copy, "entries", middle, new_value=last_bit)
    [finding] = [f for f in examine(home, copy) if f.code == Code.ENTRY_ALTERED]
    batch = int.from_bytes(key, "big")
    index = int(finding.where.rpartition(" ")[2])
    assert batch <= index < batch + 60


def test_entries_that_lead_to_another_root_are_not_taken_for_altered_tiles(home, copy):
    change(copy, "entries", middle, new_value=last_bit)
    assert Code.TILE_WRONG not in codes(examine(home, copy))


@pytest.mark.parametrize("what", ["a tile", "a missing tile", "a service's posting", "a counter"])
def test_repair_makes_again_what_is_derived(home, copy, what):
    before = contents(copy)
    table, pick, new_key, new_value, _ = CHANGES[what]
    change(copy, table, pick, new_key=new_key, new_value=new_value)
    assert examine(home, copy, repair=True)
    assert examine(home, copy) == []
    assert contents(copy) == before


def test_repair_writes_static_files_again(home, copy):
    for path in files(copy, "static/tile/0/*")[:2]:
        flip(path, 5, 5)
    files(copy, "static/tile/entries/*")[0].unlink()
    assert len(examine(home, copy, repair=True)) == 3
    assert examine(home, copy) == []


def test_repair_touches_nothing_while_the_entries_are_in_doubt(home, copy):
    change(copy, "entries", middle, new_value=last_bit)
    change(copy, "tile", lambda rows: rows[0], new_value=last_bit)
    before = contents(copy)
    examine(home, copy, repair=True)
    assert contents(copy) == before


def test_repair_does_not_touch_records(home, copy):
    change(copy, "sealed", middle, new_value=last_bit)
    before = contents(copy)
    assert codes(examine(home, copy, repair=True)) == {Code.RECORD_ALTERED}
    assert contents(copy) == before


def test_a_store_that_was_put_back_is_told_by_a_checkpoint_that_was_kept(home, copy, tmp_path):
    kept = (copy / "static" / "checkpoint").read_bytes()
    assert examine(home, copy, kept=kept) == []
    older = smaller_home(home, tmp_path)
    assert codes(examine(home, older, kept=kept)) == {Code.ROLLED_BACK}


def test_a_static_folder_that_is_ahead_of_its_store_tells_that_the_store_was_put_back(
    home, copy, tmp_path
):
    older = smaller_home(home, tmp_path)
    shutil.copytree(copy / "static", older / "static")
    assert codes(examine(home, older)) == {Code.STATIC_FOLDER_AHEAD}


def smaller_home(home, tmp_path):
    """The data of the same cell's ledger with a part of the entries."""
    target = tmp_path / "older"
    shutil.copytree(home, target)
    shutil.rmtree(data_of(target))
    fill(
        target,
        FillPlan(entries=ENTRIES // 2, subjects=8, batch_records=60, is_signed=True),
        tell=lambda _: None,
    )
    return data_of(target)


def test_without_the_vault_the_public_half_can_be_checked(home, copy):
    shutil.rmtree(copy / "vault")
    assert examine(home, copy, private=False) == []
    assert codes(examine(home, copy)) == {Code.FILE_MISSING}


def test_a_ledger_that_runs_is_not_checked(home, copy):
    environment = Environment(copy / "log", map_bytes_max=1 << 30)
    try:
        with pytest.raises(StoreInUseError):
            examine(home, copy)
    finally:
        environment.close()


def test_the_pages_of_a_ledger_that_runs_are_not_taken_for_damaged_ones(home, copy):
    flip(copy / "log" / "data.mdb", 3, 3)
    with owned(copy / "log"), pytest.raises(StoreInUseError):
        examine(home, copy)
    assert codes(examine(home, copy)) == {Code.PAGE_DAMAGED}


def test_what_is_no_folder_cannot_be_tried(home, tmp_path):
    with pytest.raises(NotADirectoryError):
        examine(home, tmp_path / "nowhere")


@pytest.mark.parametrize("cut", [1, 3, 25, None])
def test_rows_that_wait_and_were_cut_off_are_found_and_break_nothing(home, copy, cut):
    change(copy, "recent", middle, new_value=lambda v: v[:-cut] if cut else b"")
    assert Code.TABLE_DAMAGED in codes(examine(home, copy))


def test_every_finding_has_a_page_for_operators():
    page = Path("docs/operations/fsck.md").read_text()
    assert [code for code in Code if f"`{code}`" not in page] == []


def test_findings_beyond_the_bound_are_counted_and_not_told():
    from heptad_ledger.fsck.findings import FINDINGS_MAX, Findings

    told = []
    findings = Findings(told.append)
    for _ in range(FINDINGS_MAX + 5):
        findings.add(Code.TILE_WRONG, "log/tile", "wrong")
    assert (len(told), findings.total) == (FINDINGS_MAX, FINDINGS_MAX + 5)
    assert Counter(finding.code for finding in told) == {Code.TILE_WRONG: FINDINGS_MAX}


def test_a_signature_by_nobody_whom_the_policy_knows_makes_a_note_of_ours_invalid(home, copy):
    """Six of seven would still be a quorum, and nobody else would say that one was altered."""
    change(
        copy,
        "checkpoint",
        middle,
        new_value=lambda note: note.replace(b" replica-7.", b" replica-q."),
    )
    assert codes(examine(home, copy)) == {Code.CHECKPOINT_INVALID}


def test_two_tables_that_share_a_page_are_told(home, copy):
    path = copy / "log" / "data.mdb"
    data = bytearray(path.read_bytes())
    for start in range(0, len(data), 4_096):
        mine, other = (data.find(name, start, start + 4_096) for name in (b"duplicate", b"by_time"))
        if mine > 0 and other > 0:
            head = data[other + len(b"by_time") :][:48]
            data[mine + len(b"duplicate") : mine + len(b"duplicate") + 48] = head
    path.write_bytes(data)
    found = examine(home, copy)
    assert codes(found) == {Code.PAGE_DAMAGED}
    assert any("reached twice" in finding.detail for finding in found)


def test_a_record_that_opens_and_is_not_what_its_entry_commits_to_is_told(home, copy):
    """What an evil validator could have sealed: good keys, another witness."""
    cell = load_cell(home)
    vault = VaultInspector(copy / "vault", FileRootKeyStore(copy / "vault-root"))
    keys = {state.slot: state.key for state in vault.slots(lambda _: None)}
    routing_key = vault.cell_keys.current.key
    vault.close()
    parts = open_home(home, cell)
    with parts.store.snapshot() as snapshot:
        slot, index_key, index = next(
            (slot, index_key, index)
            for slot, key in keys.items()
            for index_key in (subject_index_key(key),)
            if (index := snapshot.subject_row(subject_row_key(index_key=index_key, row=1)))
        )
        entry, stored = snapshot.entry(index), snapshot.sealed(index)
    parts.close()
    opened = open_stored(stored, entry=entry, entry_index=index, slot_key=keys[slot])
    lease_id = bytes(16)
    sealed = seal_record(
        entry=entry,
        witness=bytes(32),
        payload=opened.payload,
        lease=lease_key(slot_key=keys[slot], lease_id=lease_id),
        routing=Routing(slot, lease_id, bytes(16)),
        routing_key=routing_key,
    )
    other = to_stored(sealed, lease_id=lease_id, index_key=index_key, entry_index=index)
    change(
        copy,
        "sealed",
        lambda rows: next(row for row in rows if row[0] == index.to_bytes(8, "big")),
        new_value=lambda _: other,
    )
    [finding] = examine(home, copy)
    assert (finding.code, finding.where) == (Code.RECORD_ALTERED, f"log/sealed {index}")
    assert "commits to" in finding.detail


def test_a_copy_without_a_root_key_is_told_and_gets_none(home, copy):
    shutil.rmtree(copy / "vault-root")
    assert codes(examine(home, copy)) == {Code.VAULT_DAMAGED}
    assert not (copy / "vault-root").exists()
    assert examine(home, copy, private=False) == []


@pytest.mark.parametrize("how", ["pipe", "folder", "link to a pipe"])
def test_what_is_no_plain_file_is_a_wrong_static_file_and_nobody_waits_for_it(home, copy, how):
    path = copy / "static" / "tile" / "0" / "000"
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    else:
        os.mkfifo(copy / "pipe")
        path.symlink_to(copy / "pipe")
    [finding] = examine(home, copy)
    assert (finding.code, finding.where) == (Code.STATIC_FILE_WRONG, "static/tile/0/000")


def test_a_copy_where_nothing_may_be_written_is_checked(home, copy, monkeypatch):
    """A backup on a read-only disk, say; the superuser of a test may write anywhere."""
    really = os.open

    def on_a_read_only_disk(path, flags, *rest, **more):
        if flags & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return really(path, flags, *rest, **more)

    (copy / "log" / "owner.lock").unlink(missing_ok=True)
    monkeypatch.setattr("heptad_ledger.store.environment.os.open", on_a_read_only_disk)
    assert examine(home, copy, private=False) == []
    assert examine(home, copy) == []
    with pytest.raises(OSError, match="Read-only"):
        examine(home, copy, repair=True)


def test_ctrl_c_ends_the_check_and_says_nothing(home, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "check", interrupted)
    monkeypatch.setattr("sys.argv", ["fsck", str(home)])
    assert command.main() == command.EXIT_INTERRUPTED
    assert capsys.readouterr() == ("", "")
