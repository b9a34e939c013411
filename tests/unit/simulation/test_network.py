"""The simulated network does to messages what its weather and cuts say, and nothing else."""

import pytest

from heptad.simulation.chance import stream
from heptad.simulation.clock import Timeline
from heptad.simulation.network import Network, NodeId, Weather

ONE, TWO = NodeId(1), NodeId(2)


class Ear:
    def __init__(self):
        self.heard = []

    def receive(self, source, parcel):
        self.heard.append((source, parcel))


class Wires:
    """Two nodes, and everything that arrives at the second."""

    def __init__(self, weather=None, seed=1):
        self.timeline = Timeline()
        self.network = Network(self.timeline, stream(seed, "network"), weather or Weather())
        self.ear = Ear()
        self.network.attach(ONE, Ear())
        self.network.attach(TWO, self.ear)

    def send(self, *parcels):
        for parcel in parcels:
            self.network.send(ONE, TWO, parcel, self.timeline.now_us)

    def settle(self):
        self.timeline.run(10**12, count_max=10**6)
        return [parcel for _, parcel in self.ear.heard]


def numbers(count):
    return [b"%03d" % number for number in range(count)]


def test_in_fair_weather_everything_arrives_once_and_in_order():
    wires = Wires(Weather(delay_us_min=1, delay_us_max=50_000))
    wires.send(*numbers(100))

    assert wires.settle() == numbers(100)


def test_a_message_takes_as_long_as_the_weather_says():
    wires = Wires(Weather(delay_us_min=700, delay_us_max=900))
    wires.send(b"x")
    wires.settle()

    assert 700 <= wires.timeline.now_us < 900


def test_loss_loses_about_its_share():
    wires = Wires(Weather(loss=0.5))
    wires.send(*numbers(400))

    assert 140 < len(wires.settle()) < 260
    assert wires.network.counts["lost"] == 400 - len(wires.ear.heard)


def test_duplication_delivers_some_messages_twice():
    wires = Wires(Weather(duplication=0.5))
    wires.send(*numbers(100))

    assert len(wires.settle()) == 100 + wires.network.counts["duplicated"] > 120


def test_reordering_lets_messages_overtake_each_other():
    wires = Wires(Weather(delay_us_min=1, delay_us_max=50_000, reordering=0.5))
    wires.send(*numbers(100))
    heard = wires.settle()

    assert heard != numbers(100)
    assert sorted(heard) == numbers(100)


def test_stragglers_arrive_later_than_all_delays():
    wires = Wires(Weather(straggle=1.0, straggle_us_max=10**9))
    wires.send(b"x")
    wires.settle()

    assert wires.timeline.now_us > 2_000


def test_a_cut_works_in_one_direction_only():
    wires = Wires()
    wires.network.cut(TWO, ONE, holds=False)
    wires.send(b"x")

    assert wires.settle() == [b"x"]
    assert wires.network.is_cut(TWO, ONE)
    assert not wires.network.is_cut(ONE, TWO)


@pytest.mark.parametrize(("holds", "arrives"), [(False, []), (True, [b"old"])])
def test_what_meets_a_cut_is_lost_or_held_until_it_heals(holds, arrives):
    wires = Wires()
    wires.network.cut(ONE, TWO, holds=holds)
    wires.send(b"old")
    assert wires.settle() == []

    assert wires.network.heal() == [(ONE, TWO)]
    assert wires.settle() == arrives


def test_a_link_may_have_a_weather_of_its_own():
    wires = Wires()
    wires.network.set_local_weather(ONE, TWO, Weather(loss=1.0))
    wires.send(b"x")
    assert wires.settle() == []

    wires.network.clear_up(Weather())
    wires.send(b"y")
    assert wires.settle() == [b"y"]


def test_a_verdict_keeps_messages_from_passing():
    wires = Wires()
    wires.network.verdicts.append(lambda _source, _target, parcel: parcel != b"no")
    wires.send(b"no", b"yes")

    assert wires.settle() == [b"yes"]
    assert wires.network.counts["ruled_out"] == 1


def test_the_fingerprint_tells_histories_apart():
    def fingerprint(*parcels):
        wires = Wires()
        wires.send(*parcels)
        return wires.network.fingerprint

    assert fingerprint(b"a", b"b") == fingerprint(b"a", b"b")
    assert fingerprint(b"a", b"b") != fingerprint(b"b", b"a")
