"""A trace accepts what the rules allow and refuses, with numbers, what they do not."""

import pytest

from heptad.specification.trace import (
    Committed,
    GaveUp,
    Header,
    Proposed,
    Qc,
    RefusedStepError,
    Showed,
    Tc,
    Trace,
    Voted,
    refusal_of,
)

GENESIS_QC = Qc(0, "G", frozenset())


def qc(round_, block, *voters):
    return Qc(round_, block, frozenset(voters))


def certified(block, round_, justify, *voters, tc=None):
    """A block and its votes."""
    return [Header(block, round_, justify, tc), *(Voted(member, block) for member in voters)]


def refusal(events, byzantine=(3,)):
    return refusal_of(events, members=4, byzantine=byzantine, genesis="G")


A = certified("A", 1, GENESIS_QC, 0, 1)
QC_A = qc(1, "A", 0, 1, 3)
B = certified("B", 2, QC_A, 1, 2)
QC_B = qc(2, "B", 1, 2, 3)
COMMITS_A = Committed(0, ("A",), "B", QC_B)
GAVE_UP = [GaveUp(0, 1, 0), GaveUp(1, 1, 0)]
TC_1 = Tc(1, ((0, 0), (1, 0), (3, 0)), GENESIS_QC)


def test_two_rounds_and_a_commit_are_accepted():
    assert refusal([*A, *B, COMMITS_A]) is None


def test_a_round_that_failed_is_followed_by_a_block_with_its_tc():
    block = certified("C", 2, GENESIS_QC, 0, 1, 2, tc=TC_1)

    assert refusal([*GAVE_UP, *block]) is None


def test_the_same_vote_is_durable_once():
    assert "last voted 1" in refusal([*A, Voted(0, "A")])


@pytest.mark.parametrize(("events", "said"), [
    ([*A, Header("A2", 1, GENESIS_QC, None), Voted(1, "A2")], "round 1 <= last voted 1"),
    ([GaveUp(2, 1, 0), *A, Voted(2, "A")], "round 1 <= last time-out 1"),
    ([Header("C", 2, GENESIS_QC, None), Voted(0, "C")], "justify 0 + 1 != round 2"),
    ([*GAVE_UP, Header("C", 3, GENESIS_QC, TC_1), Voted(0, "C")], "TC 1 + 1 != round 3"),
    ([Voted(0, "unheard")], "a block that nobody holds"),
    ([*A[:2], Header("B", 2, QC_A, None), Voted(2, "B")], "names 2, who did not vote"),
    ([*A, Header("B", 2, qc(1, "A", 0, 1), None), Voted(2, "B")], "QC 1 of 2 < 3"),
    ([*A, Header("B", 3, qc(2, "A", 0, 1, 3), None), Voted(2, "B")], "another round"),
    ([GaveUp(0, 1, 0), Header("C", 2, GENESIS_QC, TC_1), Voted(0, "C")], "names 2, who did not"),
    ([*A, Voted(3, "A")], "member 4 is not an honest one"),
])  # fmt: skip
def test_a_vote_that_the_rules_forbid_is_refused(events, said):
    assert said in refusal(events)


def test_a_vote_below_a_tcs_claims_is_refused():
    lagging = [GaveUp(0, 2, 1), GaveUp(1, 2, 1)]
    tc = Tc(2, ((0, 1), (1, 1), (3, 1)), QC_A)
    fork = certified("C", 3, GENESIS_QC, 2, tc=tc)

    assert "justify 0 < claim 1 in TC 2" in refusal([*A, *lagging, *fork])


LATER = [GaveUp(0, 2, 1), GaveUp(1, 2, 1)]


@pytest.mark.parametrize(("tc", "said"), [
    (Tc(1, ((0, 0), (1, 0)), GENESIS_QC), "2 claims < quorum 3"),
    (Tc(1, ((0, 0), (0, 0), (1, 0)), GENESIS_QC), "2 claims < quorum 3"),
    (Tc(1, ((0, 0), (1, 0), (3, 1)), QC_A), "claim 1 >= round 1"),
    (Tc(2, ((0, 1), (1, 1), (3, 0)), GENESIS_QC), "no certificate is behind the claim 1"),
    (Tc(1, ((0, 0), (1, 0), (2, 0)), GENESIS_QC), "names 3, who did not claim 0"),
    (Tc(2, ((0, 0), (1, 1), (3, 1)), QC_A), "names 1, who did not claim 0"),
])  # fmt: skip
def test_a_tc_that_is_not_one_is_refused(tc, said):
    assert said in refusal([*A, *GAVE_UP, *LATER, Showed(0, None, tc)])


def test_a_tc_that_is_one_is_accepted():
    shown = [Showed(0, None, TC_1), Showed(0, QC_A, Tc(2, ((0, 1), (1, 1), (3, 0)), QC_A))]

    assert refusal([*A, *GAVE_UP, *LATER, *shown]) is None


@pytest.mark.parametrize(("events", "said"), [
    ([*A, *B, GaveUp(1, 3, 1)], "follows neither"),
    ([*A, *B, GaveUp(1, 1, 0)], "time-out of 1 < last voted 2"),
    ([*A, *B, GaveUp(0, 2, 0)], "follows neither"),
    ([*A, GaveUp(0, 3, 2)], "claims QC 2: there is none"),
])  # fmt: skip
def test_a_time_out_that_the_rules_forbid_is_refused(events, said):
    assert said in refusal(events)


def test_a_claim_below_what_was_voted_on_is_refused():
    """The member's vote helped to lock round 1; a time-out that claims less would undo it."""
    events = [*A, *GAVE_UP, Header("B", 2, QC_A, None), Voted(1, "B"), GaveUp(1, 2, 0)]

    assert "claim 0 < high_qc 1" in refusal(events)


def test_two_blocks_of_one_round_are_never_both_certified():
    rival = [Header("A2", 1, GENESIS_QC, None), Voted(2, "A2"), Voted(0, "A2")]

    assert "round 1 <= last voted 1" in refusal([*A, *rival])
    assert "two blocks of round 1" in refusal_of(
        [*A[:2], *rival[:2]], members=4, byzantine=(1, 3), genesis="G"
    )


@pytest.mark.parametrize(("commit", "said"), [
    (Committed(0, ("A",), "A", QC_A), "commits round 1 by round 1"),
    (Committed(0, ("B",), "A", QC_A), "commits round 2 by round 1"),
    (Committed(0, ("A",), "B", QC_A), "a QC of another block"),
    (Committed(0, ("A",), "B", qc(2, "B", 0, 1, 3)), "names 1, who did not vote"),
    (Committed(0, ("B", "A"), "B", QC_B), "with a gap"),
])  # fmt: skip
def test_a_commit_without_its_proof_is_refused(commit, said):
    assert said in refusal([*A, *B, commit])


def test_a_proposal_is_a_durable_vote_one_a_round():
    trace = Trace(members=4, byzantine=(3,), genesis="G")
    for event in [*A, *B, Proposed(1, "B"), Proposed(1, "B")]:
        trace.take(event)

    with pytest.raises(RefusedStepError, match="has not voted for"):
        trace.take(Proposed(0, "B"))
    with pytest.raises(RefusedStepError, match="proposes in round 1 after 2"):
        trace.take(Proposed(1, "A"))


def test_what_is_refused_changes_nothing():
    trace = Trace(members=4, byzantine=(3,), genesis="G")
    for event in A:
        trace.take(event)
    before = trace.events

    with pytest.raises(RefusedStepError):
        trace.take(Voted(0, "A"))
    for event in [*B, COMMITS_A]:
        trace.take(event)
    assert trace.events == before + 4
