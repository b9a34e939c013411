"""What an attacker has: a member's certificate and keys, what it has heard, and where to aim.

It stands in the member's place: it listens on its address, so that the honest members dial it and
tell it all that they would have told the member.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from heptad.consensus.genesis import genesis_qc
from heptad.consensus.messages import Certificates, Proposal, decode_message
from heptad.consensus.objects import QC, Timeout
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key
from heptad.model.canonical import MalformedError
from heptad.model.problems import Problem
from heptad.runtime import channels
from heptad.runtime.config import Cell, load_cell
from heptad.runtime.group import agreed_cell, member_number
from heptad.runtime.identity import Identity
from heptad.runtime.streams import FrameStream, add_frame_handlers, open_frame_stream
from heptad.runtime.tls import TlsMaterial, load_member_tls

SERVICE: Final = "heptad.replica.v1.ReplicaService"
PEERS: Final = f"/{SERVICE}/PeerStream"
BATCHES: Final = f"/{SERVICE}/SubmitBatches"
STATUS: Final = f"/{SERVICE}/GetStatus"

SENT_MAX: Final = 3_000_000
"""Messages of one attack, whatever its length."""

_HEARD_MAX: Final = 2_000
_AGAIN_S: Final = 0.05
_BROKEN: Final = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, Problem)


@dataclass(slots=True)
class Tally:
    """What was done: `opened` streams or connections, of which `broken` did not last."""

    messages: int = 0
    sent_bytes: int = 0
    opened: int = 0
    broken: int = 0


@dataclass(slots=True)
class Arms:
    """One attacker. `until_s` is on the monotonic clock, and everything ends by then."""

    home: Path
    name: str
    until_s: float
    cell: Cell = field(init=False)
    tls: TlsMaterial = field(init=False)
    heard: deque[bytes] = field(default_factory=lambda: deque(maxlen=_HEARD_MAX))
    tally: Tally = field(default_factory=Tally)
    _keys: dict[KeyRole, Ed25519Key] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Read what the member would read. Raises: OSError."""
        self.cell = load_cell(self.home)
        self.tls = load_member_tls(home=self.home, name=self.name)

    @property
    def is_over(self) -> bool:
        """True when it is time to stop."""
        return time.monotonic() >= self.until_s or self.tally.messages >= SENT_MAX

    @property
    def number(self) -> int:
        """7 of `replica-7`."""
        return member_number(self.name)

    def targets(self) -> dict[str, str]:
        """Addresses of the honest replicas, by id."""
        return {each.id: each.address for each in self.cell.replicas if each.id != self.name}

    def sign(self, role: KeyRole, message: bytes) -> bytes:
        """Sign with one of the member's keys."""
        if role not in self._keys:
            path = self.home / self.name / "keys" / role.file_name
            self._keys[role] = load_service_key(path)
        return self._keys[role].sign(message)

    def high_qc(self) -> QC:
        """The highest certificate heard so far."""
        qcs = [genesis_qc(agreed_cell(self.cell))]
        for payload in list(self.heard)[-50:]:
            qcs += _certificates_in(payload)
        return max(qcs, key=lambda qc: qc.round)

    def channel(self, target: str) -> grpc.aio.Channel:
        """A connection of its own to a replica, with the member's certificate."""
        return channels.open_channel(
            address=self.targets()[target],
            peer_id=target,
            origin=self.cell.origin,
            tls=self.tls,
            message_bytes_max=channels.PEER_MESSAGE_BYTES_MAX,
        )


async def flood(arms: Arms, method: str, payloads: Callable[[], Iterator[bytes]]) -> None:
    """Send to every honest replica as fast as each will read, and dial again when cut off."""
    await asyncio.gather(*(_flood_one(arms, target, method, payloads) for target in arms.targets()))


async def _flood_one(
    arms: Arms, target: str, method: str, payloads: Callable[[], Iterator[bytes]]
) -> None:
    channel = arms.channel(target)
    try:
        for_ever = payloads()
        while not arms.is_over:
            arms.tally.opened += 1
            try:
                await _write_all(arms, channel, method, for_ever)
            except _BROKEN:
                arms.tally.broken += 1
                await asyncio.sleep(_AGAIN_S)
            except TimeoutError:
                return
    finally:
        await channel.close()


async def _write_all(
    arms: Arms, channel: grpc.aio.Channel, method: str, payloads: Iterator[bytes]
) -> None:
    """Write until it is over or the stream breaks. What the other end says is not read."""
    stream = open_frame_stream(channel, method)
    try:
        for payload in payloads:
            async with asyncio.timeout(max(0.01, arms.until_s - time.monotonic())):
                await stream.write(payload)
            arms.tally.messages += 1
            arms.tally.sent_bytes += len(payload)
            if arms.is_over:
                return
    finally:
        stream.cancel()


@asynccontextmanager
async def listening(arms: Arms, *, mode: str = "hear") -> AsyncIterator[None]:
    """Stand at the member's address. `mode`: hear, deaf (reads nothing), or chatter (talks)."""

    async def serve(stream: FrameStream, _caller: Identity) -> None:
        await stream.write(b"")
        if mode == "deaf":
            await asyncio.sleep(max(0.0, arms.until_s - time.monotonic()))
        while mode == "chatter" and not arms.is_over:
            await stream.write(b"chatter" * 1_000)
            arms.tally.messages += 1
        while (payload := await stream.read()) is not None:
            arms.heard.append(payload)

    server = channels.create_server(message_bytes_max=channels.PEER_MESSAGE_BYTES_MAX)
    add_frame_handlers(server, service=SERVICE, handlers={"PeerStream": serve})
    address = arms.cell.member_addresses()[arms.name]
    channels.listen(server, address=address, tls=arms.tls)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=0)


def _certificates_in(payload: bytes) -> list[QC]:
    try:
        message = decode_message(payload)
    except MalformedError:
        return []
    match message:
        case Certificates(high_qc, _) | Timeout(high_qc=high_qc):
            return [high_qc]
        case Proposal(block, _):
            return [block.justify]
        case _:
            return []
