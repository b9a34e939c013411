"""Too few replicas: known at once, and not mistaken for a validator that is cut off itself."""

import asyncio
from dataclasses import dataclass

from heptad_validator.dispatching.group_watch import GroupWatch


@dataclass
class Replica:
    """A link as the watch sees it."""

    is_connected: bool = True
    peers: int = 6
    asked: int = 0

    async def peers_connected(self, *, timeout_s):
        self.asked += 1
        return self.peers


def looked(replicas):
    watch = GroupWatch(replicas, quorum=5)
    asyncio.run(watch.look())
    return watch.shortage


def test_four_that_reach_only_each_other_are_too_few():
    replicas = [Replica(n < 4, peers=3) for n in range(7)]
    assert looked(replicas) == "4 of 7 replicas are up, 5 are needed"


def test_five_are_enough_and_nobody_is_asked():
    replicas = [Replica(n < 5, peers=0) for n in range(7)]
    assert looked(replicas) is None
    assert sum(replica.asked for replica in replicas) == 0


def test_a_validator_that_reaches_one_replica_of_a_whole_group_finds_no_shortage():
    assert looked([Replica(n == 3, peers=4) for n in range(7)]) is None


def test_a_validator_that_reaches_nobody_is_short():
    assert looked([Replica(False) for _ in range(7)]) == "0 of 7 replicas are up, 5 are needed"


def test_a_shortage_ends_when_five_are_back():
    replicas = [Replica(n < 4, peers=3) for n in range(7)]
    watch = GroupWatch(replicas, quorum=5)
    asyncio.run(watch.look())
    assert watch.shortage is not None
    replicas[4].is_connected = True
    assert watch.shortage is None
