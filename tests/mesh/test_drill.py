"""The whole drill on a running cell: back up under way, lose the ledger, restore, lose it, clone.
And the drill of docs/operations/erasure-drill.md, by the commands that stand there.

They start some cells one after the other and take minutes, so `make drill` runs them, and no other.
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
    pytest.mark.timeout(1_200),
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


async def is_shown(tools, checkpoint, size):
    async def has_grown():
        return int(checkpoint.read_bytes().split(b"\n")[1]) >= size

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


def submitted(url, key, canary):
    """A request with that text in it; its index."""
    what = ("--service", "tax-portal", "--action", "consent.grant")
    data = ("--data", json.dumps({"note": canary}))
    told = heptad("submit", "--key", key, *what, *data, "--url", url, "--json")
    return json.loads(told)["index"]


def searched(home, canary, indexes, *paths, found):
    """What the attacker says of that person, with these folders."""
    entries = [word for index in indexes for word in ("--entry", index)]
    words = ("privacy", "forensics", *paths, "--home", home, "--canary", canary, *entries)
    return json.loads(heptad(*words, "--json", status=int(found)))


def thieves_copy(home, target):
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("vault-root", "*.sock"))


def test_the_erasure_drill_goes_as_it_is_written(tools, tmp_path):
    home, backup, key = (tmp_path / name for name in ("cell", "backup", "backup.key"))
    data, certificate = home / "ledger-1" / "data", tmp_path / "certificate.json"
    anna, ben = tmp_path / "anna.jwk", tmp_path / "ben.jwk"
    names = {anna: "drill-anna-7f3a91c2", ben: "drill-ben-0c44e1d8"}
    indexes = {}
    with meshes.running(home) as mesh:
        url = mesh.gateway_url
        for person, canary in names.items():
            heptad("keygen", "--out", person)
            heptad("register", "--key", person, "--url", url)
            indexes[person] = [submitted(url, person, canary) for _ in range(2)]
        # T0, with a backup and its key; everybody is found
        with_key = ("--with-root-key", key, "--key-days", 1)
        heptad("ledger", "backup", "--home", home, "--to", backup, *with_key)
        thieves_copy(home, tmp_path / "t0")
        before = searched(home, names[anna], indexes[anna], tmp_path / "t0", home, found=True)
        assert before["opened"] >= 2
        assert before["links"]["pointers"] == indexes[anna]
        # she is erased, and the certificate says until when
        heptad("erase", "--key", anna, "--url", url, "--out", certificate)
        judge = ("--policy", home / "policy", "--cell", home / "cell.toml")
        assert "backups that could restore the key" in heptad("verify", certificate, *judge)
        size = size_served(mesh)
    # T1: only old headers link her entries, and he who stays is found as before
    have = (tmp_path / "t0", home)
    after = searched(home, names[anna], indexes[anna], *have, found=True)
    assert (after["opened"], after["in_the_open"]) == (0, [])
    assert set(after["links"]) == {"routing", "lease"}
    assert searched(home, names[ben], indexes[ben], *have, found=True)["opened"] >= 2
    # the backup opens with its key
    kept = searched(home, names[anna], indexes[anna], backup, key, found=True)
    assert kept["opened"] >= 2
    # the ledger is lost and put back from before the erasure: it owes it
    for folder in ("log", "vault", "vault-root"):
        shutil.rmtree(data / folder)
    where = ("--home", home, "--from", backup, "--root-key", key)
    heptad("ledger", "restore", *where, "--checkpoint", backup / "checkpoint")
    again = searched(home, names[anna], indexes[anna], data, found=True)
    assert again["opened"] >= 2
    with meshes.running(home) as mesh:
        asyncio.run(is_back(tools, mesh, size))
        # he who stays goes on, and the public files go on from what the lost ledger had shown
        indexes[ben].append(submitted(mesh.gateway_url, ben, names[ben]))
        asyncio.run(is_shown(tools, data / "static" / "checkpoint", indexes[ben][-1] + 1))
        assert "erasures_replayed" in (home / "ledger-1" / "log.jsonl").read_text()
        refused = heptad("submit", "--key", anna, "--url", mesh.gateway_url, "--service",
                         "tax-portal", "--action", "consent.grant", "--json", status=1)  # fmt: skip
        assert refused == ""
    restored = searched(home, names[anna], indexes[anna], data, found=False)
    assert (restored["opened"], restored["links"]) == (0, {})
    # and once the key is effaced the backup is of no use to anybody
    listed = json.loads(heptad("ledger", "backup-keys", "--home", home, "--json"))["keys"]
    heptad("ledger", "backup-keys", "efface", listed[0]["id"], "--home", home)
    at_last = searched(home, names[anna], indexes[anna], *have, backup, found=True)
    assert (at_last["opened"], set(at_last["links"])) == (0, {"routing", "lease"})
    assert fsck(home, backup / "checkpoint")["findings"] == {}
