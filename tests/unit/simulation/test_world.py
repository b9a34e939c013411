"""A world does what its scenario says, machine by machine, and judges how it ends."""

import pytest

from heptad.simulation.disk import WriteFault
from heptad.simulation.machine import CutPoint
from heptad.simulation.network import Weather
from heptad.simulation.scenario import (
    Allow,
    Arm,
    BreakDisk,
    Change,
    Crash,
    Forbid,
    Heal,
    Partition,
    Pause,
    Restart,
    Resume,
    Scenario,
    Sever,
    SlowDisk,
    Submit,
    Wipe,
)
from heptad.simulation.transcript import Transcript
from heptad.simulation.violations import Broken
from heptad.simulation.world import World


def scenario(*actions, **fields):
    fields = {"seed": 1, "members": 4, "quiet_at_ms": 1_000, **fields}
    return Scenario(actions=actions, **fields)


def run(*actions, **fields):
    history = World(scenario(*actions, **fields)).run()
    assert history.broken is None, history.detail
    return history


def opened(*actions, **fields):
    world = World(scenario(*actions, **fields))
    world.open()
    return world


def test_a_record_is_committed_and_silence_follows():
    history = run(Submit(10, "validator-1", 3))

    assert history.records == 3
    assert history.blocks > 0
    assert history.rounds > 0


def test_real_signatures_make_no_difference():
    history = run(Submit(10, "validator-1", 1), real_signatures=True)

    assert history.records == 1


@pytest.mark.parametrize("point", list(CutPoint))
def test_an_armed_cut_kills_the_machine_at_its_point(point):
    history = run(Arm(5, "replica-2", point), Submit(10, "validator-1", 1))

    assert history.counts[f"death by a power cut {point.value.replace('_', ' ')}"] == 1
    assert history.counts["machine restarts"] == 1


@pytest.mark.parametrize("fault", list(WriteFault))
def test_a_failed_write_kills_the_machine(fault):
    history = run(BreakDisk(5, "replica-2", fault), Submit(10, "validator-1", 1))

    assert history.counts["machine restarts"] == 1


def test_a_machine_without_its_record_comes_back_as_a_follower_and_signs_nothing():
    world = opened(
        Submit(5, "validator-1", 1),
        Wipe(40, "replica-2"),
        Restart(50, "replica-2"),
        Submit(60, "validator-1", 1),
    )
    world.run_until(1_000)
    world.close()

    follower = world.machine("replica-2")
    assert follower.driver.status().is_follower
    assert follower.disk.height == world.machine("replica-1").disk.height
    follower.crash()
    world.stage.perform(Restart(0, "replica-2"))
    assert follower.driver.status().is_follower, "its record says so for ever"


def test_a_restart_of_a_machine_that_is_up_does_nothing():
    assert run(Restart(20, "replica-2")).counts["machine restarts"] == 0


def test_a_paused_machine_hears_everything_when_it_goes_on():
    world = opened(Pause(5, "replica-4"), Submit(10, "validator-1", 1), Resume(400, "replica-4"))
    world.run_until(390)
    assert len(world.machine("replica-4").disk.chain) == 0
    world.run_until(450)
    assert len(world.machine("replica-4").disk.chain) > 0


def test_a_partition_without_a_quorum_commits_nothing_until_it_heals():
    world = opened(
        Partition(5, (("replica-1", "replica-2", "validator-1"),)),
        Submit(10, "validator-1", 1),
        Heal(3_000),
        quiet_at_ms=10_000,
    )
    world.run_until(2_900)
    assert world.cast.setting.checkers.log.records == 0
    world.run_until(10_000)
    assert world.cast.setting.checkers.log.records == 1


def test_a_severed_link_is_cut_in_one_direction():
    world = opened(Sever(5, ("replica-1",), ("replica-2",)))
    world.run_until(10)

    assert world.cast.setting.network.is_cut(0, 1)
    assert not world.cast.setting.network.is_cut(1, 0)


def test_weather_changes_everywhere_or_on_some_links():
    storm = Weather(loss=0.5)
    world = opened(Change(5, Weather(), ("replica-1",), ()), Change(6, storm))
    world.run_until(10)

    assert world.cast.setting.network.weather == storm


def test_what_is_forbidden_passes_again_when_allowed():
    world = opened(
        Forbid(5, ("Batch",), ("validator-1",)), Submit(10, "validator-1", 1), Allow(600),
        quiet_at_ms=3_000,
    )  # fmt: skip
    world.run_until(590)
    assert world.cast.setting.network.counts["ruled_out"] > 0
    assert world.cast.setting.checkers.log.records == 0
    world.run_until(3_000)
    assert world.cast.setting.checkers.log.records == 1


def test_a_rule_may_hold_for_some_messages_only():
    world = opened(Forbid(5, ("Batch",), times=2), Submit(10, "validator-1", 1))
    world.run_until(100)

    assert world.cast.setting.network.counts["ruled_out"] == 2


def test_rules_may_name_rounds():
    world = opened(
        Forbid(0, ("Proposal", "Vote", "Timeout", "Certificates"), round_min=2, round_max=2),
        Submit(10, "validator-1", 1),
    )
    world.run_until(300)

    assert world.cast.setting.network.counts["ruled_out"] > 0
    assert world.machine("replica-1").driver.status().high_qc_round == 1


def test_a_slow_disk_slows_its_machine_until_the_faults_end():
    world = opened(SlowDisk(5, "replica-2", 9_000))
    world.run_until(10)
    assert world.machine("replica-2").write_cost_us == 9_000
    world.close()
    assert world.machine("replica-2").write_cost_us < 9_000


def test_a_restarted_validator_loses_and_repeats_nothing():
    history = run(Submit(10, "validator-1", 9), Restart(11, "validator-1"),
                  Submit(300, "validator-1", 2))  # fmt: skip

    assert history.records == 11


def test_a_group_without_a_quorum_for_good_is_called_stuck():
    history = World(
        scenario(
            Crash(5, "replica-1"), Submit(10, "validator-1", 1), quiet_at_ms=50, calm_ms_max=3_000,
            villains={"replica-2": ("silent",), "replica-3": ("silent",)},
        )
    ).run()  # fmt: skip

    assert history.broken is None, "more than f villains: nothing is owed"

    history = World(
        scenario(
            Submit(10, "validator-1", 1), quiet_at_ms=0, calm_ms_max=0, weather=Weather(loss=1.0)
        )
    ).run()
    assert history.broken is Broken.STUCK
    assert "validator-1" in history.detail


def test_a_transcript_tells_who_did_what():
    lines = []
    World(
        scenario(Submit(10, "validator-1", 1), Crash(500, "replica-2")),
        transcript=Transcript(lines.append),
    ).run()
    text = "\n".join(lines)

    for wanted in ("replica-1       starts", "proposal round 1", "vote round 1", "commits up to",
                   "dies: a crash", "Submit: validator validator-1"):  # fmt: skip
        assert wanted in text


def test_two_copies_of_a_twin_live_side_by_side():
    world = opened(Submit(10, "validator-1", 1), twins=("replica-3",))
    world.run_until(500)
    world.close()

    assert len(world.cast.machines) == 5
    heights = {len(machine.disk.chain) for machine in world.cast.machines.values()}
    assert len(heights) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"twins": ("replica-9",)},
        {"villains": {"replica-9": ("silent",)}},
        {"actions": (Crash(1, "replica-9"),)},
        {"actions": (Submit(1, "validator-9", 1),)},
        {"actions": (Sever(1, ("replica-1",), ("nobody",)),)},
        {"actions": (Partition(1, (("nobody",),)),)},
        {"actions": (Forbid(1, sources=("nobody",)),)},
    ],
)
def test_a_scenario_that_names_a_stranger_is_refused(fields):
    with pytest.raises(ValueError, match="no such"):
        World(Scenario(**{"seed": 1, "members": 4, **fields}))
