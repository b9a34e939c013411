"""What a load sends and what it counts, on a target that answers as the test says."""

import asyncio

import pytest

from heptad.trials.load import LOST, Answer, Closed, Measured, Open, Paced, drive


class Target:
    """Answers at once, in the next turn of the event loop, or never."""

    def __init__(self, answer=lambda _: Answer(1)):
        self.answer = answer
        self.sent = []
        self.in_flight = 0
        self.in_flight_most = 0

    def send(self, item, done):
        self.sent.append(item)
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self.in_flight)
        answer = self.answer(item)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self._finish, done, answer)

    def _finish(self, done, answer):
        self.in_flight -= 1
        done(answer)


def run(load, items, target, **options) -> Measured:
    return asyncio.run(drive(load, items, target, **options))


@pytest.mark.parametrize("load", [Closed(4, 60.0), Open(10_000.0, 60.0), Paced(20, 0.0)])
def test_every_item_is_sent_once_and_in_order(load):
    target = Target()

    measured = run(load, list(range(20)), target)

    assert target.sent == list(range(20))
    assert measured.accepted == measured.latencies.count == 20
    assert measured.refused == {}


def test_a_closed_load_keeps_so_many_in_flight_and_no_more():
    target = Target()

    run(Closed(7, 60.0), list(range(100)), target)

    assert target.in_flight_most == 7


def test_a_paced_load_has_one_in_flight():
    target = Target()

    run(Paced(10, 0.0), list(range(10)), target)

    assert target.in_flight_most == 1


def test_an_open_load_does_not_wait_for_answers():
    """Nothing is answered until all has been sent: a closed load would never get so far."""
    waiting = []

    class Late(Target):
        def send(self, item, done):
            self.sent.append(item)
            waiting.append(done)
            if len(waiting) == 30:
                for each in waiting:
                    asyncio.get_running_loop().call_soon(each, Answer(1))

    measured = run(Open(100_000.0, 60.0), list(range(30)), Late())

    assert measured.accepted == 30


def test_latency_of_an_open_load_counts_from_when_a_request_was_due():
    """A sender that comes round late may not make the waiting disappear."""

    class Stalling(Target):
        def send(self, item, done):
            if not self.sent:
                started = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() < started + 0.05:
                    pass  # the event loop hangs, and with it the sender
            super().send(item, done)

    measured = run(Open(5_000.0, 60.0), list(range(50)), Stalling())

    # All fifty were due within some ten milliseconds: nearly each waited for the rest of the stall.
    assert measured.latencies.p50_ms > 20


def test_refusals_are_counted_by_their_codes_and_are_not_accepted():
    target = Target(lambda item: Answer(1) if item % 2 else Answer(0, ("overloaded",)))

    measured = run(Closed(4, 60.0), list(range(10)), target)

    assert measured.accepted == 5
    assert measured.refused == {"overloaded": 5}


def test_what_is_never_answered_is_counted_as_lost(monkeypatch):
    monkeypatch.setattr("heptad.trials.load.DRAIN_S_MAX", 0.01)
    target = Target(lambda item: Answer(1) if item else None)

    measured = run(Closed(4, 0.05), list(range(10)), target)

    assert measured.refused == {LOST: 1}
    assert measured.accepted == 9


def test_a_batch_counts_with_all_that_is_in_it():
    measured = run(
        Open(1_000.0, 60.0), [1, 2, 3], Target(lambda _: Answer(100)), operations_per_item=100
    )

    assert measured.accepted == 300
    assert measured.latencies.count == 3


def test_the_times_of_an_open_load_are_fixed_by_its_seed():
    from heptad.trials.load import _arrivals

    times = [_arrivals(Open(100.0, 5.0, seed), start_s=0.0, limit=10_000) for seed in (1, 1, 2)]

    assert times[0] == times[1] != times[2]
    assert 350 < len(times[0]) < 650
    assert all(0 < time < 5.0 for time in times[0])
