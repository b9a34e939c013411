"""A short selection of `heptad hostile`: an evil replica with real keys, on a cell of its own.

The whole list, with what each attack costs whom, is in docs/spec/hostile.md; `make hostile` runs
it. How fast a shared machine is meanwhile is not judged here, only that the promises are kept.
"""

import asyncio

import pytest

from heptad.trials.faults.machinery import Machinery
from heptad.trials.faults.stage import set_stage
from heptad.trials.hostile.attacks import SHORT, find
from heptad.trials.hostile.campaign import QUICK, RSS_GROWTH_BYTES_MAX, withstand
from heptad.trials.meshes import running

pytestmark = pytest.mark.timeout(240)


def test_honest_replicas_go_on_under_attack_within_bounded_memory(tmp_path):
    """Each attack in turn; nobody is restarted, and the whole history is judged after each."""
    findings = []
    with running(tmp_path / "cell") as mesh:

        async def attacked():
            async with set_stage(mesh, Machinery()) as stage:
                for name in SHORT:
                    finding = await withstand(stage, find(name), QUICK)
                    findings.append(finding)

        asyncio.run(attacked())
    for finding in findings:
        slow = [promise for promise in finding.broken if "requests a second" in promise]
        assert list(finding.broken) == slow, finding
        assert finding.during.per_s > 0, finding
        grown_mb = finding.during.rss_mb - finding.before.rss_mb
        assert grown_mb <= RSS_GROWTH_BYTES_MAX >> 20, finding
        assert finding.attacker["opened"] > 0, finding
    assert [finding.attack for finding in findings] == list(SHORT)
