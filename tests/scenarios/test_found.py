"""Histories that once broke a promise: thinned out, kept, and run again for ever.

`heptad simulate` writes such a file when it finds something (`--shrink` thins it out); with the
bug mended and a story added it belongs here. No seed is ever left out because it fails.
"""

from pathlib import Path

import pytest

from heptad.simulation.scenario import Submit
from heptad.simulation.scenario_file import load
from heptad.simulation.validators import Manner
from heptad.simulation.world import World

FILES = sorted((Path(__file__).parent / "found").glob("*.toml"))


def test_there_are_files():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path):
    scenario = load(path)
    history = World(scenario).run()

    assert scenario.story
    assert history.broken is None, f"{history.broken.value}: {history.detail}"


def test_a_backlog_is_worked_off_without_giving_up_on_anybody(play):
    """More has come in than blocks can take, for longer than a leader is given to take a batch.

    Every replica once took every leader for a censor, refused one after the other, and the group
    gave up on round after round under the very load that it should have worked off. A full block
    is an excuse.
    """
    story = play(
        members=4,
        manners=(Manner.HONEST,) * 4,
        limits={"pace_ms": 100, "block_batches_max": 1},
        actions=tuple(Submit(10, f"validator-{number}", 160) for number in range(1, 5)),
        quiet_at_ms=60_000,
    )

    story.until(60_000)

    assert story.records == 640
    assert story.noticed("leader_refused") == 0
    assert story.noticed("round_timed_out") == 0
