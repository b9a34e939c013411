"""Known bug 18: a QC is shown to one replica and then withheld.

Replica-1 leads and gathers the certificate of round 1. Its next proposal, which carries it, reaches
replica-2 alone; then replica-1 dies. Replica-2 now knows a certificate that nobody else has. A
protocol that lets the next leader go on from what *it* knows either loses the certified block or,
where replica-2 has locked on it, never agrees again. Here replica-2's time-out carries the whole
certificate, so whoever makes a time-out certificate of it must extend that block.
"""

import pytest

from heptad.simulation.machine import CutPoint
from heptad.simulation.scenario import Arm, Crash, Forbid

MEMBERS = ("replica-2", "replica-3", "replica-4")


@pytest.mark.parametrize("knowing", MEMBERS)
def test_the_block_whose_qc_one_replica_saw_is_extended_by_the_next_leader(play, submit, knowing):
    others = tuple(name for name in MEMBERS if name != knowing)
    story = play(
        members=4,
        limits={"timeout_ms_first": 200},
        actions=(
            Forbid(0, ("Proposal", "Certificates"), ("replica-1",), others, round_min=2),
            Forbid(0, ("Certificates",), ("replica-1",), others, round_min=1),
            submit(100),
            Crash(150, "replica-1"),
        ),
        quiet_at_ms=20_000,
    )

    story.until(150)
    assert story.status(knowing).high_qc_round == 1
    assert [story.status(name).high_qc_round for name in others] == [0, 0]

    story.until(5_000)
    assert story.records == 1
    assert story.chain[0].round == 1
    story.close()


def test_a_qc_that_died_with_its_only_witness_costs_nothing_but_time(play, submit):
    story = play(
        members=4,
        limits={"timeout_ms_first": 200},
        actions=(
            Forbid(0, ("Proposal", "Certificates"), ("replica-1",), ("replica-3", "replica-4"),
                   round_min=2),
            Forbid(0, ("Certificates",), ("replica-1",), ("replica-3", "replica-4"), round_min=1),
            Arm(1, "replica-2", CutPoint.BEFORE_WRITE, after=2),
            submit(100),
            Crash(150, "replica-1"),
        ),
        quiet_at_ms=3_000,
    )  # fmt: skip

    story.until(3_000)
    assert story.records == 0
    story.close()
    assert story.records == 1
