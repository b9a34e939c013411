"""Known bug 24: the tail is never flushed.

Two-chain commit means that a block commits when its child is certified. After the last batch of the
day there is no further block to be that child, so the last batch waits for tomorrow. Here the
leader makes one empty block behind the last one with batches, and then everything is still.
"""

import pytest


@pytest.mark.parametrize("members", [1, 2, 4, 7])
def test_the_last_batch_commits_without_any_traffic_after_it(play, submit, members):
    story = play(members=members, actions=(submit(100),), quiet_at_ms=400)

    story.until(400)
    assert story.records == 1
    heights = story.heights()
    assert all(height >= 1 for height in heights.values()), heights

    story.close()
    assert story.heights() == heights, "rounds went on with nothing to order"


def test_the_tail_is_one_block_long(play, submit):
    story = play(members=4, actions=(submit(100), submit(2_000)), quiet_at_ms=4_000)

    story.until(4_000)

    assert [len(block.batches) for block in story.chain] == [1, 0, 1]
    assert {story.status(f"replica-{place}").high_qc_round for place in range(1, 5)} == {4}
    story.close()
