"""Watches all replicas while things go wrong: their heads, and every cosignature that they give.

Cosignatures are heard from the replicas themselves, on the stream that ledgers follow, and not from
the ledger, which shows only what it has found good. Nothing is judged here; `checker` does that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.channels import open_channel
from heptad.runtime.config import Cell, load_profile
from heptad.runtime.streams import open_frame_stream
from heptad.runtime.tls import TlsMaterial, load_member_tls, load_tls
from heptad.wire.convert.replica import ReplicaStatus, from_status_response
from heptad.wire.streams import CosignatureFrame, FrameMalformedError, decode_to_ledger

POLL_S: Final = 0.25
_CALL_S_MAX: Final = 2.0
_AGAIN_S: Final = 0.2
_STATUS: Final = "/heptad.replica.v1.ReplicaService/GetStatus"
_FOLLOW: Final = "/heptad.replica.v1.ReplicaService/Follow"


@dataclass(slots=True)
class Sightings:
    """What was seen, in the order of seeing, by member id.

    `heads` are (size, root) of committed logs, each once until it changes.
    """

    heads: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    cosignatures: dict[str, list[CosignatureFrame]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def copy(self) -> "Sightings":
        """As it is now; what is seen later does not change it."""
        return Sightings(
            {name: list(heads) for name, heads in self.heads.items()},
            {name: list(frames) for name, frames in self.cosignatures.items()},
        )


class Watch:
    """Watches one running cell; use it in `async with`."""

    def __init__(self, home: Path, cell: Cell) -> None:
        """`home` holds the identities of the operator, who asks, and of the ledger, who follows."""
        self.seen = Sightings()
        self.statuses: Mapping[str, ReplicaStatus] = {}
        """The last status of each replica that answered the last poll, by member id."""
        self._home = home
        self._cell = cell
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Watch":
        """Begin."""
        askers = {name: self._channel(name, self._operator_tls()) for name in self._names()}
        follower = load_member_tls(home=self._home, name=self._cell.ledger.id)
        self._spawn(self._poll(askers))
        for name in self._names():
            self._spawn(self._follow(name, self._channel(name, follower)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End. Raises: what a watcher broke with."""
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def poll(self, condition: "Callable[[Watch], bool]", *, within_s: float) -> bool:
        """Wait until what is seen fulfils a condition; False if it does not in time."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + within_s
        while not condition(self):
            if loop.time() > give_up_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _names(self) -> list[str]:
        return [replica.id for replica in self._cell.replicas]

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _operator_tls(self) -> TlsMaterial:
        folder = self._home / "clients" / "operator"
        profile = load_profile(folder)
        return load_tls(
            ca=folder / profile.ca,
            certificate=folder / profile.certificate,
            key=folder / profile.key,
        )

    def _channel(self, name: str, tls: TlsMaterial) -> grpc.aio.Channel:
        address = self._cell.member_addresses()[name]
        channel = open_channel(address=address, peer_id=name, origin=self._cell.origin, tls=tls)
        self._channels.append(channel)
        return channel

    async def _poll(self, askers: Mapping[str, grpc.aio.Channel]) -> None:
        while True:
            answers = await asyncio.gather(*(_ask(channel) for channel in askers.values()))
            self.statuses = {
                name: status
                for name, status in zip(askers, answers, strict=True)
                if status is not None
            }
            for name, status in self.statuses.items():
                heads, head = self.seen.heads[name], (status.log_size, status.log_root)
                if not heads or heads[-1] != head:
                    heads.append(head)
            await asyncio.sleep(POLL_S)

    async def _follow(self, name: str, channel: grpc.aio.Channel) -> None:
        """Hear cosignatures. It never says from which height, so no block is sent to it."""
        while True:
            stream = open_frame_stream(channel, _FOLLOW)
            try:
                while (body := await stream.read()) is not None:
                    frame = decode_to_ledger(body)
                    if isinstance(frame, CosignatureFrame):
                        self.seen.cosignatures[name].append(frame)
            except (grpc.aio.AioRpcError, Problem, FrameMalformedError):
                stream.cancel()
            await asyncio.sleep(_AGAIN_S)


async def _ask(channel: grpc.aio.Channel) -> ReplicaStatus | None:
    """A replica's status; None where it does not answer."""
    ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_STATUS)
    try:
        return from_status_response(await ask(b"", timeout=_CALL_S_MAX))
    except grpc.aio.AioRpcError:
        return None
