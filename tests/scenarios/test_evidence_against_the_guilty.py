"""Misbehaviour that honest replicas have seen ends in the log, and only that.

A leader that shows two proposals, a validator that numbers two batches alike, a member that runs
twice: each is proven guilty once, however often it does it again, and nobody else ever is.
"""

import pytest

from heptad.consensus.docket import Docket
from heptad.consensus.evidence import Charge, Offence, of_votes
from heptad.consensus.judging import Judge
from heptad.consensus.messages import Accusation, encode_message
from heptad.consensus.state import ChainState
from heptad.simulation.byzantine import Sending, Villain
from heptad.simulation.scenario import Crash, Heal, Partition, Restart
from heptad.simulation.validators import Manner
from heptad.simulation.violations import Broken, ViolationError

FOUR = ("replica-1", "replica-2", "replica-3", "replica-4")


def proven(play):
    return play.checkers.evidence.proven


def test_a_leader_that_shows_two_proposals_is_in_the_log_once(play, submit):
    story = play(
        villains={"replica-1": ("equivocate",)},
        actions=tuple(submit(at_ms, 2) for at_ms in range(10, 3_000, 100)),
    )
    story.until(5_000)
    story.close()
    assert proven(story) == {Charge(Offence.BLOCKS, 0)}
    assert sum(len(block.control) for block in story.chain) == 1


def test_a_validator_that_numbers_two_batches_alike_is_in_the_log_once(play, submit):
    story = play(
        manners=(Manner.HONEST, Manner.EQUIVOCATING),
        actions=tuple(
            submit(at_ms, 2, f"validator-{1 + at_ms // 100 % 2}") for at_ms in range(10, 3_000, 100)
        ),
    )
    story.until(5_000)
    story.close()
    assert proven(story) == {Charge(Offence.BATCHES, 2)}


def test_of_a_member_that_runs_twice_only_that_member_is_accused(play, submit):
    groups = ("replica-1", *FOUR[1:3]), ("replica-1-twin", FOUR[3])
    others = ("replica-1", *FOUR[2:]), ("replica-1-twin", FOUR[1])
    story = play(
        members=4,
        twins=("replica-1",),
        actions=(
            *(submit(at_ms, 1) for at_ms in range(10, 9_000, 50)),
            *(
                Partition(at_ms, others if at_ms % 2_000 else groups)
                for at_ms in range(500, 9_000, 1_000)
            ),
            Heal(9_000),
        ),
    )
    story.until(10_000)
    story.close()
    assert proven(story) <= {Charge(Offence.BLOCKS, 0), Charge(Offence.HEADS, 0)}
    assert Charge(Offence.BLOCKS, 0) in proven(story)


def test_restarts_and_partitions_alone_accuse_nobody(play, submit):
    story = play(
        members=4,
        actions=(
            *(submit(at_ms, 2) for at_ms in range(10, 6_000, 40)),
            *(Crash(at_ms, FOUR[at_ms // 300 % 4]) for at_ms in range(300, 6_000, 300)),
            *(Restart(at_ms, FOUR[at_ms // 300 % 4]) for at_ms in range(420, 6_000, 300)),
            *(Restart(at_ms, "validator-1") for at_ms in range(700, 6_000, 900)),
            Partition(2_000, (FOUR[:2], FOUR[2:])),
            Heal(2_600),
        ),
    )
    story.until(7_000)
    story.close()
    assert proven(story) == frozenset()
    assert story.noticed("evidence") == 0


# --- the checkers are not blind --------------------------------------------------------------


def equivocating(play, submit):
    return play(
        villains={"replica-1": ("equivocate",)},
        actions=tuple(submit(at_ms, 2) for at_ms in range(10, 2_000, 100)),
        calm_ms_max=20_000,
    )


def test_a_group_that_never_proposes_its_proofs_is_found_out(play, submit, monkeypatch):
    monkeypatch.setattr(Docket, "has_open", lambda *_: False)
    monkeypatch.setattr(Docket, "proposable", lambda *_: ())
    story = equivocating(play, submit)
    story.until(3_000)
    with pytest.raises(ViolationError) as raised:
        story.close()
    assert raised.value.broken is Broken.STUCK
    assert "no proof that replica-1 signed two BLOCKS" in raised.value.detail


def test_a_group_that_proposes_a_proof_twice_is_found_out(play, submit, monkeypatch):
    """The state forgets whom it has proven guilty, and so do the voters."""
    original = ChainState.extended

    def forgetful(self, refs, leaf_hashes, leader_record, charges=()):
        state = original(self, refs, leaf_hashes, leader_record, charges)
        object.__setattr__(state, "proven", frozenset())
        return state

    monkeypatch.setattr(ChainState, "extended", forgetful)
    story = equivocating(play, submit)
    with pytest.raises(ViolationError) as raised:
        story.until(3_000)
    assert raised.value.broken is Broken.TWICE


def test_a_replica_that_accuses_an_honest_one_is_found_out(play, submit, monkeypatch):
    """The villain lies in another's name, and nobody verifies what is heard."""
    twist = Villain.twist

    def slander(self, targets, payload):
        votes = [self.vote(letter * 32, 1) for letter in (b"a", b"b")]
        false = of_votes(*(vote_of(each, 3) for each in votes), origin=self.cell.origin)
        lie = Sending(self.others, encode_message(Accusation(false)))
        return [lie, *twist(self, targets, payload)]

    def vote_of(vote, voter):
        return type(vote)(vote.epoch, vote.round, vote.block_id, voter, vote.signature)

    monkeypatch.setattr(Villain, "twist", slander)
    story = equivocating(play, submit)
    story.until(3_000)
    assert proven(story) <= {Charge(Offence.BLOCKS, 0)}, "while proofs are verified, nobody minds"
    monkeypatch.setattr(Judge, "require", lambda *_: None)
    with pytest.raises(ViolationError) as raised:
        equivocating(play, submit).until(3_000)
    assert raised.value.broken is Broken.ACCUSED
