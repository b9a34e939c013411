"""The door for validators: batches in, commit notices out.

A notice goes to every stream of the validator that made the batch. It may be lost with its stream;
then the validator sends the batch again and is told where it stands, from the store.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import grpc

from heptad.consensus.codec import decode_block
from heptad.consensus.events import BatchReceived, Event
from heptad.consensus.objects import BatchId, CommittedBlock
from heptad.consensus.ready import BatchOutcome, BatchVerdict
from heptad.model.batch import decode_header
from heptad.model.canonical import MalformedError
from heptad.model.ids import ValidatorNumber
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity
from heptad.runtime.pacing import Pace, Pacer
from heptad.runtime.streams import FrameStream
from heptad.wire.streams import (
    CommittedBatch,
    CommittedFrame,
    FrameMalformedError,
    RefusedFrame,
    ReplicaToValidator,
    StandingFrame,
    decode_from_validator,
    encode_to_validator,
)
from heptad_replica.duplex import first_of
from heptad_replica.storage import LmdbStore
from heptad_replica.tracing import BatchTraces

FRAMES_QUEUED_MAX: Final = 1_024
"""Notices for one stream; a validator that does not read them loses the stream."""

PACE: Final = Pace(messages_per_s=2_000, bytes_per_s=128 << 20, burst_s=2.0)
"""More than seven replicas have ever agreed on; the pool's own limit comes first."""


class ValidatorDoor:
    """Serves `SubmitBatches`, and passes on what the driver tells of batches."""

    def __init__(
        self,
        *,
        store: LmdbStore,
        offer: Callable[[Event], bool],
        last_committed: Callable[[ValidatorNumber], BatchId | None],
        has_room: Callable[[], bool] = lambda: True,
        clock_s: Callable[[], float] = time.monotonic,
        traces: BatchTraces | None = None,
    ) -> None:
        """`last_committed` is the last batch of a validator that is final, by the chain's state.

        `has_room` is False while the disk holds as much as may wait for a ledger.
        """
        self._clock_s = clock_s
        self._traces = traces
        self._pacers: dict[ValidatorNumber, Pacer] = {}
        self._store = store
        self._offer = offer
        self._last_committed = last_committed
        self._has_room = has_room
        self._streams: dict[int, set[asyncio.Queue[bytes]]] = defaultdict(set)

    @property
    def connected(self) -> int:
        """Streams that validators hold open."""
        return sum(len(streams) for streams in self._streams.values())

    async def serve(self, stream: FrameStream, caller: Identity) -> None:
        """One stream, until the validator ends it. Raises: Problem `frame_malformed`."""
        validator = ValidatorNumber(int(caller.id.rpartition("-")[2]))
        queue: asyncio.Queue[bytes] = asyncio.Queue(FRAMES_QUEUED_MAX)
        queue.put_nowait(encode_to_validator(self._standing(validator)))
        self._streams[validator].add(queue)
        try:
            await first_of(self._read(stream, validator, queue), _write(stream, queue))
        finally:
            self._streams[validator].discard(queue)

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """Tell each validator where its batches stand."""
        rows: dict[int, list[CommittedBatch]] = defaultdict(list)
        for commit in commits:
            for ref, first_index in commit.placed():
                row = CommittedBatch(
                    incarnation=ref.incarnation,
                    sequence=ref.sequence,
                    digest=ref.digest,
                    first_index=first_index,
                    block_id=commit.block.id,
                    block_time_ms=commit.block.time_ms,
                )
                rows[ref.validator].append(row)
        for validator, batches in rows.items():
            self._tell(validator, CommittedFrame(batches))

    def answered(self, outcomes: Iterable[BatchOutcome]) -> None:
        """Tell validators what became of the batches that they have sent."""
        for outcome in outcomes:
            if outcome.verdict is BatchVerdict.ACCEPTED:
                continue
            if outcome.id is None:
                # Nobody knows which batch it was to be, but its sender is not left without a word.
                self._tell(outcome.validator, RefusedFrame(0, 0, outcome.verdict.value))
                continue
            if outcome.verdict is BatchVerdict.COMMITTED:
                self._repeat(outcome.id)
                continue
            _, incarnation, sequence = outcome.id
            code = outcome.verdict.value
            self._tell(outcome.validator, RefusedFrame(incarnation, sequence, code))

    async def _read(
        self, stream: FrameStream, validator: ValidatorNumber, queue: asyncio.Queue[bytes]
    ) -> None:
        pacer = self._pacers.setdefault(validator, Pacer(PACE, self._clock_s()))
        while (body := await stream.read()) is not None:
            self._take(validator, body, queue)
            wait_s = pacer.wait_s(len(body), self._clock_s())
            if wait_s:
                await asyncio.sleep(wait_s)

    def _take(self, validator: ValidatorNumber, body: bytes, queue: asyncio.Queue[bytes]) -> None:
        try:
            frame = decode_from_validator(body)
            is_welcome = self._has_room() or self._is_committed(validator, frame.batch)
            if is_welcome and self._offer(BatchReceived(validator, frame.batch)):
                if frame.traces and self._traces is not None:
                    self._traces.received(validator, frame.batch, frame.traces)
                return
            header = decode_header(frame.batch)
        except (FrameMalformedError, MalformedError) as error:
            raise Problem("frame_malformed", str(error)) from error
        _put(queue, RefusedFrame(header.incarnation, header.sequence, "overloaded"))

    def _is_committed(self, validator: ValidatorNumber, encoded: bytes) -> bool:
        """True if a validator only asks again where a batch stands. Raises: MalformedError."""
        header, last = decode_header(encoded), self._last_committed(validator)
        return last is not None and (header.incarnation, header.sequence) <= last[1:]

    def _standing(self, validator: ValidatorNumber) -> StandingFrame:
        last = self._last_committed(validator)
        if last is None:
            return StandingFrame(known=False, incarnation=0, sequence=0)
        return StandingFrame(known=True, incarnation=last.incarnation, sequence=last.sequence)

    def _repeat(self, batch_id: BatchId) -> None:
        """Tell again where a batch stands that was committed before.

        Where that is not known here any more, or never was, because the block was pruned or jumped
        over, nothing is said: it is committed, and others can tell where.
        """
        place = self._store.place(batch_id)
        if place is None:
            return
        block = self._store.stored_block(place.height)
        assert block is not None, f"height {place.height} has a batch and no block"
        header = decode_block(block.block)
        row = CommittedBatch(
            incarnation=batch_id.incarnation,
            sequence=batch_id.sequence,
            digest=place.digest,
            first_index=place.first_index,
            block_id=header.id,
            block_time_ms=header.time_ms,
        )
        self._tell(batch_id.validator, CommittedFrame((row,)))

    def _tell(self, validator: int, frame: ReplicaToValidator) -> None:
        for queue in self._streams.get(validator, ()):
            _put(queue, frame)


def _put(queue: asyncio.Queue[bytes], frame: ReplicaToValidator) -> None:
    """Queue a frame; a stream whose reader sleeps misses it, and learns it by sending again."""
    if not queue.full():
        queue.put_nowait(encode_to_validator(frame))


async def _write(stream: FrameStream, queue: asyncio.Queue[bytes]) -> None:
    try:
        while True:
            await stream.write(await queue.get())
    except grpc.aio.UsageError:
        return  # the stream has ended; its reader ends the rest
