"""The loop around the driver: one wave at a time, nothing lost, nothing without bound."""

import asyncio

import pytest

from heptad.consensus.events import BatchReceived, MessageReceived, PeerConnected, TimerFired
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad_replica import loop as loop_module
from heptad_replica.clock import Clock
from heptad_replica.loop import DriverLoop, EventQueue


class Driver:
    """Notes the waves; its timer is what the test says."""

    def __init__(self) -> None:
        self.waves = []
        self.timer_at_ms = None
        self.failure = None
        self.wave_done = asyncio.Event()

    def start(self, now_ms) -> None:
        self.waves.append(["start"])

    def run(self, events, now_ms) -> None:
        if self.failure is not None:
            raise self.failure
        self.waves.append(list(events))
        if any(isinstance(event, TimerFired) for event in events):
            self.timer_at_ms = None
        self.wave_done.set()


def message(number: int) -> MessageReceived:
    return MessageReceived(MemberIndex(1), b"%d" % number)


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


def test_what_has_arrived_meanwhile_is_one_wave_in_its_order():
    async def story():
        driver, events = Driver(), EventQueue()
        shell = DriverLoop(driver=driver, clock=Clock(), events=events)
        for number in range(5):
            assert events.offer(message(number))
        task = asyncio.ensure_future(shell.run())
        await driver.wave_done.wait()
        shell.stop()
        await task
        assert driver.waves == [[message(number) for number in range(5)]]

    run(story())


def test_a_long_queue_is_taken_in_waves_of_bounded_length(monkeypatch):
    async def story():
        monkeypatch.setattr(loop_module, "WAVE_EVENTS_MAX", 4)
        driver, events = Driver(), EventQueue()
        shell = DriverLoop(driver=driver, clock=Clock(), events=events)
        for number in range(10):
            events.offer(message(number))
        task = asyncio.ensure_future(shell.run())
        while sum(map(len, driver.waves)) < 10:  # noqa: ASYNC110  a turn of the loop, not a pause
            await asyncio.sleep(0)
        shell.stop()
        await task
        assert [len(wave) for wave in driver.waves] == [4, 4, 2]

    run(story())


def test_the_timer_fires_when_it_is_due_and_once():
    async def story():
        driver, events, clock = Driver(), EventQueue(), Clock()
        driver.timer_at_ms = clock.now_ms() + 5
        shell = DriverLoop(driver=driver, clock=clock, events=events)
        task = asyncio.ensure_future(shell.run())
        await driver.wave_done.wait()
        shell.stop()
        await task
        assert driver.waves == [[TimerFired()]]

    run(story())


def test_an_idle_replica_runs_no_wave():
    async def story():
        driver = Driver()
        shell = DriverLoop(driver=driver, clock=Clock(), events=EventQueue())
        task = asyncio.ensure_future(shell.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert driver.waves == []
        shell.stop()
        await task

    run(story())


def test_a_failed_write_ends_the_loop_with_its_error():
    async def story():
        driver, events = Driver(), EventQueue()
        driver.failure = OSError("no space left on device")
        shell = DriverLoop(driver=driver, clock=Clock(), events=events)
        events.offer(message(1))
        with pytest.raises(OSError, match="no space left"):
            await shell.run()

    run(story())


def test_the_queue_is_bounded_by_count(monkeypatch):
    async def story():
        monkeypatch.setattr(loop_module, "EVENTS_PER_SENDER_MAX", 3)
        events = EventQueue()
        assert [events.offer(message(n)) for n in range(5)] == [True, True, True, False, False]
        assert len(events.take(10)) == 3
        assert events.offer(message(9))

    run(story())


def test_the_queue_is_bounded_by_bytes(monkeypatch):
    async def story():
        monkeypatch.setattr(loop_module, "QUEUED_BYTES_PER_SENDER_MAX", 100)
        events = EventQueue()
        batch = BatchReceived(ValidatorNumber(1), bytes(60))
        assert [events.offer(batch), events.offer(batch)] == [True, False]
        assert events.offer(PeerConnected(MemberIndex(2)))
        events.take(2)
        assert events.offer(batch)

    run(story())
