"""Known bug 22: the next leader crashed with the only QC.

Terms are of two rounds, so replica-2 leads round 2 and the votes of round 1 go to it. It gathers
the certificate and dies: before it has written anything, or after, or while it tells the others.
The votes go to replica-1 too, who proposed block 1; here those get lost, so that nobody alive can
show that block 1 is certified. The others must give up, agree on what they do know, and commit the
records of block 1 in another block, once; and when replica-2 comes back with its certificate of
old, nothing of it may disturb them.

Where replica-1 gets its votes, block 1 outlives replica-2. And the chain then blames the right one:
round 2 is skipped, which replica-2 led. With the certificate lost it is round 1 that is skipped,
and replica-1 stands in the record for the death of another.
"""

import pytest

from heptad.simulation.machine import CutPoint
from heptad.simulation.scenario import Arm, Forbid, Restart

VOTES_FOR_THE_PROPOSER_GET_LOST = Forbid(0, ("Vote",), targets=("replica-1",))


@pytest.mark.parametrize("members", [4, 7])
@pytest.mark.parametrize("point", list(CutPoint))
def test_the_records_commit_without_the_leader_that_held_the_qc(play, submit, members, point):
    story = play(
        members=members,
        limits={"timeout_ms_first": 200, "term_rounds": 2},
        actions=(
            VOTES_FOR_THE_PROPOSER_GET_LOST,
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
            VOTES_FOR_THE_PROPOSER_GET_LOST,
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


@pytest.mark.parametrize("members", [4, 7])
@pytest.mark.parametrize("point", list(CutPoint))
def test_the_proposer_of_a_terms_last_block_saves_its_certificate(play, submit, members, point):
    story = play(
        members=members,
        limits={"timeout_ms_first": 200, "term_rounds": 2},
        actions=(submit(100), Arm(100, "replica-2", point, after=1)),
        quiet_at_ms=10_000,
    )

    story.until(8_000)

    assert not story.world.machine("replica-2").is_up
    assert story.records == 1
    assert story.chain[0].round == 1
    assert story.status("replica-1").leaders_failed == (1,)
    story.close()
