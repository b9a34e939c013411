"""Known bug 30: sync, and a peer that lies about its height, goes silent, or answers garbage.

Replica-7 is down while the group commits and every disk lets go of all but its last blocks. When it
comes back, two of the six that it can ask answer rubbish, cut and bent, or nothing at all; and one
of the stories has it lose its disk meanwhile, so that it comes back as a follower.
"""

import pytest

from heptad.simulation.scenario import Crash, Prune, Restart, Wipe

VILLAINS = {"replica-1": ("misserve",), "replica-2": ("withhold_data",)}


def story_of(play, submit, *, villains=VILLAINS, extra=()):
    return play(
        members=7,
        villains=villains,
        limits={"chain_gap_min": 4, "reply_blocks_max": 4},
        actions=(
            submit(50, 2),
            Crash(400, "replica-7"),
            *(submit(500 + 100 * number, 2) for number in range(20)),
            *extra,
            Restart(4_000, "replica-7"),
            submit(6_000, 2),
        ),
        quiet_at_ms=12_000,
    )


def test_a_replica_catches_up_by_blocks_among_liars(play, submit):
    story = story_of(play, submit)
    story.until(12_000)
    assert story.status("replica-7").committed_height == len(story.chain)
    assert not story.noticed("jumped")
    story.close()


@pytest.mark.parametrize("keep", [1, 3])
def test_a_replica_jumps_among_liars_and_votes_again(play, submit, keep):
    story = story_of(play, submit, extra=(Prune(3_900, keep),))
    story.until(12_000)
    assert story.noticed("jumped") == 1
    assert story.status("replica-7").committed_height == len(story.chain)
    assert not story.status("replica-7").is_catching_up
    story.close()


def test_a_replica_that_lost_its_disk_follows_from_a_jump_and_signs_nothing(play, submit):
    one_liar = {"replica-1": ("misserve",)}
    extra = (Wipe(3_000, "replica-7"), Prune(3_900, 2))
    story = story_of(play, submit, villains=one_liar, extra=extra)
    story.until(12_000)
    status = story.status("replica-7")
    assert status.is_follower
    assert status.committed_height == len(story.chain)
    assert status.cosigned is None
    story.close()
