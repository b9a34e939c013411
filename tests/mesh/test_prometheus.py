"""Debian's Prometheus over a running cell: rules are evaluated, and every panel has data."""

import asyncio
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from heptad.runtime import lifeline
from heptad.runtime.mesh import scrape_targets
from heptad.runtime.ports import reserve_block
from heptad.trials import meshes

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus")
WAIT_S_MAX = 150
JOSE = {"Content-Type": "application/jose"}

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus"
)


class Prometheus:
    """One that runs, scraping twice a second."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression):
        """What an expression has now; NaN counts as nothing."""
        found = self.get("query", query=expression)["result"]
        return [row["value"][1] for row in found if row["value"][1] != "NaN"]

    def wait_for(self, condition):
        deadline_s = time.monotonic() + WAIT_S_MAX
        while not condition():
            assert time.monotonic() < deadline_s, "not in time"
            time.sleep(0.25)


@pytest.fixture(scope="module")
def prometheus(doomed, tmp_path_factory):
    """Scrapes the cell with the files of `ops/prometheus`, only faster."""
    folder = tmp_path_factory.mktemp("prometheus")
    for file in ("recording.yml", "alerts.yml", "prometheus.yml"):
        shutil.copy(ROOT / "ops/prometheus" / file, folder)
    configuration = folder / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("_interval: 5s", "_interval: 500ms"))
    targets = [
        {"targets": [address], "labels": {"member": name}}
        for name, address in scrape_targets(doomed.home, doomed.cell).items()
    ]
    (folder / "targets.json").write_text(json.dumps(targets))
    with reserve_block(start_hint=time.time_ns()) as block, (folder / "log").open("wb") as log:
        address = f"127.0.0.1:{block.base}"
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
            preexec_fn=lifeline.die_with_parent,  # noqa: PLW1509  as meshes are started
        )
        try:
            server = Prometheus(f"http://{address}")
            server.wait_for(lambda: is_there(server))
            yield server
        finally:
            meshes.end(process)


@pytest.fixture(scope="module")
def busy(doomed, tools):
    """Something for every counter to count, by people of its own; each call takes a moment."""
    people = asyncio.run(tools.new_people(doomed, 2))

    async def post():
        async with tools.session(doomed) as http:
            for person in people:
                crowd = tools.Crowd(doomed, [person])
                await crowd.insist(http, person.jws(tools.claims_of(person, doomed.cell.origin)))
            async with http.post("/v1/requests", data=b"rubbish", headers=JOSE) as answer:
                assert answer.status == 400

    return lambda: asyncio.run(post())


def is_there(server):
    try:
        return len(server.values("up == 1")) == 11
    except OSError:
        return False


def test_every_query_of_the_dashboard_and_every_rule_has_data(prometheus, doomed, busy):
    dashboard = json.loads((ROOT / "ops/dashboards/heptad.json").read_text())
    asked = {
        target["expr"]: f"{panel['title']}: {target['expr']}"
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    recorded = (ROOT / "ops/prometheus/recording.yml").read_text().split("record: ")[1:]
    asked |= {name: name for name in (part.split()[0] for part in recorded)}

    def empty():
        return [what for query, what in asked.items() if not prometheus.values(query)]

    deadline_s = time.monotonic() + WAIT_S_MAX
    while (missing := empty()) and time.monotonic() < deadline_s:
        busy()
    assert missing == []


def test_every_rule_is_evaluated_without_an_error_and_a_calm_cell_raises_no_alarm(prometheus):
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
    assert firing <= {"HeptadLatencyHigh"}  # On a machine that tests keep busy.


def test_a_replica_that_dies_is_missed(prometheus, doomed):
    meshes.order(doomed.home, "kill", "replica-7")
    try:
        prometheus.wait_for(lambda: "pending" in state_of(prometheus, "HeptadReplicaMissing"))
        prometheus.wait_for(lambda: "pending" in state_of(prometheus, "HeptadMemberDown"))
        assert prometheus.values("cell:replicas_ready:count") == ["6"]
    finally:
        meshes.order(doomed.home, "restart", "replica-7")
    prometheus.wait_for(lambda: "inactive" in state_of(prometheus, "HeptadReplicaMissing"))


def state_of(server, alert):
    """The alert's state; pending until its `for` has passed."""
    groups = server.get("rules", type="alert")["groups"]
    return [rule["state"] for group in groups for rule in group["rules"] if rule["name"] == alert]
