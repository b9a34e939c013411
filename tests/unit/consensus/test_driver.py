"""Persist, sync, then release: the order that everything else rests on."""

from dataclasses import replace

import pytest

from heptad.consensus.driver import Driver
from heptad.consensus.errors import RecordDamagedError, RecordMissingError
from heptad.consensus.events import BatchReceived, TimerFired
from heptad.consensus.limits import Limits
from heptad.model.batch import encode_batch
from heptad.model.ids import MemberIndex


class Recorder:
    """Store, outbox and sink in one, that write down in which order they are called."""

    def __init__(self, store):
        self.calls = []
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write(self, persist):
        self.calls.append("write")
        self._store.write(persist)

    def send(self, targets, payload):
        self.calls.append("send")

    def committed(self, commits):
        self.calls.append("committed")

    def cosigned(self, cosignatures):
        self.calls.append("cosigned")

    def answered(self, outcomes):
        self.calls.append("answered")

    def observed(self, facts):
        self.calls.append("observed")


@pytest.fixture
def idle(make_world):
    return make_world(n=1)


@pytest.fixture
def recorder(idle):
    return Recorder(idle.replicas[0].store)


def make_driver(idle, recorder, *, is_new=True, cell=None, me=0):
    return Driver(
        cell=cell or idle.cell,
        me=MemberIndex(me),
        limits=Limits(),
        vote_signer=idle.vote_keys[0],
        cosigner=idle.cosign_keys[0],
        verifier=idle.verifier,
        store=recorder,
        outbox=recorder,
        sink=recorder,
        is_new=is_new,
    )


def batch_event(idle):
    return BatchReceived(1, encode_batch(idle.batch()))


def test_a_wave_writes_once_and_first(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    recorder.calls.clear()
    driver.run([batch_event(idle), TimerFired()], idle.now_ms)
    assert recorder.calls == ["write", "committed", "cosigned", "answered", "observed"]


def test_a_wave_with_nothing_to_keep_writes_nothing(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    recorder.calls.clear()
    driver.run([TimerFired()], idle.now_ms)
    driver.run([], idle.now_ms)
    assert recorder.calls == []


def test_nothing_is_released_before_it_is_written(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    wave = driver.begin([batch_event(idle)], idle.now_ms)
    with pytest.raises(AssertionError, match="before it is durable"):
        driver.release(wave)
    driver.write(wave)
    driver.release(wave)


def test_waves_do_not_overlap(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    wave = driver.begin([TimerFired()], idle.now_ms)
    with pytest.raises(AssertionError, match="has not been released"):
        driver.begin([TimerFired()], idle.now_ms)
    driver.write(wave)
    driver.release(wave)
    with pytest.raises(AssertionError, match="not the one in flight"):
        driver.release(wave)


def test_a_failed_write_lets_nothing_out_and_the_driver_is_dead(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    recorder.calls.clear()
    idle.replicas[0].store.fails = True
    with pytest.raises(OSError, match="disk failed"):
        driver.run([batch_event(idle)], idle.now_ms)
    assert recorder.calls == ["write"]
    idle.replicas[0].store.fails = False
    with pytest.raises(AssertionError):
        driver.run([TimerFired()], idle.now_ms)
    assert recorder.calls == ["write"]


def test_what_is_told_of_the_log_is_durable(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    shown = driver.status()
    wave = driver.begin([batch_event(idle)], idle.now_ms)
    assert driver.status() == shown
    driver.write(wave)
    assert driver.status().head.size > shown.head.size


def test_after_a_failed_write_nothing_new_is_told_of_the_log(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    shown = driver.status()
    idle.replicas[0].store.fails = True
    with pytest.raises(OSError, match="disk failed"):
        driver.run([batch_event(idle)], idle.now_ms)
    assert driver.status() == shown


def test_a_failed_write_is_not_tried_again(idle, recorder):
    """The store may have written it after all: only a restart knows what is durable."""
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    wave = driver.begin([batch_event(idle)], idle.now_ms)
    idle.replicas[0].store.fails = True
    with pytest.raises(OSError, match="disk failed"):
        driver.write(wave)
    idle.replicas[0].store.fails = False
    with pytest.raises(AssertionError, match="must stop"):
        driver.write(wave)
    with pytest.raises(AssertionError, match="before it is durable"):
        driver.release(wave)


def test_a_member_without_its_record_does_not_start_unless_it_is_new(idle, recorder):
    with pytest.raises(RecordMissingError, match="member 0 has no safety record"):
        make_driver(idle, recorder, is_new=False)
    make_driver(idle, recorder).start(idle.now_ms)
    make_driver(idle, recorder, is_new=False).start(idle.now_ms)


def test_a_record_exists_before_anything_is_signed(idle, recorder):
    make_driver(idle, recorder).start(idle.now_ms)
    assert idle.replicas[0].store.record is not None
    assert idle.vote_keys[0].signed == []


def test_the_disk_of_another_member_or_cell_is_refused(idle, make_world, recorder):
    make_driver(idle, recorder).start(idle.now_ms)
    world = make_world()
    with pytest.raises(RecordDamagedError):
        make_driver(idle, recorder, cell=world.cell, me=1)
    other = make_world(n=4, validators=1)
    with pytest.raises(RecordDamagedError, match="genesis"):
        make_driver(idle, recorder, cell=other.cell)


def test_a_record_of_another_epoch_is_refused(idle, recorder):
    make_driver(idle, recorder).start(idle.now_ms)
    with pytest.raises(RecordDamagedError, match="record of epoch 1, this is epoch 2"):
        make_driver(idle, recorder, cell=replace(idle.cell, epoch=2))


def test_what_was_committed_before_a_crash_is_not_told_again(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    driver.run([batch_event(idle)], idle.now_ms)
    recorder.calls.clear()
    again = make_driver(idle, recorder, is_new=False)
    again.start(idle.now_ms)
    again.run([batch_event(idle)], idle.now_ms)
    assert "committed" not in recorder.calls
    assert again.status().head.size == 3


def test_the_last_cosignature_is_made_again_after_a_restart(idle, recorder):
    driver = make_driver(idle, recorder)
    driver.start(idle.now_ms)
    driver.run([batch_event(idle)], idle.now_ms)
    recorder.calls.clear()
    make_driver(idle, recorder, is_new=False).start(idle.now_ms)
    assert recorder.calls == ["write", "cosigned"]
