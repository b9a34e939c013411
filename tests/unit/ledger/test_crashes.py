"""A whole ledger, log and vault, dies under load, runs out of disk, or loses the power: what it had
acknowledged is there, and the check of its files says so.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from heptad.runtime.config import load_cell
from heptad_ledger.fsck.run import Job, check
from heptad_ledger.parts import LOG_FOLDER
from heptad_ledger.synthetic.fill import fill, new_home, open_home
from heptad_ledger.synthetic.group import Group
from heptad_ledger.synthetic.records import FillPlan

KILLS = int(os.environ.get("HEPTAD_KILLS", "3"))
"""`make crashes` kills hundreds of times."""

KILLS_OF_A_HOME = 20
"""Then a new one: what is checked after each kill grows with each."""

TEARS = int(os.environ.get("HEPTAD_TEARS", "8"))
KILL_S_MAX = 30
"""What one kill may take on a busy machine, and one tear a quarter of it; logs grow with each."""

PAGE_BYTES = 4_096
SECTOR_BYTES = 512
PLAN = FillPlan(
    entries=200,
    subjects=6,
    batch_records=20,
    block_batches=2,
    checkpoint_entries=40,
    is_signed=True,
)

FILL_ON = textwrap.dedent(
    """
    import sys
    from dataclasses import replace
    from pathlib import Path
    from heptad_ledger.synthetic.fill import fill
    from heptad_ledger.synthetic.records import FillPlan

    home, size = Path(sys.argv[1]), int(sys.argv[2])
    plan = FillPlan(entries=0, subjects=6, batch_records=20, block_batches=2,
                    checkpoint_entries=40, is_signed=True)
    while True:
        size += 160
        fill(home, replace(plan, entries=size))
        print(size, flush=True)
    """
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    home = tmp_path_factory.mktemp("crashes") / "cell"
    new_home(home)
    fill(home, PLAN)
    return home


@pytest.fixture
def home(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "home")
    return tmp_path / "home"


def data_of(home):
    return home / load_cell(home).ledger.id / "data"


def findings_in(home):
    found = []
    job = Job(data_of(home), None, load_cell(home))
    summary = check(job, report=found.append, progress=lambda *_: None)
    return summary.size, found


@pytest.mark.timeout(180 + KILLS * KILL_S_MAX)
def test_a_ledger_that_is_killed_under_load_again_and_again_loses_nothing(filled, tmp_path):
    chance = random.Random(7)
    for first in range(0, KILLS, KILLS_OF_A_HOME):
        home = tmp_path / str(first)
        shutil.copytree(filled, home)
        size = PLAN.entries
        for _ in range(min(KILLS_OF_A_HOME, KILLS - first)):
            size = size_after_a_kill(home, size, chance)
        # and the next one goes on
        fill(home, replace(PLAN, entries=size + 40))
        assert findings_in(home) == (size + 40, [])


def size_after_a_kill(home, size, chance):
    """The log's size, after a ledger that had taken in more than that was killed and looked at."""
    command = [sys.executable, "-c", FILL_ON, str(home), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        acknowledged = int(child.stdout.readline())
        # It goes on while we do not look; where it is hit, only chance knows.
        for _ in range(chance.randrange(3)):
            acknowledged = int(child.stdout.readline())
        try:
            child.wait(chance.random() * 0.05)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
    acknowledged = max([acknowledged, *map(int, rest)])
    assert child.returncode == -signal.SIGKILL
    size, found = findings_in(home)
    assert found == []
    assert size >= acknowledged
    return size


FILL_A_DISK = textwrap.dedent(
    """
    import sys
    from dataclasses import replace
    from pathlib import Path
    from heptad_ledger.errors import StoreFullError
    from heptad_ledger.fsck.run import Job, check
    from heptad_ledger.synthetic.fill import fill
    from heptad_ledger.synthetic.records import FillPlan
    from heptad.runtime.config import load_cell
    from heptad.vault.errors import VaultStorageError

    home, ballast = Path(sys.argv[1]), Path(sys.argv[2])
    plan = FillPlan(entries=0, subjects=6, batch_records=20, block_batches=2,
                    checkpoint_entries=40, is_signed=True)
    ballast.write_bytes(bytes(2 << 20))
    size = int(sys.argv[3])
    cell = load_cell(home)
    try:
        while True:
            fill(home, replace(plan, entries=size + 160))
            size += 160
    except (StoreFullError, VaultStorageError):
        print("full", size)

    found = []
    data = home / cell.ledger.id / "data"
    summary = check(Job(data, None, cell), report=found.append, progress=lambda *_: None)
    print("checked", summary.size, len(found))
    ballast.unlink()
    fill(home, replace(plan, entries=summary.size + 200))
    summary = check(Job(data, None, cell), report=found.append, progress=lambda *_: None)
    print("checked", summary.size, len(found))
    """
)


def in_a_small_file_system(folder, *command):
    """Run it where `folder` is a file system of 5 MiB of its own, seen by nobody else."""
    mount = f"mount -t tmpfs -o size=5m tmpfs {folder}"
    script = f'{mount} && cp -r {folder}.full/. {folder}/ && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh", *command]


def can_mount(tmp_path):
    (tmp_path / "probe").mkdir()
    try:
        probe = in_a_small_file_system(tmp_path / "probe", "true")
        (tmp_path / "probe.full").mkdir()
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_costs_nothing_and_is_over_when_there_is_room(home, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("no file system of its own is to be had here")
    shutil.move(home, tmp_path / "small.full")
    small = tmp_path / "small"
    small.mkdir()
    command = [sys.executable, "-c", FILL_A_DISK, str(small), str(small / "ballast")]
    done = subprocess.run(
        in_a_small_file_system(small, *command, str(PLAN.entries)),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["full", "checked", "checked"], done.stderr
    (_, acknowledged), (_, kept, wrong), (_, after, wrong_after) = lines
    assert (wrong, wrong_after) == ("0", "0")
    assert int(acknowledged) <= int(kept)
    assert int(after) == int(kept) + 200


# A power cut: of the pages that one commit wrote, any may be new, old or half old.


@pytest.fixture(scope="module")
def cut(filled, tmp_path_factory):
    """A home before and after a wave, and the log's file of both moments."""
    home = tmp_path_factory.mktemp("cut") / "home"
    shutil.copytree(filled, home)
    path = data_of(home) / LOG_FOLDER / "data.mdb"
    before = path.read_bytes()
    parts = open_home(home, load_cell(home))
    group = Group(home, load_cell(home), parts.store.state)
    batch = group.batch([(b"in the last wave", b"")] * 300, time_ms=parts.store.state.time_ms + 1)
    frame = group.commit([batch], time_ms=parts.store.state.time_ms + 1)
    assert parts.ingest.take([frame]).waves
    parts.close()
    return home, before, path.read_bytes()


def written_pages(before, after):
    """Pages that the commit wrote, without the two that say which commit is the last."""
    count = len(after) // PAGE_BYTES
    return [n for n in range(2, count) if page(before, n) != page(after, n)]


def page(content, number):
    return content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES].ljust(PAGE_BYTES, b"\0")


def torn(before, after, chance):
    """The file with some of the commit's pages whole, some old, some old in some sectors."""
    content = bytearray(after)
    for number in written_pages(before, after):
        old, at = page(before, number), number * PAGE_BYTES
        for start in range(0, PAGE_BYTES, SECTOR_BYTES):
            if chance.random() < 0.5:
                content[at + start : at + start + SECTOR_BYTES] = old[start : start + SECTOR_BYTES]
    return content


@pytest.mark.timeout(180 + TEARS * KILL_S_MAX // 4)
def test_a_power_cut_before_a_commit_was_whole_leaves_the_one_before(cut, tmp_path):
    home, before, after = cut
    chance = random.Random(11)
    shutil.copytree(home, tmp_path / "home")
    path = data_of(tmp_path / "home") / LOG_FOLDER / "data.mdb"
    assert len(written_pages(before, after)) > 3
    for _ in range(TEARS):
        content = torn(before, after, chance)
        # the meta pages are written when all others are on the disk, so they are still the old ones
        content[: 2 * PAGE_BYTES] = before[: 2 * PAGE_BYTES]
        path.write_bytes(content)
        assert findings_in(tmp_path / "home") == (PLAN.entries, [])
    # and the ledger goes on from there
    fill(tmp_path / "home", replace(PLAN, entries=PLAN.entries + 40))
    assert findings_in(tmp_path / "home") == (PLAN.entries + 40, [])


@pytest.mark.timeout(180 + TEARS * KILL_S_MAX // 4)
def test_a_disk_that_lies_about_what_it_has_written_is_found_out(cut, tmp_path):
    # given a disk that has said of all pages that they are safe, and has lost some in a power cut
    home, before, after = cut
    chance = random.Random(13)
    shutil.copytree(home, tmp_path / "home")
    path = data_of(tmp_path / "home") / LOG_FOLDER / "data.mdb"
    path.write_bytes(after)
    _, found = findings_in(tmp_path / "home")
    assert {finding.code for finding in found} == {"entry_unreadable"}
    for _ in range(TEARS):
        path.write_bytes(torn(before, after, chance))
        _, found = findings_in(tmp_path / "home")
        assert {finding.code for finding in found} - {"entry_unreadable"}
