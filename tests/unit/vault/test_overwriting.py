"""What a certificate says of the place of the root key is true of that place."""

import pytest

from heptad.vault.overwriting import FileSystem, caveat_of, file_system_of
from heptad.vault.root_files import FileRootKeyStore

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 259:1 / / rw,relatime - ext4 /dev/vda rw
30 27 7:0 / /srv rw,relatime shared:9 master:2 - ext4 /dev/sda rw,data=journal
31 30 0:44 / /srv/cell\\040one rw - btrfs /dev/sdb rw,space_cache
32 27 0:45 / /over rw - ext4 /dev/sdc rw
33 27 0:46 / /over rw - overlay overlay rw,lowerdir=/a
34 27 0:47 / /srvx
rubbish
"""


@pytest.fixture
def mounts(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("folder", "kind", "journals_data"),
    [
        ("/var/lib/heptad", "ext4", False),
        ("/srvx/heptad", "ext4", False),
        ("/srv", "ext4", True),
        ("/srv/other", "ext4", True),
        ("/srv/cell one/data", "btrfs", False),
        ("/over/data", "overlay", False),
    ],
)
def test_the_file_system_is_that_of_the_innermost_and_latest_mount(
    mounts, folder, kind, journals_data
):
    assert file_system_of(folder, mounts=mounts) == FileSystem(kind, journals_data)


def test_what_cannot_be_told_is_not_made_up(tmp_path):
    assert file_system_of("/", mounts=tmp_path / "missing") is None
    assert "not known" in caveat_of(None)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (FileSystem("ext4", journals_data=True), "JOURNAL MAY STILL HOLD"),
        (FileSystem("btrfs", journals_data=False), "WRITES ELSEWHERE"),
        (FileSystem("overlay", journals_data=False), "somebody else's storage"),
    ],
)
def test_a_file_system_that_may_keep_old_blocks_is_called_one(system, said):
    assert said in caveat_of(system)
    assert system.kind in caveat_of(system)


def test_an_ordinary_one_is_named_and_the_drive_is_not_forgotten():
    caveat = caveat_of(FileSystem("xfs", journals_data=False))
    assert "on xfs; a drive that remaps blocks" in caveat
    assert "MAY STILL" not in caveat
    strange = caveat_of(FileSystem("x\n\u202e" * 500, journals_data=False))
    assert strange.isprintable()
    assert max(map(len, (caveat, strange))) < 512


def test_a_root_key_store_says_what_is_true_of_its_folder(tmp_path):
    assert FileRootKeyStore(tmp_path / "root").caveat == caveat_of(file_system_of(tmp_path))
