"""Each kind of service is killed under load, and the whole cell is stopped and started again.

The story is always the same: clients post, somebody is killed with SIGKILL in the middle and
started again by the supervisor's order, the clients insist. In the end every request that was
acknowledged is in the log exactly once, and the one that was killed works again.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heptad.client import Terms, connect
from heptad.model.entry import Kind
from heptad.transparency.policy import Policy
from heptad.trials import meshes
from heptad.trials.tour.auditor import Census
from heptad.trials.tour.scene import replica_statuses
from heptad.verification import ReceiptFile, verify_log, verify_receipt_file

pytestmark = [
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
    pytest.mark.timeout(240),
]

CLIENTS = 20
PHASE_S = 1.0


class Acknowledged:
    """What has been acknowledged on this cell so far, over all tests of this file."""

    def __init__(self):
        self.by_id = {}
        self.jws_of = {}

    def add(self, crowd):
        assert not set(self.by_id.values()) & set(crowd.acknowledged.values())
        self.by_id.update(crowd.acknowledged)
        self.jws_of.update(crowd.jws_of)


@pytest.fixture(scope="module")
def everything():
    return Acknowledged()


@pytest.fixture(scope="module")
def people(doomed, tools):
    return asyncio.run(tools.new_people(doomed, CLIENTS))


def policy_of(mesh):
    return Policy.parse((mesh.home / "policy").read_bytes())


async def post_while(mesh, tools, people, misfortune):
    """Let the crowd post; in the middle misfortune strikes, and afterwards all must go on."""
    crowd = tools.Crowd(mesh, people)
    async with tools.session(mesh) as http:
        until = asyncio.Event()
        load = asyncio.create_task(crowd.post_until(http, until))
        await asyncio.sleep(PHASE_S)
        await asyncio.to_thread(misfortune)
        after = len(crowd.acknowledged)

        async def goes_on():
            return len(crowd.acknowledged) >= after + CLIENTS or load.done()

        await tools.eventually(goes_on)
        await asyncio.sleep(PHASE_S)
        until.set()
        await load
    return crowd


def census_of(mesh, tools, note):
    census = Census()
    with tools.http_reader(mesh.cell.gateways[0].http) as read:
        verify_log(
            read, policy=policy_of(mesh), now_s=int(time.time()), note=note, visit=census.visit
        )
    return census


def require_all_there_once(mesh, tools, everything):
    """Nothing acknowledged is lost, and nothing is there twice but what the ledger calls a copy.

    The log names each copy too, in an entry of its own; after a validator's death that may take
    half a minute, so here the ledger is asked how many it has found.
    """
    size_min = max(everything.by_id.values()) + 1

    async def ask():
        async with (
            tools.session(mesh) as http,
            connect(mesh.home / "clients" / "tax-portal") as client,
        ):
            note = await tools.checkpoint(http, size_min=size_min)
            return note, (await client.ledger.status(terms=Terms())).duplicates

    indexes = everything.by_id.values()
    assert len(set(indexes)) == len(indexes)
    note, copies = asyncio.run(ask())
    census = census_of(mesh, tools, note)
    assert all(census.kinds[index] is Kind.REQUEST for index in indexes)
    assert census.kinds.count(Kind.REQUEST) - copies == len(indexes)
    assert census.kinds.count(Kind.DUPLICATE) <= copies


@pytest.mark.parametrize("victim", ["ledger-1", "validator-1", "validator-2", "gateway-1"])
def test_a_service_killed_under_load_loses_nothing_that_was_acknowledged(
    doomed, tools, people, everything, victim
):
    def misfortune():
        meshes.order(doomed.home, "kill", victim)
        meshes.order(doomed.home, "restart", victim)

    before = meshes.pids_of(doomed.home)
    crowd = asyncio.run(post_while(doomed, tools, people, misfortune))
    everything.add(crowd)

    require_all_there_once(doomed, tools, everything)
    after = meshes.pids_of(doomed.home)
    assert {name for name in before if before[name] != after[name]} == {victim}


def test_a_supervisor_restarts_by_itself_what_dies_by_itself(doomed, tools, people, everything):
    """Killed by its pid, behind the supervisor's back, as the kernel does when memory is short."""
    victim = "validator-1"

    def misfortune():
        pid = meshes.pids_of(doomed.home)[victim]
        subprocess.run(["kill", "-9", str(pid)], check=True)
        give_up_s = time.monotonic() + 60
        while not any(
            p["name"] == victim and p["state"] == "ready" and p["pid"] not in (None, pid)
            for p in meshes.status_of(doomed.home)["processes"]
        ):
            assert time.monotonic() < give_up_s
            time.sleep(0.1)

    everything.add(asyncio.run(post_while(doomed, tools, people, misfortune)))
    require_all_there_once(doomed, tools, everything)


def test_a_paused_replica_catches_up(doomed, tools, people, everything):
    """A machine that sleeps for a while: neither dead nor alive, the hardest for others to see."""

    def misfortune():
        meshes.order(doomed.home, "pause", "replica-4")
        time.sleep(2 * PHASE_S)
        meshes.order(doomed.home, "resume", "replica-4")

    everything.add(asyncio.run(post_while(doomed, tools, people, misfortune)))
    require_all_there_once(doomed, tools, everything)

    async def agree():
        statuses = await replica_statuses(doomed.home)
        heads = {(s.log_size, s.log_root) for s in statuses.values()}
        return len(statuses) == 7 and len(heads) == 1

    asyncio.run(tools.eventually(agree))


def heptad(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_stopped_and_started_again_goes_on_where_it_was(
    tmp_path_factory, tools, resting
):
    """The log continues, old receipts verify, replays are still recognised, keys still work."""
    home = tmp_path_factory.mktemp("resting") / "cell"
    with meshes.running(home) as mesh:
        first = resting.before(mesh, tools)
    with meshes.running(home) as mesh:
        resting.after(mesh, tools, first)


def test_a_power_cut_under_load_loses_nothing_that_was_acknowledged(tmp_path_factory, tools):
    """SIGKILL to the supervisor takes all eleven services with it, while they write."""
    home = tmp_path_factory.mktemp("power") / "cell"
    with meshes.running(home) as mesh:
        people = asyncio.run(tools.new_people(mesh, CLIENTS))
        crowd = tools.Crowd(mesh, people)
        asyncio.run(post_until_the_lights_go_out(mesh, tools, crowd))
    everything = Acknowledged()
    everything.add(crowd)
    assert len(everything.by_id) > CLIENTS
    with meshes.running(home) as mesh:
        again = tools.Crowd(mesh, people)

        async def repeat():
            async with tools.session(mesh) as http:
                await asyncio.gather(
                    *(again.insist(http, jws) for jws in everything.jws_of.values())
                )
                # What was under way when the lights went out may be in the log or not: sent again,
                # it has one answer from now on.
                for jws in crowd.under_way:
                    await again.insist(http, jws)

        asyncio.run(repeat())
        assert {i: again.acknowledged[i] for i in everything.by_id} == everything.by_id
        whole = Acknowledged()
        whole.add(again)
        require_all_there_once(mesh, tools, whole)


async def post_until_the_lights_go_out(mesh, tools, crowd):
    async with tools.session(mesh) as http:
        load = asyncio.create_task(crowd.post_until(http, asyncio.Event()))
        await asyncio.sleep(2 * PHASE_S)
        os.kill(meshes.pids_of(mesh.home)["up"], signal.SIGKILL)
        await asyncio.sleep(0.5)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


class Resting:
    """What is done before the stop, and what must be true after the start."""

    def before(self, mesh, tools):
        people = asyncio.run(tools.new_people(mesh, 4))
        crowd = tools.Crowd(mesh, people)

        async def post():
            async with tools.session(mesh) as http:
                for person in people * 3:
                    await crowd.insist(http, person.jws(tools.claims_of(person, crowd.origin)))
                size_min = max(crowd.acknowledged.values()) + 1
                return await tools.checkpoint(http, size_min=size_min)

        note = asyncio.run(post())
        receipts = asyncio.run(tools.receipts_of(mesh, list(crowd.acknowledged)))
        return people, crowd, note, receipts

    def after(self, mesh, tools, first):
        people, before, note, receipts = first
        for data in receipts.values():
            verify_receipt_file(
                ReceiptFile.parse(data), policy=policy_of(mesh), now_s=int(time.time())
            )
        again = tools.Crowd(mesh, people)
        fresh = tools.Crowd(mesh, people)

        async def post():
            async with tools.session(mesh) as http:
                for jws in before.jws_of.values():
                    await again.insist(http, jws)
                for person in people:
                    await fresh.insist(http, person.jws(tools.claims_of(person, fresh.origin)))
                size_min = max(fresh.acknowledged.values()) + 1
                return await tools.checkpoint(http, size_min=size_min)

        new_note = asyncio.run(post())
        assert again.acknowledged == before.acknowledged
        assert min(fresh.acknowledged.values()) > max(before.acknowledged.values())
        census = census_of(mesh, tools, new_note)
        assert census.kinds.count(Kind.REQUEST) == len(before.acknowledged) + len(people)
        assert note.split(b"\n")[0] == new_note.split(b"\n")[0]


@pytest.fixture
def resting():
    return Resting()


def test_a_detached_cell_is_stopped_by_down_and_leaves_no_process(tmp_path, tools):
    """`heptad up --detach`, `status`, `down`, as the README says; nobody is left behind."""
    home = str(tmp_path / "cell")
    status = json.loads(heptad("up", "--home", home, "--port-base", "0", "--detach", "--json"))
    pids = [process["pid"] for process in status["processes"]] + [status["pid"]]
    try:
        shown = json.loads(heptad("status", "--home", home, "--json"))
        assert {process["state"] for process in shown["processes"]} == {"ready"}
        assert len(shown["processes"]) == 11
    finally:
        heptad("down", "--home", home)

    async def all_gone():
        return not [pid for pid in pids if is_running(pid)]

    asyncio.run(tools.eventually(all_gone, within_s=20))


def is_running(pid):
    """A zombie that waits for its parent is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
