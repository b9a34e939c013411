"""The replica's doors: what validators and ledgers are told, and what a slow or rude one costs."""

import asyncio
from dataclasses import replace

import pytest
from spans import Traced, context

from heptad.consensus.events import BatchReceived
from heptad.consensus.objects import BatchId, Cosignature, LogHead
from heptad.consensus.ready import BatchOutcome, BatchVerdict, Persist
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad.wire import streams
from heptad_replica.followers import (
    COSIGNATURES_QUEUED_MAX,
    EVIDENCE_PER_STREAM_MAX,
    FollowerDoor,
)
from heptad_replica.storage import LmdbStore
from heptad_replica.tracing import BatchTraces
from heptad_replica.validators import ValidatorDoor

VALIDATOR = Identity("cell.test", Role.VALIDATOR, "validator-1")
OTHER = Identity("cell.test", Role.VALIDATOR, "validator-2")
LEDGER = Identity("cell.test", Role.LEDGER, "ledger-1")


class Stream:
    """The replica's end of a stream whose other end is this test."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.outbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes | None:
        return await self.inbox.get()

    async def write(self, body: bytes) -> None:
        self.outbox.put_nowait(body)


@pytest.fixture(name="store")
def _store(tmp_path):
    store = LmdbStore(tmp_path / "store", map_bytes=1 << 28)
    yield store
    store.close()


class Served:
    """A door's coroutine running beside the test."""

    def __init__(self, door, caller) -> None:
        self.stream = Stream()
        self.door = door
        self.task = asyncio.ensure_future(door.serve(self.stream, caller))

    def send(self, body: bytes) -> None:
        self.stream.inbox.put_nowait(body)

    async def told(self, decode):
        return decode(await self.stream.outbox.get())

    async def end(self) -> None:
        self.stream.inbox.put_nowait(None)
        await self.task


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


def follow(height: int, *, batches: bool) -> bytes:
    return streams.encode_from_ledger(streams.FollowFrame(height, batches))


def validator_door(store, offered=None, *, takes=True, last=None, room=True) -> ValidatorDoor:
    events = [] if offered is None else offered

    def offer(event) -> bool:
        if takes:
            events.append(event)
        return takes

    return ValidatorDoor(
        store=store, offer=offer, last_committed=(last or {}).get, has_room=lambda: room
    )


# Validators.


def test_a_validator_is_first_told_where_it_stands(store, chain):
    async def story():
        door = validator_door(store)
        fresh = Served(door, VALIDATOR)
        assert await fresh.told(streams.decode_to_validator) == streams.StandingFrame(False, 0, 0)
        await fresh.end()
        known = Served(validator_door(store, last={1: BatchId(1, 1, 2)}), VALIDATOR)
        assert await known.told(streams.decode_to_validator) == streams.StandingFrame(True, 1, 2)
        await known.end()

    run(story())


def test_a_batch_becomes_an_event_in_the_name_of_the_certificate(store, chain):
    async def story():
        events = []
        served = Served(validator_door(store, events), OTHER)
        _, encoded = chain.batch(1)
        served.send(streams.encode_batch(streams.BatchFrame(encoded)))
        await served.end()
        assert events == [BatchReceived(2, encoded)]

    run(story())


def test_a_batch_that_finds_the_queue_full_is_refused_as_overloaded(store, chain):
    async def story():
        served = Served(validator_door(store, takes=False), VALIDATOR)
        await served.told(streams.decode_to_validator)
        ref, encoded = chain.batch(1)
        served.send(streams.encode_batch(streams.BatchFrame(encoded)))
        refused = await served.told(streams.decode_to_validator)
        assert refused == streams.RefusedFrame(1, ref.sequence, "overloaded")
        await served.end()

    run(story())


def test_rubbish_from_a_validator_ends_its_stream_with_a_code(store):
    async def story():
        served = Served(validator_door(store), VALIDATOR)
        served.send(b"\xffrubbish")
        with pytest.raises(Problem) as refusal:
            await served.task
        assert refusal.value.code == "frame_malformed"

    run(story())


def test_a_notice_goes_to_the_validator_of_the_batch_alone(store, chain):
    async def story():
        door = validator_door(store)
        mine, others = Served(door, VALIDATOR), Served(door, OTHER)
        for served in (mine, others):
            await served.told(streams.decode_to_validator)
        wave = chain.grow(2)
        store.write(wave)
        door.committed(wave.commits)
        notice = await mine.told(streams.decode_to_validator)
        assert [row.sequence for row in notice.batches] == [0, 1]
        assert [row.first_index for row in notice.batches] == [0, 3]
        assert notice.batches[1].block_id == wave.commits[1].block.id
        await mine.end()
        await others.end()
        assert others.stream.outbox.empty()

    run(story())


def test_a_batch_sent_again_after_its_commit_is_told_the_same_place(store, chain):
    async def story():
        door = validator_door(store)
        wave = chain.grow(2)
        store.write(wave)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        door.committed(wave.commits)
        first = await served.told(streams.decode_to_validator)
        door.answered([BatchOutcome(1, BatchId(1, 1, 1), BatchVerdict.COMMITTED, "")])
        again = await served.told(streams.decode_to_validator)
        assert again.batches == (first.batches[1],)
        await served.end()

    run(story())


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (BatchVerdict.STALE, "incarnation_stale"),
        (BatchVerdict.OVERLOADED, "overloaded"),
        (BatchVerdict.INVALID, "batch_invalid"),
    ],
)
def test_a_verdict_of_the_core_reaches_the_validator_as_its_code(store, verdict, code):
    async def story():
        door = validator_door(store)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        door.answered([BatchOutcome(1, BatchId(1, 7, 8), verdict, "")])
        assert await served.told(streams.decode_to_validator) == streams.RefusedFrame(7, 8, code)
        await served.end()

    run(story())


def test_a_batch_that_could_not_be_read_is_refused_without_a_number(store):
    async def story():
        door = validator_door(store)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        door.answered([BatchOutcome(1, None, BatchVerdict.INVALID, "")])
        refused = await served.told(streams.decode_to_validator)
        assert refused == streams.RefusedFrame(0, 0, "batch_invalid")
        await served.end()

    run(story())


def test_a_disk_full_of_what_no_ledger_has_acknowledged_takes_no_new_batch(store, chain):
    """But whoever only asks again where a batch stands is still answered."""

    async def story():
        events = []
        old, new = (chain.batch(1)[1] for _ in range(2))
        door = validator_door(store, events, last={1: BatchId(1, 1, 0)}, room=False)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        served.send(streams.encode_batch(streams.BatchFrame(new)))
        refused = await served.told(streams.decode_to_validator)
        assert refused == streams.RefusedFrame(1, 1, "overloaded")
        served.send(streams.encode_batch(streams.BatchFrame(old)))
        await served.end()
        assert events == [BatchReceived(1, old)]

    run(story())


def test_a_committed_batch_whose_place_is_gone_is_never_called_stale(store, chain):
    """A validator that f + 1 replicas call stale gives up its name: it would end for nothing."""

    async def story():
        store.write(chain.grow(3))
        store.prune(height_max=1, size_max=99, retention_bytes=0)
        served = Served(validator_door(store), VALIDATOR)
        await served.told(streams.decode_to_validator)
        door_told = served.stream.outbox
        served.door.answered([BatchOutcome(1, BatchId(1, 1, 0), BatchVerdict.COMMITTED, "")])
        assert door_told.empty()
        served.door.answered([BatchOutcome(1, BatchId(1, 1, 1), BatchVerdict.COMMITTED, "")])
        row = (await served.told(streams.decode_to_validator)).batches[0]
        assert row.sequence == 1
        await served.end()

    run(story())


def test_a_validator_that_reads_nothing_does_not_grow_the_replica(store, chain):
    async def story():
        door = validator_door(store)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        wave = chain.grow(1)
        for _ in range(5_000):
            door.committed(wave.commits)
        (queue,) = door._streams[1]
        assert queue.qsize() <= queue.maxsize
        await served.end()

    run(story())


def test_the_traces_beside_a_batch_are_followed_and_change_no_byte_of_it(store, chain):
    async def story():
        events, traced = [], Traced()
        traces = BatchTraces(traced.tracer)
        door = ValidatorDoor(
            store=store, offer=lambda event: events.append(event) or True,
            last_committed={}.get, traces=traces,
        )  # fmt: skip
        served = Served(door, VALIDATOR)
        _, encoded = chain.batch(1)
        served.send(streams.encode_batch(streams.BatchFrame(encoded, context(7))))
        await served.end()
        assert events == [BatchReceived(1, encoded)]
        assert len(traces) == 1

    run(story())


# Ledgers.


def test_a_ledger_that_wants_batches_is_told_of_the_traces_of_the_block_that_follows(store, chain):
    async def story():
        traces = BatchTraces(Traced().tracer)
        door = FollowerDoor(store=store, applied=lambda _: None, traces=traces)
        wave = chain.grow(1)
        traces.received(ValidatorNumber(1), wave.batches[0][1], context(7))
        store.write(wave)
        traces.committed(wave.commits)
        served = Served(door, LEDGER)
        served.send(follow(1, batches=False))
        assert (await served.told(streams.decode_to_ledger)).batches == ()
        served.send(follow(1, batches=True))
        told = await served.told(streams.decode_to_ledger)
        assert told == streams.TracesFrame(1, traces.of_height(1))
        assert (await served.told(streams.decode_to_ledger)).height == 1
        await served.end()

    run(story())


def test_a_ledger_gets_every_block_once_in_order_and_then_the_live_ones(store, chain):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        store.write(chain.grow(3))
        served = Served(door, LEDGER)
        served.send(follow(2, batches=False))
        heights = [(await served.told(streams.decode_to_ledger)).height for _ in range(2)]
        wave = chain.grow(2)
        store.write(wave)
        door.committed(wave.commits)
        heights += [(await served.told(streams.decode_to_ledger)).height for _ in range(2)]
        assert heights == [2, 3, 4, 5]
        await served.end()
        assert served.stream.outbox.empty()

    run(story())


def test_batches_come_only_to_a_ledger_that_wants_them(store, chain):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        wave = chain.grow(1)
        store.write(wave)
        served = Served(door, LEDGER)
        served.send(follow(1, batches=False))
        assert (await served.told(streams.decode_to_ledger)).batches == ()
        served.send(follow(1, batches=True))
        frame = await served.told(streams.decode_to_ledger)
        assert frame.batches == (wave.batches[0][1],)
        assert frame.block == wave.commits[0].block.encoded
        await served.end()

    run(story())


def test_a_ledger_that_asks_for_pruned_batches_is_refused_and_not_served_half(store, chain):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        store.write(chain.grow(3))
        store.prune(height_max=1, size_max=99, retention_bytes=0)
        served = Served(door, LEDGER)
        served.send(follow(1, batches=True))
        with pytest.raises(Problem) as refusal:
            await served.task
        assert refusal.value.code == "not_found"

    run(story())


def test_a_ledger_that_wants_headers_only_goes_on_behind_what_is_gone(store, chain):
    """Its stream stays open for the cosignatures, wherever this replica was before."""

    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        store.write(chain.grow(2))
        store.prune(height_max=1, size_max=99, retention_bytes=0)
        skipped = [chain.block() for _ in range(4)]
        jump = replace(chain.commit(skipped[-1]), is_jump=True)
        store.write(Persist(commits=(jump,)))
        served = Served(door, LEDGER)
        served.send(follow(1, batches=False))
        heights = [(await served.told(streams.decode_to_ledger)).height for _ in range(2)]
        assert heights == [2, 6]
        await served.end()

    run(story())


def test_a_ledger_that_wants_batches_a_replica_has_jumped_over_is_refused(store, chain):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        store.write(chain.grow(2))
        skipped = [chain.block() for _ in range(4)]
        store.write(Persist(commits=(replace(chain.commit(skipped[-1]), is_jump=True),)))
        served = Served(door, LEDGER)
        served.send(follow(2, batches=True))
        assert (await served.told(streams.decode_to_ledger)).height == 2
        with pytest.raises(Problem) as refusal:
            await served.task
        assert refusal.value.code == "not_found"

    run(story())


def test_a_ledger_that_connects_is_told_the_last_cosignature(store):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        for size in (5, 9):
            door.cosigned([Cosignature(MemberIndex(0), LogHead(size, bytes(32)), 1, bytes(64))])
        served = Served(door, LEDGER)
        assert (await served.told(streams.decode_to_ledger)).size == 9
        await served.end()

    run(story())


def test_a_ledger_that_reads_nothing_does_not_grow_the_replica(store):
    async def story():
        door = FollowerDoor(store=store, applied=lambda _: None)
        served = Served(door, LEDGER)
        for size in range(2_000):
            door.cosigned([Cosignature(MemberIndex(0), LogHead(size, bytes(32)), 1, bytes(64))])
            (follower,) = door._followers or {None}
            if follower is not None:
                assert len(follower.cosignatures) <= COSIGNATURES_QUEUED_MAX
            else:
                await asyncio.sleep(0)
        await served.end()

    run(story())


def test_evidence_that_a_ledger_hands_on_is_passed_on_and_bounded(store):
    async def story():
        heard = []
        door = FollowerDoor(store=store, applied=lambda _: None, accused=heard.append)
        served = Served(door, LEDGER)
        for number in range(EVIDENCE_PER_STREAM_MAX + 9):
            served.send(streams.encode_from_ledger(streams.EvidenceFrame(b"%d" % number)))
        await served.end()
        assert heard == [b"%d" % number for number in range(EVIDENCE_PER_STREAM_MAX)]

    run(story())


def test_what_a_ledger_has_applied_is_passed_on(store):
    async def story():
        applied = []
        door = FollowerDoor(store=store, applied=applied.append)
        served = Served(door, LEDGER)
        served.send(streams.encode_from_ledger(streams.AppliedFrame(7, 100)))
        await served.end()
        assert applied == [streams.AppliedFrame(7, 100)]

    run(story())


def test_rubbish_from_a_ledger_ends_its_stream_with_a_code(store):
    async def story():
        served = Served(FollowerDoor(store=store, applied=lambda _: None), LEDGER)
        served.send(b"\x31not a ledger's frame")
        with pytest.raises(Problem) as refusal:
            await served.task
        assert refusal.value.code == "frame_malformed"

    run(story())


def test_a_dropped_stream_leaves_nothing_behind(store):
    async def story():
        ledgers = FollowerDoor(store=store, applied=lambda _: None)
        validators = validator_door(store)
        served = [Served(ledgers, LEDGER), Served(validators, VALIDATOR)]
        await asyncio.sleep(0)
        assert (ledgers.connected, validators.connected) == (1, 1)
        for one in served:
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)
        assert (ledgers.connected, validators.connected) == (0, 0)

    run(story())


def test_an_empty_wave_tells_nobody_anything(store):
    async def story():
        door = validator_door(store)
        served = Served(door, VALIDATOR)
        await served.told(streams.decode_to_validator)
        door.committed(Persist().commits)
        door.answered([BatchOutcome(1, BatchId(1, 0, 0), BatchVerdict.ACCEPTED, "")])
        await served.end()
        assert served.stream.outbox.empty()

    run(story())
