"""A copy is taken while the ledger works, and what is put back is all of it, or nothing at all."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import lmdb
import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.runtime.config import LedgerConfig, load_cell
from heptad.runtime.config.files import load_node_config
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note
from heptad.transparency.policy import Policy
from heptad.vault.errors import RootKeyLostError
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.root_keys import RootKey
from heptad_ledger.backup import __main__ as command
from heptad_ledger.backup import taking
from heptad_ledger.backup.manifest import (
    MANIFEST_FILE,
    BackupKey,
    facts_of,
    read_key,
    read_manifest,
)
from heptad_ledger.backup.restoring import RESTORED, RestoreJob, restore
from heptad_ledger.backup.taking import BackupJob, KeyWish, take
from heptad_ledger.errors import BackupError, KeptCheckpointError
from heptad_ledger.fsck.run import Job, check
from heptad_ledger.parts import LOG_FOLDER, ROOT_FOLDER, VAULT_FOLDER
from heptad_ledger.publishing.kept import KEPT_FILE, read_kept
from heptad_ledger.synthetic.fill import fill, new_home, open_home
from heptad_ledger.synthetic.group import Group
from heptad_ledger.synthetic.records import FillPlan

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
PLAN = FillPlan(
    entries=300,
    subjects=8,
    batch_records=60,
    block_batches=2,
    checkpoint_entries=100,
    is_signed=True,
)


def quiet(*_):
    pass


def data_of(home):
    return home / load_cell(home).ledger.id / "data"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cell whose ledger holds some hundred records."""
    home = tmp_path_factory.mktemp("backup") / "cell"
    new_home(home)
    fill(home, PLAN)
    return home


@pytest.fixture
def home(filled, tmp_path):
    """A copy of it, to be lost and found."""
    shutil.copytree(filled, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def backup(tmp_path):
    """Takes a backup of a home; gives its folder."""

    def backup(home, *, key=None, name="backup", days=30):
        wish = KeyWish(key, days) if key else None
        take(
            BackupJob(home, data_of(home), load_cell(home), tmp_path / name, NOW_MS, wish),
            progress=quiet,
        )
        return tmp_path / name

    return backup


def put_back(source, home, *, data=None, **more):
    """Restore into the home of the backup, or into other `data` with its keys."""
    config = load_node_config(LedgerConfig, home=home, name="ledger-1")
    job = RestoreJob(
        source=source,
        data=data or data_of(home),
        cell=load_cell(home),
        config=config,
        **{"now_ms": NOW_MS + 1, "slots_skipped": 100, **more},
    )
    return restore(job, progress=quiet)


def lose(home, *folders):
    for folder in folders or (LOG_FOLDER, VAULT_FOLDER, ROOT_FOLDER):
        shutil.rmtree(data_of(home) / folder)


def findings_in(home):
    found = []
    check(Job(data_of(home), None, load_cell(home)), report=found.append, progress=quiet)
    return found


def head_of(home):
    parts = open_home(home, load_cell(home))
    try:
        return parts.store.state
    finally:
        parts.close()


def cosigned(home, *, fill_to=None, seed=PLAN.seed):
    """The checkpoint of the log as it is now, or will be with more entries in the home."""
    if fill_to:
        fill(home, replace(PLAN, entries=fill_to, seed=seed))
    parts = open_home(home, load_cell(home))
    try:
        return Group(home, load_cell(home), parts.store.state).note(time_s=NOW_MS // 1000)
    finally:
        parts.close()


def test_what_is_put_back_is_what_was_copied(home, backup, tmp_path):
    before = head_of(home)
    source = backup(home, key=tmp_path / "key")
    lose(home)
    restored = put_back(source, home, key=tmp_path / "key", kept=cosigned_before(source))
    assert restored.is_in_place
    assert head_of(home) == before
    assert findings_in(home) == []
    # and it goes on as a ledger
    fill(home, replace(PLAN, entries=400))
    assert findings_in(home) == []


def cosigned_before(source):
    return (source / "checkpoint").read_bytes()


def test_a_backup_is_taken_while_the_ledger_writes(home, tmp_path):
    parts = open_home(home, load_cell(home))
    group = Group(home, load_cell(home), parts.store.state)
    before, frames = parts.store.state.size, 0
    command = [sys.executable, "-m", "heptad_ledger.backup", str(home), "take"]
    command += [str(tmp_path / "hot"), "--with-root-key", str(tmp_path / "key")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            frames += 1
            batch = group.batch([(b"written meanwhile", b"")], time_ms=NOW_MS + frames)
            assert not parts.ingest.take([group.commit([batch], time_ms=NOW_MS + frames)]).fault
        done = json.loads(child.stdout.read().splitlines()[-1])["done"]
    after = parts.store.state
    parts.close()
    # then it is one moment of that time
    assert before <= done["size"] <= after.size
    assert frames > 0
    lose(home)
    now_ms = done["created_ms"] + 1
    restored = put_back(tmp_path / "hot", home, key=tmp_path / "key", now_ms=now_ms)
    # (what was written is no entry, and a validator's rubbish does not spoil a backup)
    assert {finding.code for finding in restored.findings} <= {"entry_unreadable"}
    assert restored.is_in_place
    assert head_of(home).size == done["size"]


def test_ctrl_c_ends_a_backup_says_nothing_and_leaves_nothing(home, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(taking, "_described", interrupted)
    monkeypatch.setattr("sys.argv", ["backup", str(home), "take", str(tmp_path / "taken")])
    assert command.main() == command.EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_the_commands_take_put_back_and_say_what_was_done(home, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(main.build(("ledger",)), ["ledger", *map(str, arguments)])

    key, where = tmp_path / "key", ("--home", home)
    taken = run("backup", *where, "--to", tmp_path / "b", "--with-root-key", key)
    assert (taken.exit_code, "300 entries and the vault" in taken.stdout) == (0, True), taken
    refused = run("restore", *where, "--from", tmp_path / "b", "--root-key", key)
    assert (refused.exit_code, "never written over" in refused.stderr) == (1, True)
    lose(home)
    kept = ("--checkpoint", tmp_path / "b" / "checkpoint")
    restored = run("restore", *where, "--from", tmp_path / "b", "--root-key", key, *kept, "--json")
    assert (restored.exit_code, json.loads(restored.stdout)["kept_size"]) == (0, 300)


def test_a_registration_between_the_two_copies_is_not_torn(home, tmp_path, backup, monkeypatch):
    # given subjects who register after the first database was copied and before the second
    copy, copied = taking.copy_environment, []

    def copy_and_go_on(source, target):
        copy(source, target)
        copied.append(source.name)
        if len(copied) == 1:
            fill(home, replace(PLAN, entries=360, subjects=20, seed=5))

    monkeypatch.setattr(taking, "copy_environment", copy_and_go_on)
    source = backup(home, key=tmp_path / "key")
    # then every slot that the log's copy names has its key in the vault's
    assert copied == [LOG_FOLDER, VAULT_FOLDER]
    lose(home)
    assert put_back(source, home, key=tmp_path / "key").is_in_place


def test_the_live_root_key_is_in_no_file_of_a_backup(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    (root,) = FileRootKeyStore(data_of(home) / ROOT_FOLDER).read()
    files = [path for path in source.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"data.mdb", MANIFEST_FILE, "policy", "checkpoint"}
    for path in (*files, tmp_path / "key"):
        assert root.key not in path.read_bytes()
        assert root.key.hex().encode() not in path.read_bytes()
    # the backup's own key is readable for its owner only, and opens this vault and no other
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    key = read_key(tmp_path / "key")
    assert (key.root.epoch, key.expires_ms) == (root.epoch, NOW_MS + 30 * DAY_MS)
    assert key.root.key != root.key
    other = backup(home, key=tmp_path / "other", name="second")
    lose(home)
    restored = put_back(other, home, key=tmp_path / "key")
    assert {finding.code for finding in restored.findings} == {"vault_damaged"}


def test_a_backup_without_a_key_opens_under_the_root_key_that_is_still_there(home, backup):
    source = backup(home)
    lose(home, LOG_FOLDER, VAULT_FOLDER)
    assert put_back(source, home).is_in_place
    assert findings_in(home) == []


def test_without_any_root_key_nothing_is_put_in_place(home, backup):
    source = backup(home)
    lose(home)
    with pytest.raises(BackupError, match="nothing in the vault would open"):
        put_back(source, home)
    assert not (data_of(home) / LOG_FOLDER).exists()


def test_an_erasure_while_the_vault_is_copied_is_lived_with(home, backup, tmp_path, monkeypatch):
    copy, copied = taking.copy_environment, []

    def copy_and_erase(source, target):
        copy(source, target)
        copied.append(source.name)
        if copied == [LOG_FOLDER, VAULT_FOLDER]:
            parts = open_home(home, load_cell(home))
            parts.vault.erase([parts.vault.allocate(1)[0].slot])
            parts.close()

    monkeypatch.setattr(taking, "copy_environment", copy_and_erase)
    source = backup(home, key=tmp_path / "key")
    assert copied == [LOG_FOLDER, VAULT_FOLDER, VAULT_FOLDER]
    assert read_manifest(source).epoch == 2
    lose(home)
    assert put_back(source, home, key=tmp_path / "key").is_in_place


def test_a_backup_whose_key_is_lost_to_erasures_leaves_nothing_behind(
    home, backup, tmp_path, monkeypatch
):
    def lost(*_, **__):
        raise RootKeyLostError("erased meanwhile")

    monkeypatch.setattr(taking, "rewrap", lost)
    with pytest.raises(RootKeyLostError):
        backup(home, key=tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_nothing_is_written_over(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    with pytest.raises(BackupError, match="never written over"):
        backup(home)
    with pytest.raises(BackupError, match="key is never written over"):
        backup(home, key=tmp_path / "key", name="second")
    with pytest.raises(BackupError, match="must not lie in the backup"):
        backup(home, key=tmp_path / "third" / "key", name="third")
    with pytest.raises(BackupError, match="a ledger is never written over"):
        put_back(source, home, key=tmp_path / "key")
    lose(home, LOG_FOLDER, VAULT_FOLDER)
    with pytest.raises(BackupError, match="holds a root key"):
        put_back(source, home, key=tmp_path / "key")


@pytest.mark.parametrize("path", ["log/data.mdb", "vault/data.mdb", "cell.toml"])
def test_a_backup_that_a_disk_has_changed_is_refused_by_its_manifest(home, backup, tmp_path, path):
    source = backup(home, key=tmp_path / "key")
    content = bytearray((source / path).read_bytes())
    content[len(content) // 2] ^= 1
    (source / path).write_bytes(content)
    lose(home)
    with pytest.raises(BackupError, match=path):
        put_back(source, home, key=tmp_path / "key")
    assert not (data_of(home) / LOG_FOLDER).exists()


def test_a_backup_that_somebody_has_changed_with_its_manifest_is_refused_by_its_content(
    home, backup, tmp_path
):
    source = backup(home, key=tmp_path / "key")
    environment = lmdb.open(str(source / "log"), map_size=1 << 30, max_dbs=20, lock=False)
    entries = environment.open_db(b"entries")
    with environment.begin(write=True) as transaction:
        key, value = next(iter(transaction.cursor(entries)))
        transaction.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=entries)
    environment.close()
    manifest = read_manifest(source)
    facts = [facts_of(source, known.path) for known in manifest.files]
    (source / MANIFEST_FILE).write_bytes(replace(manifest, files=tuple(facts)).encode())
    lose(home)
    left = sorted(path.name for path in data_of(home).iterdir())
    restored = put_back(source, home, key=tmp_path / "key")
    assert Counter(finding.code for finding in restored.findings)["entry_altered"] == 1
    assert not restored.is_in_place
    assert sorted(path.name for path in data_of(home).iterdir()) == left


def test_an_expired_key_opens_nothing_here(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key", days=1)
    lose(home)
    with pytest.raises(BackupError, match="has expired"):
        put_back(source, home, key=tmp_path / "key", now_ms=NOW_MS + DAY_MS)
    assert put_back(source, home, key=tmp_path / "key", now_ms=NOW_MS + DAY_MS - 1).is_in_place


def test_what_is_no_key_is_refused_without_a_word_of_its_content(tmp_path):
    for content in (b"secret", b'{"format":"heptad-backup-key/1","key":"secret"}', b"[]"):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(BackupError) as refused:
            read_key(tmp_path / "key")
        assert "secret" not in str(refused.value)


def test_a_kept_checkpoint_that_the_backup_contradicts_is_refused(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    # given the checkpoint of another history of the same cell, of a size that the backup has
    twin = tmp_path / "twin"
    shutil.copytree(home, twin)
    lose(twin)
    other = cosigned(twin, fill_to=240, seed=PLAN.seed + 1)
    lose(home)
    restored = put_back(source, home, key=tmp_path / "key", kept=other)
    assert {finding.code for finding in restored.findings} == {"checkpoint_contradicted"}
    assert not (data_of(home) / KEPT_FILE).exists()


def test_a_larger_kept_checkpoint_is_laid_beside_the_log(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    kept = cosigned(home, fill_to=420)
    lose(home)
    restored = put_back(source, home, key=tmp_path / "key", kept=kept)
    assert (restored.is_in_place, restored.kept_size) == (True, 420)
    assert Checkpoint.parse(Note.parse((data_of(home) / KEPT_FILE).read_bytes()).text).size == 420


def test_a_kept_checkpoint_that_no_quorum_has_signed_is_refused(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    note = Note.parse(cosigned_before(source))
    lose(home)
    poor = replace(note, signatures=note.signatures[:5]).encode()
    with pytest.raises(KeptCheckpointError, match="the kept checkpoint"):
        put_back(source, home, key=tmp_path / "key", kept=poor)
    # and a ledger does not start with one
    (tmp_path / KEPT_FILE).write_bytes(poor)
    with pytest.raises(KeptCheckpointError):
        read_kept(tmp_path / KEPT_FILE, Policy.parse((source / "policy").read_bytes()))


def test_slots_that_were_given_out_since_are_not_given_out_again(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    parts = open_home(home, load_cell(home))
    given = {key.slot for key in parts.vault.allocate(50)}
    parts.close()
    lose(home)
    put_back(source, home, key=tmp_path / "key")
    parts = open_home(home, load_cell(home))
    assert min(key.slot for key in parts.vault.allocate(5)) > max(given)
    # and the log says that it was put back, and from where: what erasures are to be replayed from
    assert len(parts.store.kept(RESTORED)) == 4 * 8
    parts.close()


def test_a_crash_in_the_middle_of_taking_leaves_no_backup(home, backup, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(taking, "_sync_tree", full)
    with pytest.raises(OSError, match="No space"):
        backup(home, key=tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


HOLD_A_VIEW = """
import sys, lmdb
environment = lmdb.open(sys.argv[1], readonly=True, create=False, map_size=1 << 40)
transaction = environment.begin()
print("reads", flush=True)
sys.stdin.read()
"""


def test_a_backup_that_was_killed_does_not_hold_pages_back_for_ever(home, tmp_path):
    log = data_of(home) / LOG_FOLDER
    parts = open_home(home, load_cell(home))
    command = [sys.executable, "-c", HOLD_A_VIEW, str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        environment = parts.store._environment._lmdb
        assert str(child.pid) in environment.readers()
        child.kill()
    # then the next backup takes its place away
    taken = [sys.executable, "-m", "heptad_ledger.backup", str(home), "take", str(tmp_path / "b")]
    subprocess.run(taken, check=True, capture_output=True)
    assert str(child.pid) not in environment.readers()
    parts.close()


def test_a_key_does_not_show_itself():
    root = RootKey(1, b"secret".ljust(32))
    assert "secret" not in repr(BackupKey("log.test", root, created_ms=1, expires_ms=2))


def by_command(*arguments):
    return CliRunner().invoke(main.build(("ledger",)), ["ledger", *map(str, arguments)])


def test_a_backup_that_is_refused_leaves_no_configuration_behind(home, backup, tmp_path):
    """Else the keys in a bad backup would judge the good one that comes after it."""
    source, empty = backup(home, key=tmp_path / "key"), tmp_path / "empty"
    content = (source / "vault" / "data.mdb").read_bytes()
    (source / "vault" / "data.mdb").write_bytes(content[:-1])
    empty.mkdir()
    words = ("restore", "--home", empty, "--from", source, "--root-key", tmp_path / "key")
    refused = by_command(*words)
    assert (refused.exit_code, "vault/data.mdb: has" in refused.stderr) == (1, True), refused
    assert [path for path in empty.rglob("*") if path.is_file()] == []
    (source / "vault" / "data.mdb").write_bytes(content)
    assert by_command(*words).exit_code == 0
    assert (empty / "cell.toml").read_bytes() == (home / "cell.toml").read_bytes()


def test_a_manifest_that_says_another_log_than_the_one_beside_it_is_refused(home, backup, tmp_path):
    source = backup(home, key=tmp_path / "key")
    manifest = read_manifest(source)
    (source / MANIFEST_FILE).write_bytes(replace(manifest, size=manifest.size + 1).encode())
    lose(home)
    with pytest.raises(BackupError, match="says 301 entries, the log beside it has 300"):
        put_back(source, home, key=tmp_path / "key")
    assert not (data_of(home) / LOG_FOLDER).exists()


@pytest.mark.parametrize("missing", ["--from", "--root-key", "--checkpoint"])
def test_a_file_that_is_not_there_ends_a_restore_with_2(home, backup, tmp_path, missing):
    source = backup(home, key=tmp_path / "key")
    lose(home)
    given = {
        "--from": source,
        "--root-key": tmp_path / "key",
        "--checkpoint": source / "checkpoint",
        missing: tmp_path / "nowhere",
    }
    refused = by_command("restore", "--home", home, *(w for pair in given.items() for w in pair))
    assert refused.exit_code == 2
    assert "nowhere" in refused.stderr
    assert refused.stderr.rstrip().endswith("No such file or directory")
