"""A whole cell of real processes: its ledger is killed at each step of somebody's erasure.

Then the cell is stopped, and the attacker gets all files of all its members, with the root key.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from forensics.cell import NOW_MS
from mesh.conftest import JOSE, Person, claims_of, eventually, register, session

from heptad.crypto.erasures import parse_certificate
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.config import CellLimits, LedgerConfig, load_node_config
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.group import agreed_cell
from heptad.runtime.ports import PortPlan, free_base
from heptad.transparency.policy import Policy
from heptad.trials import meshes
from heptad.trials.forensics.loot import read_files
from heptad.trials.forensics.search import Wanted, public_entries, search
from heptad.vault.steps import Step
from heptad.verification.sources import open_source
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.parts import open_parts
from heptad_ledger.routing_keys import RoutingKeyRotation

pytestmark = [
    pytest.mark.skipif("HEPTAD_FORENSICS" not in os.environ, reason="make forensics"),
    pytest.mark.timeout(900),
]

DRIVER = Path(__file__).with_name("mortal_ledger.py")
REQUESTS = 2
LEASE_S = 5
KILLS_APART_S = 15.0
"""The supervisor restarts a service at most five times a minute."""


class Somebody:
    """A person, its canary, and its entries."""

    def __init__(self, name, number):
        self.canary = f"canary-of-{name}-5d20c77e"
        self.person = Person.new(number)
        self.indexes = []

    async def post(self, http, origin, path="/v1/requests", **changes):
        jws = self.person.jws(claims_of(self.person, origin, **changes))
        async with http.post(path, data=jws, headers=JOSE) as response:
            told = await response.json(content_type=None)
            assert response.status == 201, told
        self.indexes.append(told["index"])

    @property
    def wanted(self):
        return Wanted(self.canary, self.person.subject, tuple(self.indexes))


async def live(mesh, everybody, die_at):
    """Everybody registers and asks for something; all but the last are erased, with a kill each."""
    origin = mesh.cell.origin
    async with session(mesh) as http:
        for somebody in everybody:
            told = await register(http, origin, somebody.person)
            somebody.indexes.append(told["index"])
            for _ in range(REQUESTS):
                await somebody.post(http, origin, data={"note": somebody.canary})
        shutil.copytree(
            mesh.home,
            mesh.home.with_name("t0"),
            ignore=shutil.ignore_patterns("vault-root", "*.sock"),
        )
        killed_s = 0.0
        for erased, (step, somebody) in enumerate(zip(Step, everybody, strict=False)):

            async def is_long_ago(since_s=killed_s):
                return time.monotonic() - since_s > KILLS_APART_S

            await eventually(is_long_ago)
            die_at.write_text(str(int(step)))
            await somebody.post(http, origin, svc="heptad", act="subject.erase", data={})

            async def is_attested(count=erased + 1):
                return len(await certificates(http)) == count

            await eventually(is_attested, within_s=120)
            assert not die_at.exists(), f"step {step.name} was not reached"
            killed_s = time.monotonic()
        # everything that the log holds is in the public files
        size = max(somebody.indexes[-1] for somebody in everybody) + 3

        async def is_exported():
            note = mesh.home / mesh.cell.ledger.id / "data" / "static" / "checkpoint"
            return int(note.read_bytes().split(b"\n")[1]) >= size

        await eventually(is_exported)
        return await certificates(http)


async def certificates(http):
    """The certificates that the log holds; none while the ledger is away."""
    async with http.get("/v1/entries?kind=ERASED") as response:
        if response.status != 200:
            return []
        found = (await response.json())["entries"]
    statements = [decode_entry(base64.b64decode(row["entry"])).statement for row in found]
    return [parse_certificate(statement).statement for statement in statements]


def make_home(home):
    """A cell whose leases are short: after each kill the ledger waits for those it forgot."""
    limits = CellLimits(lease_s_max=LEASE_S)
    ports = PortPlan(free_base(start_hint=time.time_ns() // 1_000_000))
    create_home(home, GenesisPlan(ports=ports, limits=limits), now=datetime.now(UTC))


def let_routing_keys_run_out(mesh):
    """What the ledger does by itself some hours or days later."""
    parts = open_parts(
        mesh.home / mesh.cell.ledger.id / "data",
        cell=agreed_cell(mesh.cell),
        cell_code=mesh.cell.code,
        config=load_node_config(LedgerConfig, home=mesh.home, name=mesh.cell.ledger.id),
        now_ms=NOW_MS,
        attestation_keys=attestation_keys(mesh.cell),
    )
    try:
        far_ms = 2 * parts.store.state.time_ms
        rotation = RoutingKeyRotation(parts.vault, age_ms_max=1)
        rotation.rotate_if_due(now_ms=far_ms)
        assert rotation.destroy_done(now_ms=2 * far_ms, applied_ms=far_ms)
    finally:
        parts.close()


def test_a_ledger_that_is_killed_at_each_step_erases_all_the_same(tmp_path):
    names = [*(step.name.lower() for step in Step), "who-stays"]
    everybody = [Somebody(name, number) for number, name in enumerate(names)]
    *_, stays = everybody
    die_at = tmp_path / "die-at"
    make_home(tmp_path / "cell")
    under = {"ledger-1": [sys.executable, str(DRIVER), str(die_at)]}
    with meshes.running(tmp_path / "cell", under=under) as mesh:
        attested = asyncio.run(live(mesh, everybody, die_at))
    assert [certificate.ciphertexts for certificate in attested] == [REQUESTS + 2] * len(Step)
    static = str(mesh.home / mesh.cell.ledger.id / "data" / "static")
    policy = Policy.parse((mesh.home / "policy").read_bytes())
    with open_source(static) as source:
        entries = public_entries(source.read, policy=policy, now_s=int(time.time()))
    people = [somebody.wanted for somebody in everybody]
    t0 = read_files([tmp_path / "t0"])
    # no payload; and until the routing key runs out, only old headers link
    *gone, there = search(t0 + read_files([mesh.home]), people, entries=entries)
    assert [(found.opened, found.in_the_open) for found in gone] == [(0, ())] * len(Step)
    assert all(set(found.links) <= {"routing", "lease"} for found in gone)
    assert there.opened >= REQUESTS
    assert there.links["pointers"] == tuple(stays.indexes)
    let_routing_keys_run_out(mesh)
    *gone, there = search(t0 + read_files([mesh.home]), people, entries=entries)
    assert [found.is_nothing for found in gone] == [True] * len(Step)
    assert there.links["pointers"] == tuple(stays.indexes)
    words = [sys.executable, "-m", "heptad.cli.main", "ledger", "fsck", "--home", str(mesh.home)]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["findings"] == []
