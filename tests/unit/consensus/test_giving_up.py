"""Time-outs, in and out: what is answered, what is counted, and when this replica gives up."""

from dataclasses import replace

import pytest

from heptad.consensus.codec import new_timeout
from heptad.consensus.core.adopting import adopt_qc, adopt_tc
from heptad.consensus.core.giving_up import Tenure
from heptad.consensus.limits import Limits
from heptad.consensus.messages import BatchOffer, Certificates
from heptad.consensus.objects import Timeout
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

ME = 6
BLOCK = BlockId(b"b" * 32)
FIRST_MS = Limits().timeout_ms_first


@pytest.fixture
def alone(world):
    """A replica that hears nothing but what a test hands over."""
    world.run()
    world.drop = lambda *_: True
    parts_of(world).now_ms = world.now_ms
    clear(world)
    return world


def core_of(world):
    return world.replicas[ME].driver._core


def parts_of(world):
    return core_of(world)._parts


def clear(world):
    world.sent.clear()
    world.verifier.checked = 0


def certified(world, round_):
    return world.qc(round_, BLOCK) if round_ else world.genesis()[1]


def tc(world, round_, high_round=0):
    claims = dict.fromkeys(range(5), high_round)
    return world.tc(round_, claims, certified(world, high_round))


def timeout(world, voter, round_, high_round):
    high_qc = certified(world, high_round)
    return new_timeout(
        epoch=Epoch(1),
        round_=Round(round_),
        high_qc=high_qc,
        tc=None if high_round + 1 == round_ else tc(world, round_ - 1, high_round),
        fast_vote=b"",
        voter=MemberIndex(voter),
        signature=world.claim(voter, round_, high_round).signature,
    )


def enter(world, round_, *, by_tc=False):
    """This replica learns what enters the round."""
    parts = parts_of(world)
    if by_tc:
        adopt_tc(parts, parts.certificates.tc(tc(world, round_ - 1)))
    else:
        adopt_qc(parts, parts.certificates.qc(certified(world, round_ - 1)))
    assert parts.rounds.round == round_
    clear(world)


def hears(world, voter, round_, high_round):
    """A time-out comes; True if that was news."""
    value = timeout(world, voter, round_, high_round)
    return core_of(world)._giving_up.on_timeout(MemberIndex(voter), value)


def sent(world, kind):
    results = parts_of(world).results.messages
    return [each.targets for each in results if isinstance(each.message, kind)]


def named(world, name):
    return [dict(fact.fields) for fact in parts_of(world).results.facts if fact.name == name]


def test_a_time_out_in_another_members_name_is_refused(alone):
    alone.inject(2, ME, timeout(alone, 1, 1, 0))
    (refused,) = alone.replicas[ME].named("message_refused")
    assert refused["reason"] == "time-out of member 1 sent by 2"


def test_a_time_out_of_a_round_that_is_over_is_answered_and_not_verified(alone):
    enter(alone, 6)
    assert hears(alone, 1, 4, 3) is False
    assert sent(alone, Certificates) == [(1,)]
    assert alone.verifier.checked == 0


def test_a_time_out_of_a_round_that_is_over_may_bring_a_higher_certificate(alone):
    """Then it is verified as a whole, and its sender is told what ended its round."""
    enter(alone, 6, by_tc=True)
    assert hears(alone, 1, 4, 3) is True
    assert parts_of(alone).rounds.high_qc.qc.round == 3
    assert parts_of(alone).rounds.round == 6
    assert sent(alone, Certificates) == [(1,)]
    assert len(parts_of(alone).rounds.timeouts._timeouts) == 0


def test_a_time_out_of_this_round_with_a_lower_certificate_is_counted_and_answered(alone):
    enter(alone, 6, by_tc=True)
    adopt_qc(parts_of(alone), parts_of(alone).certificates.qc(certified(alone, 3)))
    assert hears(alone, 1, 6, 0) is False
    assert sent(alone, Certificates) == [(1,)]
    assert list(parts_of(alone).rounds.timeouts._timeouts) == [1]


def test_a_time_out_with_the_same_certificate_is_counted_and_not_answered(alone):
    assert hears(alone, 1, 1, 0) is False
    assert sent(alone, Certificates) == []
    assert list(parts_of(alone).rounds.timeouts._timeouts) == [1]


def test_a_time_out_that_is_here_is_not_verified_again(alone):
    hears(alone, 1, 1, 0)
    alone.verifier.checked = 0
    assert hears(alone, 1, 1, 0) is False
    assert alone.verifier.checked == 0


@pytest.mark.parametrize(("high_round", "round_"), [(8, 9), (3, 9)])
def test_a_time_out_of_a_later_round_brings_a_replica_there_by_what_it_shows(
    alone, high_round, round_
):
    assert hears(alone, 1, round_, high_round) is True
    rounds = parts_of(alone).rounds
    assert (rounds.round, rounds.high_qc.qc.round) == (round_, high_round)
    assert list(rounds.timeouts._timeouts) == [1]


def test_a_replica_joins_f_plus_one_and_a_quorum_enters_the_next_round(alone):
    assert [hears(alone, voter, 1, 0) for voter in (0, 1)] == [False, False]
    assert sent(alone, Timeout) == []
    assert hears(alone, 2, 1, 0) is True
    assert sent(alone, Timeout) == [(0, 1, 2, 3, 4, 5)]
    assert core_of(alone)._giving_up.count == 1
    (told,) = named(alone, "round_timed_out")
    assert told == {"round": 1, "leader": 0, "by": "others"}
    assert parts_of(alone).rounds.round == 1
    assert hears(alone, 4, 1, 0) is True
    assert parts_of(alone).rounds.round == 2


def test_who_has_given_up_joins_nobody_again(alone):
    for voter in (0, 1, 2):
        hears(alone, voter, 1, 0)
    parts_of(alone).results.messages.clear()
    alone.now_ms += 1
    assert parts_of(alone).rounds.pacemaker.has_timed_out
    assert core_of(alone)._giving_up._count() is False
    assert sent(alone, Timeout) == []


@pytest.mark.parametrize(
    ("high_round", "tc_round", "is_news", "is_answered"),
    [
        (5, 0, False, False),
        (4, 0, False, True),
        (4, 5, False, True),
        (6, 0, True, False),
        (5, 5, False, False),
        (5, 6, True, False),
        (0, 9, True, True),
    ],
)
def test_certificates_are_adopted_where_they_are_news_and_answered_where_mine_are(
    alone, high_round, tc_round, is_news, is_answered
):
    enter(alone, 6)
    parts_of(alone).now_ms += 1_000
    shown = tc(alone, tc_round, high_round) if tc_round else None
    message = Certificates(certified(alone, high_round), shown)
    heard = core_of(alone)._giving_up.on_certificates(MemberIndex(1), message)
    assert heard is is_news
    assert sent(alone, Certificates) == [(1,)] * is_answered
    rounds = parts_of(alone).rounds
    assert rounds.high_qc.qc.round == max(5, high_round)
    assert rounds.round == max(5, high_round, tc_round) + 1
    assert (alone.verifier.checked > 0) is is_news


def work(world, *, at_ms=0):
    """A block with a batch is in the tree and certified: a child of it is missing."""
    parts = parts_of(world)
    batch = world.batch()
    world.submit(batch, to=[ME])
    genesis, _, state = world.genesis()
    verified = world.block(genesis, state, 1, batches=[batch])
    parts.chain.insert_own(verified, keep=verified.block.id)
    parts.now_ms = world.now_ms + at_ms
    adopt_qc(parts, parts.certificates.qc(world.qc(1, verified.block.id)))
    clear(world)
    parts.results.messages.clear()
    return verified


def test_the_timer_runs_while_a_certified_block_with_batches_is_not_committed(alone):
    work(alone)
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    giving_up.watch()
    began_ms = parts.now_ms
    assert parts.rounds.pacemaker.due_ms() == began_ms + FIRST_MS
    for at_ms, is_due in ((FIRST_MS - 1, False), (FIRST_MS, True)):
        parts.now_ms = began_ms + at_ms
        assert giving_up.give_up_if_due() is is_due
        assert len(sent(alone, Timeout)) == is_due
    (told,) = named(alone, "round_timed_out")
    assert told["by"] == "clock"
    assert told["round"] == 2


def test_a_time_out_that_is_said_again_counts_once_and_offers_what_waits_again(alone):
    """Everything that was lost with the first one comes with it."""
    work(alone)
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    alone.submit(alone.batch(validator=2), to=[ME])
    parts.results.messages.clear()
    giving_up.watch()
    for _ in range(2):
        parts.now_ms = parts.rounds.pacemaker.due_ms()
        assert giving_up.give_up_if_due()
        giving_up.watch()
    assert len(sent(alone, Timeout)) == 2
    assert giving_up.count == 1
    assert len(named(alone, "round_timed_out")) == 1
    assert len(sent(alone, BatchOffer)) == 2


def test_a_follower_that_waits_asks_and_gives_up_on_nothing(alone):
    work(alone)
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    parts.kernel._record = replace(parts.kernel.record, is_follower=True)
    giving_up.watch()
    parts.now_ms = parts.rounds.pacemaker.due_ms()
    assert giving_up.give_up_if_due()
    assert sent(alone, Certificates) == [(0, 1, 2, 3, 4, 5)]
    assert sent(alone, Timeout) == []
    assert giving_up.count == 0
    assert named(alone, "vote_refused") == []


def test_a_replica_without_work_waits_for_nothing(alone):
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    giving_up.watch()
    assert parts.rounds.pacemaker.due_ms() is None
    assert giving_up.wake_ms is None
    parts.now_ms += 100_000
    assert giving_up.give_up_if_due() is False


def test_a_batch_that_waits_is_offered_to_all_and_only_then_starts_the_timer(alone):
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    alone.submit(alone.batch(), to=[ME])
    began_ms = parts.now_ms
    for after_ms, is_offered in ((Limits().relay_after_ms - 1, False), (100, True)):
        parts.results.messages.clear()
        parts.now_ms = began_ms + after_ms
        giving_up.watch()
        assert sent(alone, BatchOffer) == [(0, 1, 2, 3, 4, 5)] * is_offered
        due_ms = parts.rounds.pacemaker.due_ms()
        assert due_ms == (parts.now_ms + FIRST_MS if is_offered else None)
        assert giving_up.wake_ms == (None if is_offered else began_ms + Limits().relay_after_ms)


def test_where_the_leader_is_lost_a_batch_is_offered_at_once(alone):
    giving_up, parts = core_of(alone)._giving_up, parts_of(alone)
    parts.rounds.pacemaker.lost(MemberIndex(0), alone.now_ms)
    alone.submit(alone.batch(), to=[ME])
    assert any(isinstance(message, BatchOffer) for *_, message in alone.sent)
    assert giving_up.wake_ms is None


def lead_on(world, rounds):
    """Member 0 leads these rounds with empty blocks, each certified."""
    parts = parts_of(world)
    chain = world.chain(range(1, rounds[-1] + 1))
    for verified in chain:
        block = verified.block
        if parts.chain.tree.get(block.id) is None:
            parts.chain.insert_own(verified, keep=block.id)
        if block.round in rounds:
            adopt_qc(parts, parts.certificates.qc(world.qc(block.round, block.id)))


@pytest.mark.parametrize(
    ("rounds", "after_ms", "is_refused"),
    [(3, 2_000, True), (3, 1_999, False), (2, 2_000, False), (2, 60_000, False)],
)
def test_a_leader_is_refused_that_leads_two_more_rounds_and_two_seconds_without_what_all_have(
    alone, rounds, after_ms, is_refused
):
    giving_up, parts, voting = core_of(alone)._giving_up, parts_of(alone), core_of(alone)._voting
    giving_up.watch()
    alone.submit(alone.batch(), to=[ME])
    parts.now_ms = offered_ms = alone.now_ms + Limits().relay_after_ms
    giving_up.watch()
    lead_on(alone, range(1, rounds + 1))
    parts.now_ms = offered_ms + after_ms
    giving_up.watch()
    assert voting.is_refused(MemberIndex(0)) is is_refused
    refused = {"leader": 0, "round": rounds + 1, "waited_ms": 2_000}
    assert named(alone, "leader_refused") == [refused] * is_refused
    is_waiting = rounds == 3 and not is_refused
    assert giving_up.wake_ms == (offered_ms + 2_000 if is_waiting else None)
    assert giving_up.give_up_if_due() is is_refused
    parts.results.facts.clear()
    giving_up.watch()
    assert named(alone, "leader_refused") == [], "it is told once"


def test_a_leader_has_two_seconds_from_when_it_began_to_lead(alone):
    """However long ago the batch was offered."""
    giving_up, parts, voting = core_of(alone)._giving_up, parts_of(alone), core_of(alone)._voting
    alone.submit(alone.batch(), to=[ME])
    parts.now_ms = alone.now_ms + Limits().relay_after_ms
    giving_up._tenure = replace(giving_up._tenure, leader=MemberIndex(5))
    giving_up.watch()
    parts.now_ms = began_ms = parts.now_ms + 5_000
    giving_up._tenure = replace(giving_up._tenure, leader=MemberIndex(5))
    giving_up.watch()
    lead_on(alone, range(1, 5))
    for after_ms, is_refused in ((1_999, False), (2_000, True)):
        parts.now_ms = began_ms + after_ms
        giving_up.watch()
        assert voting.is_refused(MemberIndex(0)) is is_refused


@pytest.mark.parametrize(("tc_round", "is_answered"), [(0, True), (4, True), (5, False)])
def test_whoever_is_in_an_earlier_round_with_the_same_certificate_is_answered(
    alone, tc_round, is_answered
):
    enter(alone, 6, by_tc=True)
    shown = tc(alone, tc_round) if tc_round else None
    message = Certificates(certified(alone, 0), shown)
    core_of(alone)._giving_up.on_certificates(MemberIndex(1), message)
    assert sent(alone, Certificates) == [(1,)] * is_answered


def test_whoever_has_not_heard_of_the_first_round_that_failed_is_answered(alone):
    enter(alone, 2, by_tc=True)
    message = Certificates(certified(alone, 0), None)
    core_of(alone)._giving_up.on_certificates(MemberIndex(1), message)
    assert sent(alone, Certificates) == [(1,)]


def test_a_tc_of_a_round_that_is_known_to_have_failed_is_not_verified(alone):
    enter(alone, 6, by_tc=True)
    shown = tc(alone, 5, high_round=3)
    message = Certificates(certified(alone, 3), shown)
    assert core_of(alone)._giving_up.on_certificates(MemberIndex(1), message) is True
    assert alone.verifier.checked == 5, "the QC alone"


def test_what_the_kernel_refuses_is_told_and_not_counted(alone):
    parts = parts_of(alone)
    parts.kernel._record = replace(parts.kernel.record, round_voted=Round(9))
    for voter in (0, 1, 2):
        hears(alone, voter, 1, 0)
    (told,) = named(alone, "vote_refused")
    assert (told["round"], told["proposer"]) == (1, -1)
    assert sent(alone, Timeout) == []
    assert core_of(alone)._giving_up.count == 0


def test_a_round_may_be_given_up_whose_leader_was_never_known(alone):
    core_of(alone)._giving_up._tenure = Tenure(None, 0, Round(1))
    for voter in (0, 1, 2):
        hears(alone, voter, 1, 0)
    assert [each["leader"] for each in named(alone, "round_timed_out")] == [-1]


def test_the_own_time_out_may_complete_the_quorum(make_world):
    """Of four members two others and this one are enough."""
    world = make_world(n=4).start()
    world.run()
    world.drop = lambda *_: True
    parts = world.replicas[3].driver._core._parts
    parts.now_ms = world.now_ms
    for voter in (0, 1):
        high_qc = world.genesis()[1]
        value = new_timeout(
            epoch=Epoch(1), round_=Round(1), high_qc=high_qc, tc=None, fast_vote=b"",
            voter=MemberIndex(voter), signature=world.claim(voter, 1, 0).signature,
        )  # fmt: skip
        world.replicas[3].driver._core._giving_up.on_timeout(MemberIndex(voter), value)
    assert parts.rounds.round == 2
