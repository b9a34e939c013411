"""The book of backup keys knows of each key before it exists, until it is known to be gone."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.observability.logs import EventLog
from heptad.runtime.config import LedgerConfig, load_cell
from heptad.runtime.config.files import load_node_config
from heptad.vault.root_keys import RootKey
from heptad_ledger.backup import key_book, key_files, taking
from heptad_ledger.backup.key_book import (
    BOOK_FILE,
    ROWS_MAX,
    TERM_MS_DEFAULT,
    KeyRow,
    KeyState,
    beyond_use_ms,
    bring_back,
    brought_back,
    enter,
    overdue,
    read_book,
    revise,
)
from heptad_ledger.backup.key_files import declare_destroyed, efface, write_key
from heptad_ledger.backup.manifest import BackupKey, read_key, read_manifest
from heptad_ledger.backup.overdue import OverdueKeys
from heptad_ledger.backup.restoring import RestoreJob, restore
from heptad_ledger.backup.taking import BackupJob, KeyWish, take
from heptad_ledger.errors import BackupError, KeyBookError
from heptad_ledger.synthetic.fill import fill, new_home, open_home
from heptad_ledger.synthetic.records import FillPlan

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
PLAN = FillPlan(
    entries=20, subjects=2, batch_records=10, block_batches=1, checkpoint_entries=20, is_signed=True
)


def row(key_id="a", *, epoch=1, created_ms=NOW_MS, days=30, path="", **more):
    return KeyRow(key_id, epoch, created_ms, created_ms + days * DAY_MS, path, **more)


def quiet(*_):
    pass


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def key_in(data, tmp_path):
    """Makes a key's file and its row."""

    def key_in(key_id="a", **more):
        path = tmp_path / f"{key_id}.key"
        made = row(key_id, path=str(path), **more)
        enter(data, made)
        root = RootKey(max(made.epoch, 1), key_id.encode().ljust(32, b"k"))
        write_key(path, BackupKey("log.test", root, made.created_ms, made.expires_ms))
        return path

    return key_in


# What the book says.


def test_without_backup_keys_nothing_is_beyond_use(data):
    assert read_book(data) == ()
    assert beyond_use_ms(data, erased_at_epoch=9) == 0


def test_only_keys_of_backups_before_the_erasure_count_and_the_last_of_them_decides(data):
    for key in (row("a", epoch=1, days=9), row("b", epoch=2, days=5), row("c", epoch=3, days=99)):
        enter(data, key)
    assert beyond_use_ms(data, erased_at_epoch=1) == 0
    assert beyond_use_ms(data, erased_at_epoch=2) == NOW_MS + 9 * DAY_MS
    assert beyond_use_ms(data, erased_at_epoch=3) == NOW_MS + 9 * DAY_MS
    assert beyond_use_ms(data, erased_at_epoch=4) == NOW_MS + 99 * DAY_MS


def test_a_key_counts_until_it_is_known_to_be_destroyed(data):
    for state in KeyState:
        enter(data, row(state, days=len(state), state=state))
    counted = {key.id for key in read_book(data) if key.is_open}
    assert counted == {"live", "effacing"}
    assert beyond_use_ms(data, erased_at_epoch=2) == NOW_MS + len("effacing") * DAY_MS


def test_a_key_whose_epoch_is_not_known_counts_for_every_erasure(data):
    enter(data, row(epoch=0))
    assert beyond_use_ms(data, erased_at_epoch=1) == NOW_MS + 30 * DAY_MS


def test_a_key_is_overdue_from_its_day_on_until_it_is_destroyed(data):
    enter(data, row("a", days=1))
    enter(data, row("b", days=1, state=KeyState.DECLARED))
    assert overdue(data, now_ms=NOW_MS + DAY_MS - 1) == ()
    assert [key.id for key in overdue(data, now_ms=NOW_MS + DAY_MS)] == ["a"]


def test_no_date_is_given_while_a_key_that_could_open_it_is_overdue(data):
    enter(data, row("a", epoch=3, days=1))
    enter(data, row("b", epoch=3, days=9))
    late_ms = NOW_MS + DAY_MS
    assert beyond_use_ms(data, erased_at_epoch=4, now_ms=late_ms - 1) == NOW_MS + 9 * DAY_MS
    with pytest.raises(KeyBookError, match="backup keys a should be destroyed"):
        beyond_use_ms(data, erased_at_epoch=4, now_ms=late_ms)
    # (one of a backup that was made after the erasure stops nobody)
    assert beyond_use_ms(data, erased_at_epoch=3, now_ms=late_ms) == 0
    revise(data, "a", lambda known: replace(known, state=KeyState.DECLARED))
    assert beyond_use_ms(data, erased_at_epoch=4, now_ms=late_ms) == NOW_MS + 9 * DAY_MS


@pytest.mark.parametrize(
    "change", [(b"18000", b"17000"), (b'"live"', b'"gone"'), (b"rows", b"rowz")]
)
def test_nothing_is_said_from_a_book_that_was_altered(data, change):
    enter(data, row(days=1))
    path = data / BOOK_FILE
    altered = path.read_bytes().replace(*change)
    assert altered != path.read_bytes()
    path.write_bytes(altered)
    with pytest.raises(KeyBookError):
        beyond_use_ms(data, erased_at_epoch=2)
    with pytest.raises(KeyBookError):
        enter(data, row("b"))


def test_a_full_book_forgets_keys_that_are_gone_and_none_that_is_there(data, monkeypatch):
    monkeypatch.setattr(key_book, "ROWS_MAX", 3)
    enter(data, row("gone", state=KeyState.OVERWRITTEN))
    for name in ("a", "b", "c"):
        enter(data, row(name))
    assert [key.id for key in read_book(data)] == ["a", "b", "c"]
    with pytest.raises(KeyBookError, match="not destroyed"):
        enter(data, row("d"))
    assert ROWS_MAX == 4_096


def test_no_two_keys_have_one_name(data):
    enter(data, row())
    with pytest.raises(KeyBookError, match="already"):
        enter(data, row(days=1))


# How keys are destroyed.


def test_a_key_is_overwritten_where_it_lies_before_it_goes(data, key_in, monkeypatch):
    path = key_in()
    with path.open("rb") as file:
        # given somebody who holds the file open, so that its blocks are not given away
        monkeypatch.setattr(key_files, "sync_folder", quiet)
        closed = efface(data, "a", now_ms=NOW_MS + 5)
        assert file.read().strip(b"\0") == b""
    assert (closed.state, closed.closed_ms) == (KeyState.OVERWRITTEN, NOW_MS + 5)
    assert not path.exists()
    assert beyond_use_ms(data, erased_at_epoch=2) == 0
    # and once more is the same
    assert efface(data, "a", now_ms=NOW_MS + 9) == closed


class Crash(BaseException):
    pass


def raise_crash(*_):
    raise Crash


def crash_at(folder):
    """A `sync_folder` that crashes once the backup has its place."""

    def sync(synced):
        if synced == folder:
            raise Crash

    return sync


@pytest.mark.parametrize("step", ["_overwrite_at", "_take_away"])
def test_a_crash_while_a_key_is_destroyed_is_finished_by_the_same_command(
    data, key_in, monkeypatch, step
):
    path = key_in()
    with monkeypatch.context() as broken:
        broken.setattr(key_files, step, raise_crash)
        with pytest.raises(Crash):
            efface(data, "a", now_ms=NOW_MS)
    # then the book never says that it is gone before it is
    is_gone = not path.read_bytes().strip(b"\0")
    assert is_gone == (not read_book(data)[0].is_open)
    if not is_gone:
        path.write_bytes(bytes(20) + path.read_bytes()[20:])  # half of it was written
        assert efface(data, "a", now_ms=NOW_MS).state is KeyState.OVERWRITTEN
        assert not path.exists()


def test_a_drive_that_does_not_take_the_zeros_leaves_the_key_open(data, key_in, monkeypatch):
    key_in()
    monkeypatch.setattr(key_files.os, "pread", lambda *_: b"the old block")
    with pytest.raises(BackupError, match="does not read back"):
        efface(data, "a", now_ms=NOW_MS)
    assert read_book(data)[0].is_open
    assert beyond_use_ms(data, erased_at_epoch=2) > 0


def test_only_the_key_that_the_book_means_is_overwritten(data, key_in, tmp_path):
    path, other = key_in("a"), key_in("b", created_ms=NOW_MS + 1)
    for content in (other.read_bytes(), b"somebody's thesis"):
        path.write_bytes(content)
        with pytest.raises(BackupError):
            efface(data, "a", now_ms=NOW_MS)
        assert path.read_bytes() == content
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(BackupError):
        efface(data, "a", now_ms=NOW_MS)
    assert read_key(other).created_ms == NOW_MS + 1
    assert all(key.is_open for key in read_book(data))


def test_a_key_that_is_not_there_is_not_called_effaced(data, key_in):
    key_in().unlink()
    with pytest.raises(BackupError, match="declare"):
        efface(data, "a", now_ms=NOW_MS)
    assert read_book(data)[0].state is KeyState.LIVE


def test_a_declaration_says_who_and_when_and_that_it_is_one(data, key_in):
    path = key_in()
    with pytest.raises(KeyBookError, match="efface it instead"):
        declare_destroyed(data, "a", by="A. Officer", at_ms=NOW_MS + 1)
    path.unlink()
    with pytest.raises(KeyBookError, match="made later"):
        declare_destroyed(data, "a", by="A. Officer", at_ms=NOW_MS - 1)
    for nobody in ("", "  ", "x" * 201, "a\x1b[2J"):
        with pytest.raises(KeyBookError, match="who declares"):
            declare_destroyed(data, "a", by=nobody, at_ms=NOW_MS + 1)
    declared = declare_destroyed(data, "a", by="A. Officer", at_ms=NOW_MS + 1)
    assert (declared.state, declared.closed_by, declared.closed_ms) == (
        KeyState.DECLARED, "A. Officer", NOW_MS + 1,
    )  # fmt: skip
    assert read_book(data) == (declared,)
    with pytest.raises(KeyBookError, match="declared already"):
        declare_destroyed(data, "a", by="B. Officer", at_ms=NOW_MS + 2)


# After a restore.


def test_a_restored_book_counts_a_lost_ledgers_epochs_for_every_later_erasure():
    brought, left = (row("a", epoch=2),), (row("a", epoch=2), row("b", epoch=7, days=60))
    rows = brought_back(brought, left, epoch=3, now_ms=NOW_MS)
    assert {key.id: key.epoch for key in rows} == {"a": 2, "b": 3}


def test_what_the_lost_book_knew_of_a_key_outweighs_the_backups_book():
    gone = row("a", state=KeyState.OVERWRITTEN)
    assert brought_back((row("a"),), (gone,), epoch=3, now_ms=NOW_MS) == (gone,)


@pytest.mark.parametrize("left", [None, (row("later"),)], ids=["no book", "an older book"])
def test_keys_that_no_book_may_know_of_have_a_row_until_the_longest_term_is_over(left):
    rows = brought_back((row("a", days=90),), left, epoch=3, now_ms=NOW_MS + DAY_MS)
    (lost,) = [key for key in rows if key.id.startswith("lost-")]
    assert (lost.epoch, lost.path, lost.is_open) == (0, "", True)
    assert lost.expires_ms == NOW_MS + 91 * DAY_MS
    (lost,) = brought_back((), None, epoch=3, now_ms=NOW_MS)
    assert lost.expires_ms == NOW_MS + TERM_MS_DEFAULT


# With real backups.


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    home = tmp_path_factory.mktemp("keys") / "cell"
    new_home(home)
    fill(home, PLAN)
    return home


@pytest.fixture
def home(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "home")
    return tmp_path / "home"


def data_of(home):
    return home / "ledger-1" / "data"


def back_up(home, target, key=None, *, days=30, now_ms=NOW_MS):
    wish = KeyWish(key, days) if key else None
    job = BackupJob(home, data_of(home), load_cell(home), target, now_ms, wish)
    return take(job, progress=quiet)


def put_back(source, home, **more):
    config = load_node_config(LedgerConfig, home=home, name="ledger-1")
    job = RestoreJob(
        source, data_of(home), load_cell(home), config, NOW_MS + 9, slots_skipped=10, **more
    )
    return restore(job, progress=quiet)


def erase_one(home):
    parts = open_home(home, load_cell(home))
    try:
        (slot,) = parts.vault.allocate(1)
        return parts.vault.erase([slot.slot])[slot.slot].epoch
    finally:
        parts.close()


def test_a_backup_with_a_key_is_in_the_book_and_so_is_its_book_in_the_backup(home, tmp_path):
    manifest = back_up(home, tmp_path / "b", tmp_path / "key", days=7)
    (noted,) = read_book(data_of(home))
    assert noted == row(manifest.key_id, epoch=manifest.epoch, days=7, path=str(tmp_path / "key"))
    assert read_book(tmp_path / "b") == (noted,)
    assert BOOK_FILE in {facts.path for facts in read_manifest(tmp_path / "b").files}
    # and a backup without one leaves no row
    back_up(home, tmp_path / "c")
    assert len(read_book(data_of(home))) == 1


def test_an_erasure_between_any_two_steps_of_a_backup_is_told_of_its_key(
    home, tmp_path, monkeypatch
):
    # given an erasure that is attested at each step at which the copy may still hold the key
    told = []

    def copying(source, target, copy=taking.copy_environment):
        copy(source, target)
        told.append(beyond_use_ms(data_of(home), erased_at_epoch=2))

    def writing(path, key, write=taking.write_key):
        told.append(beyond_use_ms(data_of(home), erased_at_epoch=key.root.epoch + 1))
        assert not path.exists()
        write(path, key)

    monkeypatch.setattr(taking, "copy_environment", copying)
    monkeypatch.setattr(taking, "write_key", writing)
    back_up(home, tmp_path / "b", tmp_path / "key")
    assert told == [NOW_MS + 30 * DAY_MS] * 3


def test_an_erasure_before_the_backup_has_nothing_to_do_with_its_key(home, tmp_path):
    erased_at_epoch = erase_one(home)
    back_up(home, tmp_path / "b", tmp_path / "key")
    assert beyond_use_ms(data_of(home), erased_at_epoch=erased_at_epoch) == 0
    assert beyond_use_ms(data_of(home), erased_at_epoch=erase_one(home)) > 0


def test_a_backup_that_fails_destroys_its_key_and_its_row(home, tmp_path, monkeypatch):
    destroyed = []

    def destroying(path, destroy=taking.destroy_file):
        read_key(path)
        destroyed.append(path)
        destroy(path)

    monkeypatch.setattr(taking, "destroy_file", destroying)
    monkeypatch.setattr(taking, "sync_folder", crash_at(tmp_path))
    with pytest.raises(Crash):
        back_up(home, tmp_path / "b", tmp_path / "key")
    assert destroyed == [tmp_path / "key"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert read_book(data_of(home)) == ()


def test_a_backup_that_cannot_destroy_its_key_keeps_the_row(home, tmp_path, monkeypatch):
    monkeypatch.setattr(taking, "sync_folder", crash_at(tmp_path))
    monkeypatch.setattr(taking, "destroy_file", quiet)
    with pytest.raises(Crash):
        back_up(home, tmp_path / "b", tmp_path / "key")
    assert [key.is_open for key in read_book(data_of(home))] == [True]


def test_a_keys_file_never_has_a_second_copy_beside_it(home, tmp_path, monkeypatch):
    seen = []

    def syncing(folder):
        seen.append([name for name in os.listdir(folder) if "key" in name])

    monkeypatch.setattr(key_files, "sync_folder", syncing)
    back_up(home, tmp_path / "b", tmp_path / "key")
    assert seen == [["key"]]
    assert (tmp_path / "key").stat().st_size == 4_096
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_was_put_back_knows_the_keys_that_the_lost_one_had(home, tmp_path):
    back_up(home, tmp_path / "a", tmp_path / "a.key")
    back_up(home, tmp_path / "b", tmp_path / "b.key", now_ms=NOW_MS + 1)
    # given that a key is made that only the lost book knows of
    back_up(home, tmp_path / "c", tmp_path / "c.key", now_ms=NOW_MS + 2)
    shutil.rmtree(data_of(home))
    assert put_back(tmp_path / "b", home, key=tmp_path / "b.key").is_in_place
    paths = [key.path for key in read_book(data_of(home))]
    assert paths == [str(tmp_path / "a.key"), str(tmp_path / "b.key"), ""]
    epoch = erase_one(home)
    assert beyond_use_ms(data_of(home), erased_at_epoch=epoch) == NOW_MS + 9 + 30 * DAY_MS


def test_a_book_that_outlived_the_ledger_is_not_written_over(home, tmp_path):
    back_up(home, tmp_path / "a", tmp_path / "a.key")
    back_up(home, tmp_path / "c", tmp_path / "c.key", now_ms=NOW_MS + 2)
    efface(data_of(home), read_book(data_of(home))[1].id, now_ms=NOW_MS + 3)
    before = read_book(data_of(home))
    for folder in ("log", "vault", "vault-root"):
        shutil.rmtree(data_of(home) / folder)
    assert put_back(tmp_path / "a", home, key=tmp_path / "a.key").is_in_place
    assert read_book(data_of(home)) == before


def test_the_own_key_of_a_backup_without_a_book_is_entered(data, tmp_path):
    own = row("own", epoch=2)
    bring_back(data, tmp_path, own, epoch=2, now_ms=NOW_MS)
    assert own in read_book(data)


# As an operator sees it.


def run(home, *words):
    words = ["ledger", "backup-keys", *map(str, words), "--home", str(home)]
    if words[2] == "--home":
        words = ["ledger", "backup-keys", "--home", str(home)]
    return CliRunner().invoke(main.build(("ledger",)), words)


def test_the_commands_list_what_is_due_and_destroy_it(home, tmp_path):
    assert "no backup key" in run(home).stdout
    back_up(home, tmp_path / "a", tmp_path / "a.key", days=1, now_ms=1)
    back_up(home, tmp_path / "b", tmp_path / "b.key", days=1, now_ms=2)
    first, second = read_book(data_of(home))
    listed = run(home)
    assert (listed.exit_code, listed.stdout.count("OVERDUE, live")) == (1, 2), listed
    (tmp_path / "b.key").rename(tmp_path / "elsewhere")
    effaced = run(home, "efface", "--expired")
    assert (effaced.exit_code, "NOT destroyed" in effaced.stdout) == (1, True), effaced
    assert f"{first.id}  epoch 1  until 1970-01-02 00:00 (1 d)  overwritten" in effaced.stdout
    assert not (tmp_path / "a.key").exists()
    declared = run(home, "declare", second.id, "--by", "A. Officer", "--at", "1970-01-02")
    assert declared.exit_code == 0
    assert "declared destroyed 1970-01-02 00:00 by A. Officer" in declared.stdout
    listed = run(home)
    assert (listed.exit_code, "OVERDUE" in listed.stdout) == (0, False)
    assert run(home, "efface").exit_code == 2
    assert run(home, "declare", "nobody", "--by", "x").exit_code == 1


def test_an_overdue_key_is_told_once_in_the_log_and_counted_until_it_is_gone(data, key_in):
    lines = []
    watch = OverdueKeys(data, EventLog(bound={}, write=lines.append))
    key_in("a", days=1)
    for now_ms in (NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1):
        watch.look(now_ms=now_ms)
    assert [json.loads(line)["event"] for line in lines] == ["backup_key_overdue"]
    assert (watch.count, "1 backup key(s) overdue" in watch.note) == (1, True)
    efface(data, "a", now_ms=NOW_MS + DAY_MS)
    watch.look(now_ms=NOW_MS + DAY_MS + 2)
    assert (watch.count, watch.note) == (0, "")
    revise(data, "a", lambda known: replace(known, state=KeyState.LIVE))
    (data / BOOK_FILE).write_bytes(b"rubbish")
    watch.look(now_ms=NOW_MS)
    assert watch.count == 1
