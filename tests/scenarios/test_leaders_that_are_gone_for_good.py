"""One or two members crash and never come back, and the others go on almost as if nothing were.

Each dead member costs a time-out when its turn comes, and is then left out; what remains is a
probe now and then, and ever more rarely, for as long as the chain grows. One that comes back is
probed as well, leads its term to the end, and stands with the others again.

Terms are of eight rounds here, so that a minute of the simulated group is hours of a real one.
"""

import pytest

from heptad.simulation.leader_checker import LeaderChecker
from heptad.simulation.scenario import Crash, Restart
from heptad.simulation.violations import Broken, ViolationError

WINDOW_MS = 3_000


def begin(play, submit, *, members, dead, seed, more=(), until_ms=4 * WINDOW_MS):
    times = range(100, until_ms, 25)
    return play(
        seed=seed,
        members=members,
        limits={"term_rounds": 8},
        actions=(
            *(Crash(50, name) for name in dead),
            *(submit(at_ms, validator=f"validator-{1 + at_ms // 25 % 2}") for at_ms in times),
            *more,
        ),
        quiet_at_ms=until_ms + 1_000,
    ), len(times)


def timed_out(story):
    """Rounds that the group has given up on, by the replica that has seen most."""
    live = [machine for machine in story.world.cast.machines.values() if machine.is_up]
    return max(machine.driver.status().timeouts for machine in live)


@pytest.mark.parametrize(
    ("seed", "members", "dead"),
    [
        (1, 4, ("replica-2",)),
        (2, 7, ("replica-1",)),
        (3, 7, ("replica-2", "replica-3")),
    ],
)
def test_time_outs_become_ever_rarer_while_the_dead_stay_dead(play, submit, members, dead, seed):
    story, count = begin(play, submit, members=members, dead=dead, seed=seed)

    counts = []
    for window in range(1, 5):
        before = timed_out(story)
        story.until(window * WINDOW_MS)
        counts.append(timed_out(story) - before)

    assert counts[0] >= len(dead), counts
    assert sum(counts) <= 12 * len(dead), counts
    assert sum(counts[2:]) < sum(counts[:2]), counts
    assert sum(counts[2:]) <= 3 * len(dead), counts
    story.until(4 * WINDOW_MS + 1_000)
    assert story.records == count
    failed = {int(name.removeprefix("replica-")) - 1 for name in dead}
    live = [name for name in story.heights() if name not in dead]
    assert {story.status(name).leaders_failed for name in live} == {tuple(sorted(failed))}


@pytest.mark.parametrize("dead", [("replica-2",), ("replica-2", "replica-3")])
def test_who_comes_back_leads_again_and_stands_with_the_others(play, submit, dead):
    back_ms = WINDOW_MS
    story, count = begin(
        play, submit, members=7, dead=dead, seed=1,
        more=tuple(Restart(back_ms, name) for name in dead),
    )  # fmt: skip

    story.until(back_ms)
    assert story.status("replica-1").leaders_failed
    away = len(story.chain)
    story.until(4 * WINDOW_MS + 1_000)

    assert story.records == count
    leaders = [block.proposer for block in story.chain[away:]]
    for name in dead:
        assert leaders.count(int(name.removeprefix("replica-")) - 1) >= 8
    assert {story.status(name).leaders_failed for name in story.heights()} == {()}
    story.close()


def test_a_block_by_somebody_who_does_not_lead_is_found(play, submit):
    """The checker that all histories run with: the rule worked out again from the headers."""
    story, _ = begin(play, submit, members=4, dead=("replica-2",), seed=1, until_ms=2_000)
    story.until(3_000)

    cell = story.world.cast.setting.cell
    follow(LeaderChecker(cell, term_rounds=8), story.chain)
    with pytest.raises(ViolationError, match=f"{Broken.LEADER.value}: round 24 by 3, 2 leads"):
        follow(LeaderChecker(cell, term_rounds=16), story.chain)


def follow(checker, chain):
    for block in chain:
        checker.extend(block)
