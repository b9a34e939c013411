"""When a replica may jump: the rule alone, on verified snapshots."""

from itertools import pairwise

import pytest

from heptad.consensus.objects import CommitProof
from heptad.consensus.snapshots import SnapshotOffers
from heptad.consensus.verified import SEAL, VerifiedSnapshot

PEERS, F = 6, 2


@pytest.fixture
def idle(make_world):
    return make_world()


@pytest.fixture
def offers():
    return SnapshotOffers(peers_count=PEERS, f=F)


def snapshots(idle, count):
    """Verified snapshots of the first blocks of one chain."""
    chain = idle.chain(range(1, count + 2))
    made = []
    for verified, child in pairwise(chain):
        proof = CommitProof(child.block, idle.qc(child.block.round, child.block.id))
        commit = idle.certificates().commit(proof)
        made.append(VerifiedSnapshot(verified.block, verified.state, commit, SEAL))
    return made


def test_nobody_jumps_before_everybody_was_asked(idle, offers):
    (snapshot,) = snapshots(idle, 1)
    for sender in range(PEERS):
        offers.add(snapshot, root=b"root", sender=sender)
    assert offers.best(root=b"root", asked=PEERS - 1) is None
    assert offers.best(root=b"root", asked=PEERS) is snapshot


def test_more_than_f_must_say_that_the_blocks_are_gone_or_all_be_asked_twice(idle, offers):
    (snapshot,) = snapshots(idle, 1)
    for sender in (0, 0, 1):
        offers.add(snapshot, root=b"root", sender=sender)
    assert offers.best(root=b"root", asked=2 * PEERS - 1) is None
    assert offers.best(root=b"root", asked=2 * PEERS) is snapshot
    offers.add(snapshot, root=b"root", sender=2)
    assert offers.best(root=b"root", asked=PEERS) is snapshot


def test_an_offer_counts_only_for_the_root_that_it_goes_on_from(idle, offers):
    low, high = snapshots(idle, 2)
    for sender in range(3):
        offers.add(high, root=b"old", sender=sender)
    assert offers.best(root=b"new", asked=PEERS) is None
    offers.add(low, root=b"new", sender=4)
    assert offers.best(root=b"new", asked=PEERS) is None
    assert offers.best(root=b"new", asked=2 * PEERS) is low


def test_of_several_offers_the_highest_is_taken(idle, offers):
    low, middle, high = snapshots(idle, 3)
    for sender, snapshot in enumerate((middle, high, low)):
        offers.add(snapshot, root=b"root", sender=sender)
    assert offers.best(root=b"root", asked=PEERS) is high
