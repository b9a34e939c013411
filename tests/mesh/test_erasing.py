"""An erasure outlives the ledger: killed while it is at it, it goes on, and the files check.

The story: Anna asks to be erased, and the ledger dies the moment her request is recorded. It comes
back, carries the erasure out, and attests it; Anna is refused for ever, also under the answer that
she had before; Ben goes on. Then the cell stops, and every byte of the ledger's files is checked.
"""

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from heptad.runtime.config import CellLimits
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan, reserve_block
from heptad.trials import meshes

pytestmark = pytest.mark.timeout(240)

LEASE_S = 5
"""After a start a ledger waits for leases that it may have lent before: so long, and a margin."""


def heptad(*words):
    command = [sys.executable, "-m", "heptad.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def home(tmp_path):
    with reserve_block(start_hint=time.time_ns() // 1_000_000) as block:
        limits = CellLimits(lease_s_max=LEASE_S)
        plan = GenesisPlan(ports=PortPlan(block.base), limits=limits)
        create_home(tmp_path / "cell", plan, now=datetime.now(UTC))
        yield tmp_path / "cell"


async def post(http, tools, person, origin):
    jws = person.jws(tools.claims_of(person, origin))
    headers = {"Content-Type": "application/jose"}
    async with http.post("/v1/requests", data=jws, headers=headers) as response:
        return response.status, (await response.json(content_type=None)).get("code")


async def ask(http, tools, person, origin):
    claims = tools.claims_of(person, origin, svc="heptad", act="subject.erase", data={})
    headers = {"Authorization": f"Heptad {person.jws(claims).decode()}"}
    async with http.post("/v1/subjects/me/erasure", headers=headers) as response:
        return response.status, await response.json(content_type=None)


def test_an_erasure_outlives_the_ledger_and_leaves_files_that_check(tools, home):
    async def story(mesh):
        anna, ben = await tools.new_people(mesh, 2)
        origin = mesh.cell.origin
        async with tools.session(mesh) as http:
            crowd = tools.Crowd(mesh, [anna, ben])
            for person in (anna, ben, anna):
                await crowd.insist(http, person.jws(tools.claims_of(person, origin)))
            _, asked = await ask(http, tools, anna, origin)
            meshes.order(mesh.home, "kill", "ledger-1")
            meshes.order(mesh.home, "restart", "ledger-1")

            async def erased():
                async with http.get(asked["location"]) as response:
                    members = await response.json(content_type=None)
                return members if members.get("state") == "erased" else None

            await tools.eventually(erased, within_s=120)

            async def goes_on():
                return (await post(http, tools, ben, origin))[0] == 201

            await tools.eventually(goes_on)
            assert await post(http, tools, anna, origin) == (410, "subject_erased")
            status, again = await ask(http, tools, anna, origin)
            assert (status, again["state"]) == (200, "erased")
            assert again["location"] == asked["location"]

    with meshes.running(home) as mesh:
        asyncio.run(story(mesh))
    summary = json.loads(heptad("ledger", "fsck", "--home", home, "--json"))["summary"]
    # It has ended with 0. Fences, two registrations, five requests, the order, the certificate.
    assert summary["size"] >= 9
