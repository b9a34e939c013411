"""Known bug 25: a joiner without the TC.

Replica-7 was cut off while a leader died and the others went on by a time-out certificate, which it
has never seen. Then one more dies, and without replica-7 there is no quorum any more. It is in an
old round; the others speak of later ones, and what they say there can only be believed by somebody
who knows how they got there. Here every time-out, proposal and greeting carries the certificate
that entered its round.
"""

import pytest

from heptad.simulation.scenario import Crash, Forbid, Heal, Partition


def actions(submit):
    return (
        Partition(50, (("replica-7",),)),
        Crash(60, "replica-1"),
        submit(100),
        Crash(2_000, "replica-2"),
        submit(2_050),
        Heal(2_100),
    )


def test_a_replica_that_missed_the_time_outs_joins_and_makes_the_quorum(play, submit):
    story = play(
        members=7, limits={"timeout_ms_first": 200}, actions=actions(submit), quiet_at_ms=20_000
    )

    story.until(2_000)
    assert story.records == 1
    assert story.status("replica-7").highest_tc_round == 0

    story.until(12_000)
    assert story.records == 2
    assert story.status("replica-7").committed_height == len(story.chain)
    story.close()


@pytest.mark.parametrize("lost", ["Certificates", "Timeout", "Proposal"])
def test_no_single_kind_of_message_is_needed_for_joining(play, submit, lost):
    """Whichever kind never reaches replica-7, the certificate comes with the others."""
    story = play(
        members=7,
        limits={"timeout_ms_first": 200},
        actions=(*actions(submit), Forbid(0, (lost,), targets=("replica-7",))),
        quiet_at_ms=20_000,
    )

    story.until(14_000)
    assert story.records == 2 or lost == "Proposal"
    assert story.status("replica-7").round >= story.status("replica-3").high_qc_round
    story.close()
    assert story.records == 2
