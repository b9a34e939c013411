"""Known bug 26: a validator that sends a batch to three replicas only.

Three replicas have a batch and start to wait for it; the leader is none of them and knows nothing.
Their timers run out, they give up on a leader who did nothing wrong, and with f + 1 = 3 of seven
the others have to follow: a single validator stalls round after round. Here a replica offers what
has waited to all others *before* it starts its timer, so the leader gets it, and no round is lost.
"""

import pytest

from heptad.simulation.validators import Manner


@pytest.mark.parametrize("seed", range(12))
def test_three_replicas_are_enough_and_no_round_is_lost(play, submit, seed):
    times = range(100, 3_100, 300)
    story = play(
        seed=seed,
        members=7,
        manners=(Manner.THREE_ONLY,),
        actions=tuple(submit(at_ms) for at_ms in times),
        quiet_at_ms=5_000,
    )

    story.until(5_000)
    assert story.records == len(times)
    assert story.noticed("round_timed_out") == 0
    story.close()


def test_an_honest_validators_batches_do_not_wait_for_it(play, submit):
    story = play(
        members=7,
        manners=(Manner.THREE_ONLY, Manner.HONEST),
        actions=(submit(100), submit(110, validator="validator-2")),
        quiet_at_ms=5_000,
    )

    story.until(200)
    assert story.records >= 1
    story.until(5_000)
    assert story.noticed("round_timed_out") == 0
    story.close()
