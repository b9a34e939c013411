"""A second ledger behind the replicas of a running cell: what it publishes is the same, to the
byte, whichever replica told it, in whatever waves, and though it began an hour after the first.
"""

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys

import lmdb
import pytest

from heptad.trials import meshes
from heptad_ledger.store.environment import TABLES

PUBLIC_TABLES = ("entries", "tile", "by_service", "by_time")
pytestmark = pytest.mark.timeout(300)


@contextlib.contextmanager
def second_ledger(home, target):
    """A ledger of that cell with its keys, an empty log, and two ports that the cell leaves free in
    its block (heptad.runtime.ports)."""
    own = target / "ledger-1"
    own.mkdir(parents=True)
    for name in ("cell.toml", "policy"):
        shutil.copy(home / name, target / name)
    shutil.copytree(home / "pki", target / "pki")
    shutil.copytree(home / "ledger-1" / "keys", own / "keys")
    for path in (home / "ledger-1").glob("tls.*"):
        shutil.copy(path, own / path.name)
    (own / "keys" / "started").unlink()  # Else it refuses to begin without its vault.
    config = (home / "ledger-1" / "config.toml").read_text()
    base = int(re.search(r'^listen = ".*:(\d+)"$', config, re.MULTILINE)[1]) - 20
    for name, port in (("listen", base + 5), ("metrics", base + 6)):
        line = f'{name} = "127.0.0.1:{port}"'
        config = re.sub(rf'^{name} = ".*"$', line, config, flags=re.MULTILINE)
    (own / "config.toml").write_text(config)
    command = [sys.executable, "-m", "heptad_ledger", "--home", str(target), "--name", "ledger-1"]
    with (target / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            meshes.end(process)


def published(home):
    """The body of the checkpoint in a ledger's folder: origin, size, root."""
    with contextlib.suppress(FileNotFoundError):
        note = (home / "ledger-1" / "data" / "static" / "checkpoint").read_bytes()
        return note.partition(b"\n\n")[0]


def rows(home, target):
    """The public tables, of a copy that is taken while the ledger runs."""
    command = [sys.executable, "-m", "heptad.cli.main", "ledger", "backup"]
    subprocess.run([*command, "--home", str(home), "--to", str(target)], check=True)
    found = {}
    path = str(target / "log")
    with lmdb.open(path, readonly=True, lock=False, max_dbs=len(TABLES), map_size=1 << 30) as env:
        for table in PUBLIC_TABLES:
            handle = env.open_db(table.encode(), create=False)
            with env.begin(db=handle) as transaction, transaction.cursor() as cursor:
                found[table] = [(bytes(key), bytes(value)) for key, value in cursor]
    return found


def test_a_second_ledger_publishes_the_same_log_to_the_byte(doomed, tools, tmp_path):
    async def record(people, count):
        crowd = tools.Crowd(doomed, people)
        async with tools.session(doomed) as http:
            for _ in range(count):
                claims = [(person, tools.claims_of(person, crowd.origin)) for person in people]
                await asyncio.gather(
                    *(crowd.insist(http, person.jws(each)) for person, each in claims)
                )

    async def story():
        people = await tools.new_people(doomed, 10)
        await record(people, 30)
        with second_ledger(doomed.home, other):
            await record(people, 10)

            async def agree():
                first = published(doomed.home)
                return first is not None and int(first.split(b"\n")[1]) >= 410 and (
                    first == published(other)
                )  # fmt: skip

            await tools.eventually(agree)
            return rows(doomed.home, tmp_path / "a"), rows(other, tmp_path / "b")

    other = tmp_path / "other"
    first, second = asyncio.run(story())
    for table in PUBLIC_TABLES:
        assert len(first[table]) >= 2
        assert first[table] == second[table], table
