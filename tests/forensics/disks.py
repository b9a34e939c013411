"""An ext4 file system of our own in a file, so that journal and free blocks can be read, too."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

IMAGE_BYTES = 96 << 20
TOOLS = ("mkfs.ext4", "mount", "umount", "losetup")


class Disk:
    """`folder` is where it is mounted; `image` is all of it, once it is not."""

    def __init__(self, image, folder):
        self.image, self.folder = image, folder

    @contextmanager
    def mounted(self, *, data):
        """Mounted with that mode of journalling."""
        self.folder.mkdir(exist_ok=True)
        done = run("mount", "-o", f"loop,data={data}", self.image, self.folder)
        if done.returncode:
            pytest.skip(f"no loop device can be mounted here: {done.stderr.strip()}")
        try:
            yield self.folder
        except BaseException:
            # Files are open still, and the test has failed already.
            run("umount", "--lazy", self.folder)
            raise
        assert run("umount", self.folder).returncode == 0


def make_disk(folder):
    """A new, empty ext4 disk; skips the test where the machine does not allow it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a loop device")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    made = run("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=8", image)
    if made.returncode:
        pytest.skip(f"no ext4 can be made here: {made.stderr.strip()}")
    return Disk(image, folder / "disk")


def run(*words):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
