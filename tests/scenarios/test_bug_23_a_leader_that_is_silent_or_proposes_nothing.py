"""Known bug 23: a silent leader, and a leader that proposes only empty blocks.

A silent leader is the easy half: rounds time out, and another leads. One that makes a block each
round, well signed and on time, but never with a batch in it, lets no round time out; a pacemaker
that looks at rounds alone is content with it for ever. Here batches have a clock too: a leader
whose rounds go on without a batch that everybody has gets no more votes in its term. Either way the
round that fails stands in the chain under its name, and it is left out of the next terms.
"""

import pytest


@pytest.mark.parametrize("members", [4, 7])
@pytest.mark.parametrize("trick", ["silent", "withhold_certificates"])
def test_a_leader_who_says_nothing_is_left_behind(play, submit, members, trick):
    story = play(
        members=members,
        limits={"timeout_ms_first": 200},
        villains={"replica-1": (trick,)},
        actions=(submit(100),),
        quiet_at_ms=5_000,
    )

    story.until(5_000)
    assert story.records == 1
    assert story.noticed("round_timed_out") > 0
    assert story.status("replica-2").leaders_failed[0] == 0
    story.close()


@pytest.mark.parametrize("members", [4, 7])
def test_a_leader_who_proposes_only_empty_blocks_is_refused(play, submit, members):
    story = play(
        members=members,
        limits={"censored_after_ms": 800},
        villains={"replica-1": ("empty",)},
        actions=(submit(100), submit(300)),
        quiet_at_ms=12_000,
    )

    story.until(800)
    assert story.records == 0
    assert story.noticed("round_timed_out") == 0
    assert max(story.status(f"replica-{place}").round for place in range(2, members + 1)) > 5

    story.until(12_000)
    assert story.noticed("leader_refused") > 0
    assert story.records == 2
    assert story.status("replica-2").leaders_failed[0] == 0
    story.close()
