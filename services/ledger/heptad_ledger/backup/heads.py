"""Asks replicas what they still hold, and which of their blocks ends with a given head.

A cosigned checkpoint says how long the log is and what its root is, and nothing of the chain. To
follow the replicas from there a ledger needs the block behind which the log stood so: its height,
id and time. Any replica can name it and none has to be believed: the block's header holds the head,
and its commit proof shows that a quorum has committed that very header. (Blocks without entries
behind it have the same head; any of them will do, for what follows it brings the next entry.)

Each look is a stream of its own, of which only the first frame is read: heads grow with the height,
so the block is found by halving, in some twenty looks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from heptad.consensus.certificates import Certificates
from heptad.consensus.codec import decode_block, decode_proof
from heptad.consensus.committee import Cell
from heptad.consensus.errors import RefusedError
from heptad.consensus.objects import LogHead
from heptad.crypto import signatures
from heptad.model.canonical import MalformedError
from heptad.model.problems import Problem
from heptad.runtime.streams import ClientFrameStream
from heptad.wire.streams import (
    BlockFrame,
    FollowFrame,
    FrameMalformedError,
    decode_to_ledger,
    encode_from_ledger,
)
from heptad_ledger.errors import BackupError

LOOK_S_MAX: Final = 5.0
LOOKS_MAX: Final = 70


@dataclass(frozen=True, slots=True)
class HeadBlock:
    """A committed block after which the log had the head that was asked for."""

    height: int
    block_id: bytes
    time_ms: int


class Replica(Protocol):
    """One replica, as far as it is asked here."""

    @property
    def id(self) -> str:
        """Its id, for messages."""
        ...

    async def height(self) -> int:
        """How many blocks it has committed, as it says. Raises: ReplicaSilentError."""
        ...

    async def block_from(self, height: int) -> BlockFrame:
        """The first block at or above that height which it holds. Raises: ReplicaSilentError."""
        ...


class ReplicaSilentError(Exception):
    """A replica did not answer, or not as any replica does."""


@dataclass(frozen=True, slots=True)
class RemoteReplica:
    """A replica behind gRPC; `ask_height` calls its `GetStatus`."""

    id: str
    open_stream: Callable[[], ClientFrameStream]
    ask_height: Callable[[], Awaitable[int]]

    async def height(self) -> int:
        """See `Replica`."""
        try:
            return await asyncio.wait_for(self.ask_height(), LOOK_S_MAX)
        except (TimeoutError, Problem, grpc.aio.AioRpcError) as error:
            raise ReplicaSilentError(_reason(error)) from error

    async def block_from(self, height: int) -> BlockFrame:
        """See `Replica`."""
        stream = self.open_stream()
        try:
            return await asyncio.wait_for(self._first_block(stream, height), LOOK_S_MAX)
        except (TimeoutError, Problem, FrameMalformedError, grpc.aio.AioRpcError) as error:
            raise ReplicaSilentError(_reason(error)) from error
        finally:
            stream.cancel()

    async def _first_block(self, stream: ClientFrameStream, height: int) -> BlockFrame:
        await stream.write(encode_from_ledger(FollowFrame(height, want_batches=False)))
        while (body := await stream.read()) is not None:
            frame = decode_to_ledger(body)
            if isinstance(frame, BlockFrame):
                return frame
        raise ReplicaSilentError("it ended the stream")


async def lowest_height(replica: Replica) -> int:
    """The height of the oldest block that it holds. Raises: ReplicaSilentError."""
    return (await replica.block_from(1)).height


async def find_head(replicas: Sequence[Replica], *, head: LogHead, cell: Cell) -> HeadBlock:
    """A committed block with that head, from whichever replica can prove one.

    Raises: BackupError, saying why each of them could not.
    """
    certificates = Certificates(cell, signatures)
    reasons = []
    for replica in replicas:
        try:
            return _proven(await _at_head(replica, head), head, certificates)
        except (ReplicaSilentError, RefusedError, MalformedError) as error:
            reasons.append(f"{replica.id}: {error}")
    raise BackupError(
        f"no replica proves a block after which the log had {head.size} entries with root "
        f"{head.root.hex()}: {'; '.join(reasons)}"
    )


async def _at_head(replica: Replica, head: LogHead) -> BlockFrame:
    """The first block that it holds with at least that many entries in the log after it."""
    below, until = 0, await replica.height()
    found = await replica.block_from(until)
    for _ in range(LOOKS_MAX):
        if _size(found) < head.size:
            raise ReplicaSilentError(f"its log has {_size(found)} entries")
        if below + 1 >= until:
            return found
        middle = (below + until) // 2
        frame = await replica.block_from(middle)
        if _size(frame) >= head.size:
            found, until = frame, middle
        else:
            below = frame.height
    raise ReplicaSilentError("its blocks are in no order")


def _size(frame: BlockFrame) -> int:
    return decode_block(frame.block).head.size


def _proven(frame: BlockFrame, head: LogHead, certificates: Certificates) -> HeadBlock:
    block = decode_block(frame.block)
    if (block.head.size, block.head.root) != (head.size, head.root):
        raise RefusedError(
            f"the first block that it holds with so many entries is of height {block.height}, "
            f"with {block.head.size}"
        )
    proof = decode_proof(frame.proof)
    if proof.block_id != block.id:
        raise RefusedError(f"the proof is of another block than that of height {block.height}")
    certificates.commit(proof)
    return HeadBlock(block.height, block.id, block.time_ms)


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.details() or error.code().name
    return str(error) or "no answer"
