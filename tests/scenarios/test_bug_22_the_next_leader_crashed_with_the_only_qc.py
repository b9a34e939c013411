"""Known bug 22: the next leader crashed with the only QC.

Terms are of two rounds, so replica-2 leads round 2 and all votes of round 1 go to it. It gathers
the certificate and dies: before it has written anything, or after, or while it tells the others.
Nobody alive can show that block 1 is certified. The others must give up on round 2, agree on what
they do know, and commit the records of block 1 in another block, once; and when replica-2 comes
back with its certificate of old, nothing of it may disturb them.
"""

import pytest

from heptad.simulation.machine import CutPoint
from heptad.simulation.scenario import Arm, Forbid, Restart


@pytest.mark.parametrize("members", [4, 7])
@pytest.mark.parametrize("point", list(CutPoint))
def test_the_records_commit_without_the_leader_that_held_the_qc(play, submit, members, point):
    story = play(
        members=members,
        limits={"timeout_ms_first": 200, "term_rounds": 2},
        actions=(
            submit(100),
            # Its writes from now on: its vote for block 1, then the block that carries the QC.
            Arm(100, "replica-2", point, after=1),
            Restart(9_000, "replica-2"),
        ),
        quiet_at_ms=10_000,
    )

    story.until(8_000)
    assert not story.world.machine("replica-2").is_up
    assert story.records == 1
    story.until(10_000)
    story.close()
    assert story.records == 1


def test_a_qc_told_to_nobody_is_forgotten_with_its_block(play, submit):
    story = play(
        members=4,
        limits={"timeout_ms_first": 200, "term_rounds": 2},
        actions=(
            Forbid(0, ("Proposal", "Certificates"), ("replica-2",), times=9),
            submit(100),
            Arm(100, "replica-2", CutPoint.AFTER_WRITE, after=1),
        ),
        quiet_at_ms=10_000,
    )

    story.until(8_000)

    assert story.records == 1
    assert story.chain[0].round > 1
    story.close()
