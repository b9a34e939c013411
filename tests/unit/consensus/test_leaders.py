from dataclasses import replace

from heptad.consensus.leaders import leader_after_qc, leader_after_tc
from heptad.model.ids import MemberIndex, Round


def certified(make_world, round_, proposer):
    block, _, _ = make_world().genesis()
    return replace(block, round=Round(round_), proposer=MemberIndex(proposer))


def test_within_a_term_the_certified_blocks_proposer_leads_on(make_world):
    for round_ in (0, 1, 62, 64, 126):
        block = certified(make_world, round_, proposer=5)
        assert leader_after_qc(block, n=7, term_rounds=64) == 5


def test_at_a_terms_start_the_next_scheduled_member_leads(make_world):
    leaders = [
        leader_after_qc(certified(make_world, 64 * term - 1, 5), n=7, term_rounds=64)
        for term in range(1, 9)
    ]
    assert leaders == [1, 2, 3, 4, 5, 6, 0, 1]


def test_after_a_tc_each_member_leads_in_turn():
    assert [leader_after_tc(Round(round_), n=7) for round_ in range(7, 15)] == [
        0, 1, 2, 3, 4, 5, 6, 0,
    ]  # fmt: skip
