"""A ledger whose log is lost and that has no backup: what can still be had, and from whom.

From replicas, if one of them still holds every block: then nothing is to be done but to begin, for
an empty ledger follows from the first block on. Its records are filed again as far as the vault
that is there has their keys. Otherwise from another's public log (`heptad_ledger.backup.cloning`),
behind the block that replicas prove to belong to its checkpoint (`heptad_ledger.backup.heads`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import grpc

from heptad.consensus.objects import LogHead
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX, open_channel
from heptad.runtime.config import Cell
from heptad.runtime.streams import open_frame_stream
from heptad.runtime.tls import TlsMaterial
from heptad.transparency.policy import Policy
from heptad.verification.sources import TileSource
from heptad.wire.convert.replica import from_status_response
from heptad_ledger.backup.cloning import Clone, CloneJob
from heptad_ledger.backup.heads import (
    HeadBlock,
    RemoteReplica,
    Replica,
    ReplicaSilentError,
    find_head,
    lowest_height,
)
from heptad_ledger.begun import allow_beginning
from heptad_ledger.errors import BackupError
from heptad_ledger.following.replica_link import METHOD as FOLLOW
from heptad_ledger.parts import LOG_FOLDER
from heptad_ledger.publishing.kept import lay_kept, verified

STATUS: Final = "/heptad.replica.v1.ReplicaService/GetStatus"


@dataclass(frozen=True, slots=True)
class Holdings:
    """The oldest block of each replica that answered, by id, and why others did not."""

    lowest: dict[str, int] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> Sequence[str]:
        """Those that hold every block."""
        return [replica for replica, height in self.lowest.items() if height == 1]


@dataclass(frozen=True, slots=True)
class Cloned:
    """A log that was cloned: its size, and the block behind which the ledger goes on."""

    size: int
    block: HeadBlock


async def begin_from_replicas(
    replicas: Sequence[Replica], *, data: Path, policy: Policy, kept: bytes | None
) -> Holdings:
    """See whether an empty ledger would get everything, and lay the kept checkpoint beside it.

    Raises: BackupError; KeptCheckpointError.
    """
    if (data / LOG_FOLDER).exists():
        raise BackupError(f"{data / LOG_FOLDER} is there: nothing to rebuild; move it away first")
    if kept is not None:
        verified(kept, policy, name="the kept checkpoint")
    holdings = Holdings()
    answers = await asyncio.gather(*map(lowest_height, replicas), return_exceptions=True)
    for replica, answer in zip(replicas, answers, strict=True):
        if isinstance(answer, int):
            holdings.lowest[replica.id] = answer
        elif isinstance(answer, ReplicaSilentError):
            holdings.silent[replica.id] = str(answer)
        else:
            raise answer
    if not holdings.complete:
        told = [f"{name} from block {height}" for name, height in holdings.lowest.items()]
        told += [f"{name}: {reason}" for name, reason in holdings.silent.items()]
        raise BackupError(
            f"no replica holds every block any more ({'; '.join(told)}): restore a backup, or "
            "clone another's public log with --from"
        )
    if kept is not None:
        await asyncio.to_thread(lay_kept, data, kept)
    await asyncio.to_thread(allow_beginning, data)
    return holdings


async def clone(job: CloneJob, source: TileSource, replicas: Sequence[Replica]) -> Cloned:
    """Read, check and take over a public log, or change nothing.

    Raises: BackupError; KeptCheckpointError; SourceUnreadableError; StoreError; OSError.
    """
    making = Clone(job)
    try:
        checkpoint = await asyncio.to_thread(making.read, source)
        head = LogHead(checkpoint.size, checkpoint.root)
        block = await find_head(replicas, head=head, cell=job.cell)
        await asyncio.to_thread(making.finish, block)
    finally:
        making.drop()
    return Cloned(checkpoint.size, block)


@asynccontextmanager
async def remote_replicas(cell: Cell, tls: TlsMaterial) -> AsyncIterator[Sequence[Replica]]:
    """All replicas of a cell, asked as the ledger whose certificate this is."""
    async with AsyncExitStack() as channels:
        replicas: list[Replica] = []
        for member in cell.replicas:
            channel = await channels.enter_async_context(
                open_channel(
                    address=member.address,
                    peer_id=member.id,
                    origin=cell.origin,
                    tls=tls,
                    message_bytes_max=PEER_MESSAGE_BYTES_MAX,
                )
            )
            stream = partial(open_frame_stream, channel, FOLLOW)
            replicas.append(RemoteReplica(member.id, stream, partial(_height, channel)))
        yield replicas


async def _height(channel: grpc.aio.Channel) -> int:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(STATUS)
    return from_status_response(await call(b"")).height
