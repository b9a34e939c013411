"""A member that floods, dials without end or never stops talking waits; nobody else does."""

import asyncio

import grpc
import pytest

from heptad.consensus.events import BatchReceived, MessageReceived, PeerConnected, PeerLost
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.runtime.identity import Identity, Role
from heptad.runtime.pacing import Pace, Pacer
from heptad.wire.streams import AppliedFrame, encode_from_ledger
from heptad_replica import followers, peer_door, peers
from heptad_replica import loop as loop_module
from heptad_replica.followers import FollowerDoor
from heptad_replica.loop import EventQueue
from heptad_replica.peer_door import PeerDoor
from heptad_replica.peers import PeerLink

EVIL = Identity("cell.test", Role.REPLICA, "replica-6")
LEDGER = Identity("cell.test", Role.LEDGER, "ledger-1")


def message(sender: int, number: int = 0, size: int = 1) -> MessageReceived:
    return MessageReceived(MemberIndex(sender), bytes([number]) * size)


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


# The queue.


def test_a_flood_of_one_member_takes_no_room_of_the_others():
    events = EventQueue()
    while events.offer(message(5)):
        pass
    assert events.offer(message(1))
    assert events.offer(BatchReceived(ValidatorNumber(5), b"x"))
    assert events.offer(PeerConnected(MemberIndex(5)))


def test_messages_do_not_wait_behind_a_flood_of_somebody_else():
    events = EventQueue()
    for number in range(200):
        events.offer(message(5, number))
    for number in range(3):
        events.offer(message(1, number))
    wave = events.take(512)
    assert [event.payload[0] for event in wave[:6]] == [0, 0, 1, 1, 2, 2]
    assert len([event for event in wave if event.sender == 5]) == 128
    assert [event.payload[0] for event in wave if event.sender == 1] == [0, 1, 2]
    assert len(events) == 72


def test_each_senders_events_come_out_in_their_order():
    events = EventQueue()
    for number in range(100):
        events.offer(message(number % 3, number))
    out = []
    while len(events):
        out += events.take(7)
    for sender in range(3):
        numbers = [event.payload[0] for event in out if event.sender == sender]
        assert numbers == list(range(sender, 100, 3))


def test_a_share_is_bounded_by_bytes_and_one_event_always_fits(monkeypatch):
    monkeypatch.setattr(loop_module, "QUEUED_BYTES_PER_SENDER_MAX", 100)
    events = EventQueue()
    assert events.offer(message(5, size=500))
    assert not events.offer(message(5))
    assert events.offer(message(4, size=60))
    assert not events.offer(message(4, size=60))
    events.take(10)
    assert events.offer(message(4, size=60))


def test_a_sender_whose_share_is_full_waits_until_there_is_room():
    async def story():
        events = EventQueue()
        while events.offer(message(5)):
            pass
        waiting = asyncio.ensure_future(events.put(message(5, 77)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        events.take(1)
        await waiting
        while len(events):
            last = events.take(512)[-1]
        assert last == message(5, 77)

    run(story())


# The pace.


def test_a_caller_within_its_pace_never_waits_and_one_beyond_it_does():
    pacer = Pacer(Pace(messages_per_s=10, bytes_per_s=1_000, burst_s=1.0), now_s=0.0)
    assert [pacer.wait_s(1, 0.0) for _ in range(10)] == [0.0] * 10
    assert pacer.wait_s(1, 0.0) == pytest.approx(0.1)
    assert pacer.wait_s(1, 0.2) == pytest.approx(0.0)
    assert pacer.wait_s(500, 0.2) == pytest.approx(0.5)
    assert pacer.wait_s(1, 1_000.0) == 0.0


def test_rest_earns_no_more_than_one_burst():
    pacer = Pacer(Pace(messages_per_s=10, bytes_per_s=1_000, burst_s=1.0), now_s=0.0)
    pacer.wait_s(1, 1_000.0)
    waits = [pacer.wait_s(1, 1_000.0) for _ in range(20)]
    assert waits[8] == 0.0
    assert waits[19] == pytest.approx(1.1)


# The door.


class Stream:
    """The replica's end of a stream that brings the same message for ever."""

    def __init__(self, payload=b"flood", count=None) -> None:
        self.payload = payload
        self.left = count
        self.reads = 0
        self.written = []

    async def read(self) -> bytes | None:
        await asyncio.sleep(0)
        if self.left is not None:
            if not self.left:
                return None
            self.left -= 1
        self.reads += 1
        return self.payload

    async def write(self, body: bytes) -> None:
        self.written.append(body)


def test_a_flood_is_read_no_faster_than_its_pace(monkeypatch):
    """The clock stands still: what was read is the burst, and the rest stays at its sender."""
    monkeypatch.setattr(peer_door, "PACE", Pace(messages_per_s=10, bytes_per_s=1 << 20, burst_s=2))

    async def story():
        events, stream = EventQueue(), Stream()
        door = PeerDoor(events=events, clock_s=lambda: 0.0)
        task = asyncio.ensure_future(door.serve(stream, EVIL))
        while stream.reads < 21:  # noqa: ASYNC110  a turn of the loop, not a pause
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert stream.reads == 21
        assert len(events) == 21
        task.cancel()

    run(story())


def test_a_ledgers_flood_is_read_no_faster_than_its_pace(monkeypatch):
    """On all of its streams together, for each of its words has the store looked through."""
    monkeypatch.setattr(followers, "PACE", Pace(messages_per_s=10, bytes_per_s=1 << 20, burst_s=2))

    async def story():
        applied, word = [], encode_from_ledger(AppliedFrame(1, 1))
        door = FollowerDoor(store=None, applied=applied.append, clock_s=lambda: 0.0)
        streams = [Stream(payload=word) for _ in range(2)]
        tasks = [asyncio.ensure_future(door.serve(each, LEDGER)) for each in streams]
        while len(applied) < 22:  # noqa: ASYNC110  a turn of the loop, not a pause
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(applied) == 22
        for task in tasks:
            task.cancel()

    run(story())


def test_a_flood_is_read_no_further_than_its_share_of_the_queue(monkeypatch):
    monkeypatch.setattr(loop_module, "EVENTS_PER_SENDER_MAX", 5)

    async def story():
        events, stream = EventQueue(), Stream()
        task = asyncio.ensure_future(PeerDoor(events=events).serve(stream, EVIL))
        for _ in range(200):
            await asyncio.sleep(0)
        assert stream.reads == 6
        task.cancel()

    run(story())


def test_a_members_second_stream_ends_its_first(monkeypatch):
    monkeypatch.setattr(loop_module, "EVENTS_PER_SENDER_MAX", 1)

    async def story():
        events = EventQueue()
        door = PeerDoor(events=events)
        first = asyncio.ensure_future(door.serve(Stream(), EVIL))
        for _ in range(10):
            await asyncio.sleep(0)
        second = asyncio.ensure_future(door.serve(Stream(), EVIL))
        await first
        assert PeerLost(MemberIndex(5)) not in events.take(9)
        assert not second.done()
        assert len(door._reading) == 1
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await asyncio.sleep(0)
        assert door._reading == {}

    run(story())


def test_a_stream_that_ends_is_forgotten_and_what_it_said_is_queued():
    async def story():
        events = EventQueue()
        door = PeerDoor(events=events)
        stream = Stream(b"said", count=3)
        await door.serve(stream, EVIL)
        assert stream.written == [peers.HELLO]
        said = [MessageReceived(MemberIndex(5), b"said")] * 3
        assert events.take(9) == [*said, PeerLost(MemberIndex(5))]
        assert door._reading == {}

    run(story())


def test_whoever_dials_without_end_waits_for_its_turn(monkeypatch):
    """Twenty dials at once are let pass, as after a bad network; the next one waits."""

    async def story():
        door = PeerDoor(events=EventQueue(), clock_s=lambda: 0.0)
        for _ in range(20):
            await door.serve(Stream(count=0), EVIL)
        slept = []

        async def sleep(duration_s):
            slept.append(duration_s)

        monkeypatch.setattr(peer_door.asyncio, "sleep", sleep)
        await door.serve(Stream(count=0), EVIL)
        assert slept[0] == pytest.approx(0.5)

    run(story())


# The half of our own streams on which nothing is said.


def test_a_peer_that_talks_on_our_own_stream_is_hung_up_on(monkeypatch):
    class Rude:
        """Greets and then never stops."""

        def __init__(self) -> None:
            self.reads = 0
            self.is_cancelled = False

        async def read(self) -> bytes:
            self.reads += 1
            return b"" if self.reads == 1 else b"chatter"

        def cancel(self) -> None:
            self.is_cancelled = True

        async def write(self, body: bytes) -> None:
            raise grpc.aio.UsageError

    async def story():
        stream = Rude()
        monkeypatch.setattr(peers, "open_frame_stream", lambda *_: stream)
        link = PeerLink(
            member=MemberIndex(1), channel=None, offer=lambda _: True, queue_bytes_max=1_000
        )
        assert not await link._serve_one_stream()
        assert stream.is_cancelled
        assert stream.reads == 2

    run(story())
