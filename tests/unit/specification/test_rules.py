"""Each formula says no where its rule says so, and yes once that rule is taken out."""

from dataclasses import replace

import pytest

from heptad.specification.rules import (
    Certificate,
    Group,
    Record,
    Rules,
    after_crash,
    after_timeout,
    after_vote,
    commits,
    tc_refusal,
    timeout_refusal,
    vote_refusal,
)

ALL = Rules()


@pytest.mark.parametrize(("members", "quorum", "honest_needed"), [
    (4, 3, 2), (5, 4, 3), (6, 5, 4), (7, 5, 3), (10, 7, 4), (13, 9, 5),
])  # fmt: skip
def test_a_quorum_is_all_but_f_and_liars_help_with_every_one(members, quorum, honest_needed):
    group = Group(members, Group(members, 0).faulty_max)

    assert group.quorum == quorum
    assert group.honest_needed == honest_needed


@pytest.mark.parametrize(("rule", "record", "round_", "justify_round", "tc"), [
    ("vote_once", Record(voted=3), 3, 2, None),
    ("vote_sealed", Record(timed_out=3), 3, 2, None),
    ("entry_follows", Record(), 3, 1, None),
    ("tc_follows", Record(), 4, 1, Certificate(2, 1)),
    ("tc_floor", Record(), 4, 1, Certificate(3, 2)),
])  # fmt: skip
def test_a_vote_against_a_rule_is_refused_until_the_rule_is_taken_out(
    rule, record, round_, justify_round, tc
):
    case = {"round_": round_, "justify_round": justify_round, "tc": tc}

    assert vote_refusal(ALL, record, **case) is not None
    assert vote_refusal(replace(ALL, **{rule: False}), record, **case) is None


@pytest.mark.parametrize(("rule", "record", "round_", "claim", "has_tc_before"), [
    ("claims_below", Record(), 3, 3, True),
    ("timeout_forward", Record(voted=4), 3, 2, True),
    ("timeout_forward", Record(timed_out=4), 3, 2, True),
    ("claims_true", Record(high_qc=2), 4, 1, True),
    ("timeout_entered", Record(), 3, 1, False),
])  # fmt: skip
def test_a_time_out_against_a_rule_is_refused_until_the_rule_is_taken_out(
    rule, record, round_, claim, has_tc_before
):
    case = {"round_": round_, "claim": claim, "has_tc_before": has_tc_before}

    assert timeout_refusal(ALL, record, **case) is not None
    assert timeout_refusal(replace(ALL, **{rule: False}), record, **case) is None


def test_no_rule_taken_out_lets_a_block_extend_a_later_one():
    nothing = Rules(*[False] * 12)

    assert vote_refusal(nothing, Record(), round_=2, justify_round=2, tc=None) is not None


def test_a_vote_and_a_time_out_of_the_next_round_are_allowed():
    record = Record(voted=2, timed_out=2, high_qc=2)

    assert vote_refusal(ALL, record, round_=3, justify_round=2, tc=None) is None
    assert vote_refusal(ALL, record, round_=3, justify_round=1, tc=Certificate(2, 1)) is None
    assert timeout_refusal(ALL, record, round_=3, claim=2, has_tc_before=False) is None


@pytest.mark.parametrize(("claims", "certified", "rule"), [
    ([0, 0, 3], [0, 3], "claims_below"),
    ([0, 0, 2], [0, 1], "claims_backed"),
])  # fmt: skip
def test_a_tc_against_a_rule_is_refused_until_the_rule_is_taken_out(claims, certified, rule):
    case = {"round_": 3, "claims": claims, "certified": certified}

    assert tc_refusal(ALL, Group(4, 1), **case) is not None
    assert tc_refusal(replace(ALL, **{rule: False}), Group(4, 1), **case) is None


def test_too_few_time_outs_are_no_tc():
    case = {"round_": 3, "certified": [0]}

    assert tc_refusal(ALL, Group(4, 1), claims=[0, 0], **case) is not None
    assert tc_refusal(ALL, Group(4, 1), claims=[0, 0, 0], **case) is None


def test_the_record_never_goes_back_and_a_crash_forgets_only_what_it_is_told_to():
    record = after_vote(ALL, Record(), round_=4, justify_round=3)
    record = after_timeout(ALL, record, round_=4, claim=3)

    assert record == Record(4, 4, 3)
    assert after_vote(ALL, record, round_=5, justify_round=2).high_qc == 3
    assert after_crash(ALL, record) == record
    assert after_crash(replace(ALL, forgets=frozenset({"voted"})), record) == Record(0, 4, 3)


def test_only_a_child_in_the_next_round_commits():
    assert commits(ALL, round_=2, child_round=3, is_child=True)
    assert not commits(ALL, round_=2, child_round=4, is_child=True)
    assert not commits(ALL, round_=2, child_round=3, is_child=False)
