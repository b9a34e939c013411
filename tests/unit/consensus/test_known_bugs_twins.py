"""Known bug 19: the counter-example to Fast-HotStuff that Twins found, eleven views long.

Nobody lies in it. A first version of Fast-HotStuff committed a block when a certified child and a
certified grandchild hung on it, whatever their views. The network then needs only to separate, view
after view, whoever has just made a certificate from all others: two branches grow side by side, of
which each is certified again before the other is known, and each commits its own. Two certified
blocks prove something only if their rounds are consecutive; every round between them is one in
which another branch may have got a quorum.

The same story, for this protocol and its leaders, on four real cores (q = 3). The partition that
applies to a message is that of its round, or of the round that the group has reached, if that is
later: so what is said again is heard once the network has changed.

    round   leader   apart        what happens
    1, 2    0        nobody       a first batch is committed
    3       0        nobody       all vote for A; only 0 learns of its certificate
    4       0        0            nobody hears 0; the others give up, not knowing of QC(A)
    5       1        nobody       all vote for B, a rival of A on the same parent; only 1 learns it
    6       2        1            whoever does not know QC(B) gives up; A gets a child, QC at 2 only
    7       3        2            whoever does not know that gives up; B gets a child, QC at 3 only
    8..11   3        nobody       everybody hears everybody

Source: Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021.
"""

import pytest

from heptad.consensus.core import adopting, voting
from heptad.consensus.messages import Accusation, Certificates, Proposal
from heptad.consensus.objects import CommitProof, Timeout, Vote

APART = {4: {0}, 6: {1}, 7: {2}}
"""Who is alone in which round; in all others nobody is."""


def round_of(message):
    """The round that a message belongs to: that of what it proposes, votes for, or gives up on."""
    match message:
        case Proposal(block, _):
            return block.round
        case Vote() | Timeout():
            return message.round
        case Certificates(high_qc, tc):
            return max(high_qc.round, tc.round if tc is not None else 0) + 1
        case _:
            return 0


class Story:
    """Four replicas, and a network that separates somebody in each round."""

    def __init__(self, make_world):
        self.world = make_world(n=4).start()
        self.phase = 0
        self.world.drop = self._drops

    def _drops(self, source, target, message):
        apart = APART.get(max(self.phase, round_of(message)), set())
        return not isinstance(message, Accusation) and (source in apart) != (target in apart)

    def status(self, index):
        return self.world.replicas[index].driver.status()

    def until(self, phase, condition):
        """The group is in this round until the condition holds, and it must come to hold."""
        self.phase = phase
        self.world.run(until=condition)
        assert condition(), f"round {phase}: {[self.status(index) for index in range(4)]}"

    def play(self):
        """Rounds 1 to 7."""
        world, status = self.world, self.status
        world.run()
        world.submit(world.batch(sequence=0))
        world.run()
        assert status(0).round == 3
        world.submit(world.batch(sequence=1))
        self.until(3, lambda: status(0).high_qc_round == 3)
        self.until(3, lambda: min(status(each).round for each in (1, 2, 3)) == 4)
        self.until(4, lambda: status(1).round == 5)
        self.until(5, lambda: status(1).high_qc_round == 5)
        self.until(5, lambda: status(2).round == 6)
        self.until(6, lambda: status(2).high_qc_round == 6)
        self.until(7, lambda: status(3).round == 7)
        self.until(7, lambda: status(3).high_qc_round == 7)

    def block(self, round_, proposer):
        """What a member has proposed in a round."""
        said = [message.block for *_, message in self.world.sent if isinstance(message, Proposal)]
        (block,) = {
            each.id: each for each in said if (each.round, each.proposer) == (round_, proposer)
        }.values()
        return block


@pytest.fixture
def story(make_world):
    return Story(make_world)


def test_bug_19_certified_blocks_of_rounds_apart_commit_nothing_and_nothing_forks(story):
    story.play()

    a, b = story.block(3, 0), story.block(5, 1)
    assert a.parent_id == b.parent_id
    assert story.block(6, 2).parent_id == a.id
    assert story.block(7, 3).parent_id == b.id
    assert all(len(replica.log()) == 1 for replica in story.world.replicas)


def test_bug_19_when_the_network_is_whole_again_one_branch_commits_everywhere(story):
    story.play()
    b = story.block(5, 1)

    story.phase = 8
    story.world.run()

    story.world.assert_agreement()
    for replica in story.world.replicas:
        assert replica.log() == [(1, 1, 0), (1, 1, 1)]
        assert b.id in {commit.block.id for commit in replica.commits}
        assert story.status(replica.index).round <= 11


def test_bug_19_without_the_rule_of_consecutive_rounds_the_same_network_forks_the_log(
    story, monkeypatch
):
    """The negative control: the rule left out, as Fast-HotStuff's first version had it."""

    def commit_by_parentage(parts, verified):
        tree = parts.chain.tree
        child = tree.get(verified.qc.block_id)
        parent = tree.get(child.block.parent_id) if child is not None else None
        if child is tree.root or parent is None or parent is tree.root:
            return
        adopting._commit(parts, parent, CommitProof(child.block, verified.qc))

    monkeypatch.setattr(adopting, "commit_by", commit_by_parentage)
    monkeypatch.setattr(voting, "commit_by", commit_by_parentage)
    story.play()

    committed = [
        {commit.block.id for commit in replica.commits} for replica in story.world.replicas
    ]
    a, b = story.block(3, 0).id, story.block(5, 1).id
    assert a in committed[2] - committed[3]
    assert b in committed[3] - committed[2]
    with pytest.raises(AssertionError):
        story.world.assert_agreement()
