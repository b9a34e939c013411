"""Links to the other replicas: bounded whatever a peer does, and never in the way."""

import asyncio

import pytest

from heptad.consensus.events import PeerConnected, PeerLost
from heptad.model.ids import MemberIndex
from heptad.model.problems import Problem
from heptad_replica import peers
from heptad_replica.peers import HELLO, PeerLink, PeerOutbox


@pytest.fixture(name="link")
def _link():
    link = PeerLink(
        member=MemberIndex(1), channel=None, offer=lambda _: True, queue_bytes_max=1_000
    )
    link.is_connected = True
    return link


def test_a_peer_that_reads_nothing_costs_bounded_bytes_and_loses_the_oldest(link):
    for number in range(100):
        link.put(b"%03d" % number + bytes(97))
    assert link._queued_bytes <= 1_000
    assert link.dropped == 90
    assert link._queue[0].startswith(b"090")


def test_a_peer_that_reads_nothing_costs_a_bounded_number_of_messages(link, monkeypatch):
    monkeypatch.setattr(peers, "QUEUE_MESSAGES_MAX", 5)
    for _ in range(50):
        link.put(b"x")
    assert len(link._queue) == 5


def test_what_is_sent_to_a_peer_that_is_away_is_dropped_and_counted(link):
    link.is_connected = False
    link.put(b"message")
    assert (len(link._queue), link.dropped) == (0, 1)


def test_the_outbox_gives_each_target_the_message_and_nobody_else(link):
    other = PeerLink(
        member=MemberIndex(2), channel=None, offer=lambda _: True, queue_bytes_max=1_000
    )
    other.is_connected = True
    outbox = PeerOutbox({MemberIndex(1): link, MemberIndex(2): other})
    outbox.send((MemberIndex(2),), b"for two")
    assert (list(link._queue), list(other._queue)) == ([], [b"for two"])
    assert outbox.connected == 2


class Stream:
    """A stream that takes what is written and then breaks."""

    def __init__(self, breaks_after: int) -> None:
        self.written = []
        self.breaks_after = breaks_after
        self.is_cancelled = False

    async def write(self, body: bytes) -> None:
        if len(self.written) == self.breaks_after:
            raise asyncio.InvalidStateError("the call is over")
        self.written.append(body)

    def cancel(self) -> None:
        self.is_cancelled = True


class Script:
    """A stream from which this can be read, and then nothing, or a fault."""

    def __init__(self, *bodies: bytes, fault: Exception | None = None) -> None:
        self.bodies = list(bodies)
        self.fault = fault

    async def read(self) -> bytes | None:
        if self.bodies:
            return self.bodies.pop(0)
        if self.fault is not None:
            raise self.fault
        return None

    async def write(self, body: bytes) -> None:
        assert body == HELLO

    def cancel(self) -> None:
        pass


def test_messages_are_written_in_order_and_a_broken_stream_is_let_go(link):
    async def story():
        stream = Stream(breaks_after=3)
        for number in range(5):
            link.put(b"%d" % number)
        await link._write(stream)
        assert stream.written == [b"0", b"1", b"2"]
        assert stream.is_cancelled

    asyncio.run(asyncio.wait_for(story(), 20))


FAULT = Problem("frame_malformed", "the stream broke")


@pytest.mark.parametrize("fault", [None, FAULT])
@pytest.mark.parametrize(
    ("bodies", "told"),
    [((), [PeerLost(1)]), ((HELLO, HELLO), [PeerConnected(1), PeerLost(1)])],
)
def test_a_stream_that_breaks_or_cannot_be_made_is_told_at_once(monkeypatch, bodies, told, fault):
    events = []
    link = PeerLink(
        member=MemberIndex(1), channel=None, offer=lambda event: not events.append(event),
        queue_bytes_max=1_000,
    )  # fmt: skip
    monkeypatch.setattr(peers, "open_frame_stream", lambda *_: Script(*bodies, fault=fault))
    asyncio.run(asyncio.wait_for(link._serve_one_stream(), 20))
    assert events == told
