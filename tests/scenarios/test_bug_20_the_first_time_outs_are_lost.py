"""Known bug 20: the first time-outs are lost.

The leader is dead from the start, and every time-out that is sent in the first second and a half is
lost. Where a time-out is sent once and no more, each replica now waits for ever for a quorum that
has already spoken. Here it is said again for as long as the round lasts.
"""

from heptad.consensus.core.giving_up import GivingUp
from heptad.simulation.scenario import Allow, Crash, Forbid

STORY = {
    "members": 4,
    "limits": {"timeout_ms_first": 200},
    "quiet_at_ms": 30_000,
    "calm_ms_max": 20_000,
}


def actions(submit):
    return (Crash(10, "replica-1"), Forbid(20, ("Timeout",)), submit(100), Allow(1_500))


def test_a_time_out_is_said_again_until_the_round_ends(play, submit):
    story = play(**STORY, actions=actions(submit))

    story.until(1_500)
    assert story.noticed("round_timed_out") == 3
    assert story.records == 0

    story.until(5_000)
    assert story.records == 1
    story.close()


def test_said_only_once_it_would_never_end(play, submit, monkeypatch):
    original = GivingUp._give_up

    def once(self, *, by):
        if self._parts.rounds.pacemaker.has_timed_out:
            self._parts.rounds.pacemaker.timed_out(self._parts.now_ms)
        else:
            original(self, by=by)

    monkeypatch.setattr(GivingUp, "_give_up", once)
    story = play(**STORY, actions=actions(submit))

    story.until(20_000)
    assert story.records == 0
