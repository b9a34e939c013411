"""The whole drill on a running cell: back up under way, lose the ledger, restore, lose it, clone.

It starts three cells one after the other and takes a minute, so `make drill` runs it, and no other.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from heptad.trials import meshes

pytestmark = [
    pytest.mark.skipif("HEPTAD_DRILL" not in os.environ, reason="make drill"),
    pytest.mark.timeout(600),
]


def heptad(*words, status=0):
    command = [sys.executable, "-m", "heptad.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout


def size_served(mesh):
    """The size of the checkpoint that the gateway serves; 0 while it has none."""
    try:
        with urllib.request.urlopen(f"{mesh.gateway_url}/checkpoint", timeout=10) as answer:
            return int(answer.read().split(b"\n")[1])
    except urllib.error.HTTPError:
        return 0


async def is_back(tools, mesh, size):
    async def has_grown():
        return size_served(mesh) >= size

    await tools.eventually(has_grown)


def fsck(home, kept):
    lines = heptad("ledger", "fsck", "--home", home, "--checkpoint", kept, "--json")
    return json.loads(lines)["summary"]


def test_a_ledger_is_lost_twice_and_comes_back_from_a_backup_and_from_its_public_files(
    tools, tmp_path
):
    home, backup, key, kept = (tmp_path / name for name in ("cell", "backup", "key", "kept"))
    data, public = home / "ledger-1" / "data", tmp_path / "public"
    with meshes.running(home) as mesh:
        heptad("demo", "--home", home)
        heptad("ledger", "backup", "--home", home, "--to", backup, "--with-root-key", key)
        heptad("demo", "--home", home)
        size = size_served(mesh)
        with urllib.request.urlopen(f"{mesh.gateway_url}/checkpoint", timeout=10) as answer:
            kept.write_bytes(answer.read())
    shutil.rmtree(data)
    # when the backup is put back
    where = ("--home", home, "--checkpoint", kept)
    heptad("ledger", "restore", *where, "--from", backup, "--root-key", key)
    with meshes.running(home) as mesh:
        asyncio.run(is_back(tools, mesh, size))
        heptad("demo", "--home", home)
    assert fsck(home, kept)["findings"] == {}
    # and lost again, with the vault still there and the replicas running
    with meshes.running(home) as mesh:
        pid = mesh.pids()["ledger-1"]
        os.kill(pid, signal.SIGSTOP)
        shutil.copytree(data / "static", public)
        shutil.rmtree(data / "log")
        told = heptad("ledger", "rebuild", "--home", home)
        assert "hold every block" in told
        heptad("ledger", "rebuild", *where, "--from", public)
        os.kill(pid, signal.SIGKILL)
        asyncio.run(is_back(tools, mesh, size))
        heptad("demo", "--home", home)
    assert fsck(home, kept)["findings"] == {}
