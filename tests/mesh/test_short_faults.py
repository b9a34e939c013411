"""A short selection of `heptad faults`: what needs no special rights, on one cell of its own.

The whole list, with what each costs, is in docs/spec/faults.md; `make faults` runs it.
"""

import asyncio

import pytest

from heptad.trials.faults.faults import PLAIN, SHIMS, SHORT, find
from heptad.trials.faults.grounds import open_ground
from heptad.trials.faults.machinery import NotPossibleHere
from heptad.trials.faults.stage import play
from heptad.trials.faults.trial import HOLDS, QUICK

pytestmark = pytest.mark.timeout(400)


def test_a_cell_keeps_its_promises_whatever_happens_to_some_of_its_replicas(tmp_path):
    """One history, judged after each fault: killed, stopped, damaged store, clock, too few up."""
    try:
        findings = played(SHIMS, SHORT, tmp_path / "shims")
    except NotPossibleHere as reason:
        played_here = [name for name in SHORT if find(name)[0] == PLAIN]
        findings = played(PLAIN, played_here, tmp_path / "plain")
        assert all(finding.outcome == HOLDS for finding in findings), findings
        pytest.skip(f"the rest is not possible here: {reason}")
    assert [finding.fault for finding in findings if finding.outcome == HOLDS] == list(SHORT), (
        findings
    )


def played(ground, names, folder):
    folder.mkdir()
    findings = []
    with open_ground(ground, folder) as (mesh, machinery):
        faults = [find(name)[1] for name in names]
        asyncio.run(play(mesh, machinery, faults, QUICK, findings.append))
    return findings
