"""A thousand random histories, each with its own mix of faults, and no promise broken in any.

Seeds are fixed, so a failure here is a change in the code and not in the weather; `make sim` draws
new ones. Chunks are what pytest-xdist hands out to its workers.
"""

from dataclasses import replace

import pytest

from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.world import World

CHUNK = 20


def chunks(first, count):
    return [range(at, at + CHUNK) for at in range(first, first + count, CHUNK)]


def name(seeds):
    return f"{seeds.start}-{seeds.stop - 1}"


@pytest.mark.parametrize("seeds", chunks(0, 560), ids=name)
def test_four_members_keep_every_promise(histories, seeds):
    histories(seeds, members=4)


@pytest.mark.parametrize("seeds", chunks(10_000, 200), ids=name)
def test_seven_members_keep_every_promise(histories, seeds):
    histories(seeds, members=7)


@pytest.mark.parametrize("members", [1, 2, 3, 5, 6, 10])
def test_groups_of_any_size_keep_every_promise(histories, members):
    histories(range(20_000, 20_008), members=members)


@pytest.mark.parametrize("members", [1, 4, 7])
def test_without_faults_rounds_do_not_time_out(histories, members):
    counts = histories(range(30_000, 30_004), members=members, faults=frozenset())

    assert counts["round_timed_out"] == 0
    assert counts["message_refused"] == 0
    assert counts["blocks"] >= 100


@pytest.mark.parametrize("seed", range(35_000, 35_006))
def test_ed25519_signatures_keep_every_promise_too(seed):
    scenario = random_scenario(seed, members=4, faults=frozenset(FAULTS))
    history = World(replace(scenario, real_signatures=True)).run()

    assert history.broken is None, history.detail


def test_the_histories_contain_every_kind_of_fault(histories):
    """A simulator that has stopped injecting faults finds nothing and looks healthy."""
    counts = histories(range(40_000, 40_040), members=4)

    wanted = {
        "Arm", "BreakDisk", "Change", "Crash", "Heal", "Partition", "Pause", "Restart", "Resume",
        "Sever", "SlowDisk", "Wipe", "messages lost", "messages duplicated", "messages reordered",
        "messages straggled", "messages cut", "messages held", "villains' twists",
        "death by a crash", "death by a power cut before write", "death by a power cut after write",
        "death by a power cut during release", "death by a failed write that left nothing",
        "death by a failed write that left everything", "machine restarts", "round_timed_out",
        "message_refused", "vote_refused", "evidence", "catching_up",
        "proofs of two blocks", "proofs of two batches",
    }  # fmt: skip
    assert sorted(wanted - set(counts)) == []
