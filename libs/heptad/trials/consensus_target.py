"""Replicas alone as a target of load: we are validator-1 and send batches that were made before.

What comes out is what agreement itself carries: no signatures of citizens, no sealing, no ledger.
A batch counts as committed when f + 1 replicas have sent the same row for it, as a validator
counts it.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import ValidatorNumber
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX, open_channel
from heptad.runtime.config import Cell, load_cell
from heptad.runtime.streams import ClientFrameStream, open_frame_stream
from heptad.runtime.tls import load_member_tls
from heptad.trials.load import Answer, Done
from heptad.wire.streams import (
    BatchFrame,
    CommittedBatch,
    CommittedFrame,
    RefusedFrame,
    decode_to_validator,
)
from heptad.wire.streams import (
    encode_batch as encode_batch_frame,
)

VALIDATOR: Final = "validator-1"
RECORDS: Final = 1_000
ENTRY_BYTES: Final = 256
_METHOD: Final = "/heptad.replica.v1.ReplicaService/SubmitBatches"
_CONNECT_S_MAX: Final = 20.0
_CONNECT_PAUSE_S: Final = 0.1


def make_batches(home: Path, count: int) -> list[bytes]:
    """Frames of `count` signed batches, numbered on from 0 in an incarnation of their own.

    Each holds 1,000 entries of 256 random bytes and no sealed records.
    """
    cell = load_cell(home)
    key = load_service_key(home / VALIDATOR / "keys" / KeyRole.BATCH.file_name)
    now_ms = time.time_ns() // 1_000_000
    frames = []
    for sequence in range(count):
        batch = unsigned_batch(
            validator=ValidatorNumber(1),
            incarnation=now_ms,
            sequence=sequence,
            created_ms=now_ms,
            records=[(os.urandom(ENTRY_BYTES), b"") for _ in range(RECORDS)],
        )
        signing_bytes = batch_signing_bytes(origin=cell.origin, digest=batch.digest)
        whole = encode_batch(signed(batch, key.sign(signing_bytes)))
        frames.append(encode_batch_frame(BatchFrame(whole)))
    return frames


class ConsensusTarget:
    """Sends batches to all replicas, in the order in which they are given, and counts commits."""

    def __init__(self, cell: Cell) -> None:
        self._needed = cell.fault_count + 1
        self._streams: list[ClientFrameStream] = []
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._queues: list[asyncio.Queue[bytes]] = []
        self._waiting: dict[int, Done] = {}
        self._rows: dict[CommittedBatch, int] = {}
        self._next_sequence = 0

    async def open(self, home: Path, cell: Cell, *, down: Sequence[str] = ()) -> None:
        """Connect to every replica but those that are down.

        Raises: grpc.aio.AioRpcError if one cannot be reached.
        """
        tls = load_member_tls(home=home, name=VALIDATOR)
        for replica in (each for each in cell.replicas if each.id not in down):
            channel = open_channel(
                address=replica.address,
                peer_id=replica.id,
                origin=cell.origin,
                tls=tls,
                message_bytes_max=PEER_MESSAGE_BYTES_MAX,
            )
            stream = await _open_stream(channel)
            queue: asyncio.Queue[bytes] = asyncio.Queue()
            self._channels.append(channel)
            self._queues.append(queue)
            self._tasks += [
                asyncio.create_task(self._write(stream, queue)),
                asyncio.create_task(self._read(stream)),
            ]

    async def close(self) -> None:
        """Drop all streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()

    def send(self, item: bytes, done: Done) -> None:
        """See `heptad.trials.load.Target`."""
        self._waiting[self._next_sequence] = done
        self._next_sequence += 1
        for queue in self._queues:
            queue.put_nowait(item)

    async def _write(self, stream: ClientFrameStream, queue: "asyncio.Queue[bytes]") -> None:
        while True:
            await stream.write(await queue.get())

    async def _read(self, stream: ClientFrameStream) -> None:
        while (body := await stream.read()) is not None:
            frame = decode_to_validator(body)
            if isinstance(frame, CommittedFrame):
                self._count(frame.batches)
            elif isinstance(frame, RefusedFrame):
                self._settle(frame.sequence, Answer(0, (frame.code,) * RECORDS))

    def _count(self, rows: Sequence[CommittedBatch]) -> None:
        for row in rows:
            seen = self._rows.get(row, 0) + 1
            self._rows[row] = seen
            if seen == self._needed:
                self._settle(row.sequence, Answer(RECORDS))

    def _settle(self, sequence: int, answer: Answer) -> None:
        done = self._waiting.pop(sequence, None)
        if done is not None:
            done(answer)


async def _open_stream(channel: grpc.aio.Channel) -> ClientFrameStream:
    """A stream whose first frame (where we stand) has been read; replicas may still be starting."""
    give_up_s = time.monotonic() + _CONNECT_S_MAX
    while True:
        stream = open_frame_stream(channel, _METHOD)
        try:
            await stream.read()
        except grpc.aio.AioRpcError:
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(_CONNECT_PAUSE_S)
        else:
            return stream
