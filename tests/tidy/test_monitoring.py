"""Rules, alerts, dashboard and runbooks name what is there, and each other."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from heptad.observability.catalogue import CATALOGUE, Kind
from heptad.observability.table import page

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops/prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARD = json.loads((ROOT / "ops/dashboards/heptad.json").read_text())
ALERTS = (PROMETHEUS / "alerts.yml").read_text()
RECORDING = (PROMETHEUS / "recording.yml").read_text()
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
PROMTOOL = shutil.which("promtool")
OF_OTHERS = {
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
}


def known():
    """All names by which a metric can be asked for."""
    names = set(OF_OTHERS) | set(re.findall(r"- record: (\S+)", RECORDING))
    for name, metric in CATALOGUE.items():
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {name + part for part in parts}
    return names


def asked(expression):
    """The metrics that an expression names: words that are no function, label or keyword."""
    bare = re.sub(
        r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|(?:by|on|without|ignoring) \([^)]*\)', " ", expression
    )
    words = re.findall(r"[a-z_][a-z0-9_:]*(?!\w|\s*\()", bare)
    return {word for word in words if word not in ("or", "and", "unless", "by", "on", "bool")}


def expressions():
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for text in (ALERTS, RECORDING):
        for several, one in re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))", text):
            yield several or one


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are():
    unknown = {name for each in expressions() for name in asked(each)} - known()
    assert unknown == set()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    pages = {path.stem for path in RUNBOOKS.glob("Heptad*.md")}
    assert pages == set(NAMES)
    assert re.findall(r"runbook: docs/runbooks/(\w+)\.md", ALERTS) == NAMES
    listed = re.findall(r"\[(Heptad\w+)\]", (RUNBOOKS / "README.md").read_text())
    assert listed == NAMES


def test_every_alert_is_tested_firing_and_silent():
    tests = (PROMETHEUS / "alerts_test.yml").read_text()
    said = re.findall(r"name: (Heptad\w+ (?:fires|is silent))", tests)
    assert said == [f"{name} {what}" for name in NAMES for what in ("fires", "is silent")]


def test_no_two_panels_of_the_dashboard_lie_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)
@pytest.mark.parametrize(
    "words", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_finds_nothing_wrong(words):
    *command, file = words
    done = subprocess.run(
        [PROMTOOL, *command, file], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_metrics_is_made_of_the_catalogue():
    written = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m heptad.observability.table`"
