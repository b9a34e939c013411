"""What the steps of a tour share: the mesh, the ways to it, and what has been done so far."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
import grpc

from heptad.client import Client, sign
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.runtime.channels import open_channel
from heptad.runtime.config import load_profile
from heptad.runtime.config.profile import Endpoint
from heptad.runtime.tls import TlsMaterial, load_tls
from heptad.transparency.policy import Policy
from heptad.trials.meshes import RunningMesh
from heptad.trials.tour.steps import Disproved, require
from heptad.wire.convert.replica import ReplicaStatus, from_status_response

SERVICE: Final = "tax-portal"
ACTION: Final = "authenticate"
JOSE: Final = {"Content-Type": "application/jose"}
_PAUSE_S: Final = 0.1
_CALL_S_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class Citizen:
    """A person with a key; `subject` is empty until it is registered."""

    name: str
    key: Ed25519Key | P256Key
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    members: dict[str, object]

    @property
    def code(self) -> str:
        """The stable code of a problem, or empty."""
        return str(self.members.get("code", ""))

    @property
    def said(self) -> str:
        """The answer in one line, for a person."""
        return f"{self.status} {self.code} {self.members.get('detail', '')}".strip()


@dataclass(slots=True)
class Scene:
    """The tour so far.

    `acknowledged` has the log index of every request that was answered with 201, by request id.
    `log_size_first` is the log's size before the tour's first entry. `certificate` is that of an
    erasure, and `kept_receipt` one of the erased person's from before.
    """

    mesh: RunningMesh
    is_own: bool
    http: aiohttp.ClientSession
    client: Client
    policy: Policy
    seconds: float
    citizens: dict[str, Citizen] = field(default_factory=dict)
    crowd: list[Citizen] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    checkpoint_first: bytes = b""
    log_size_first: int = 0
    killed: list[str] = field(default_factory=list)
    kept_receipt: bytes = b""
    certificate: bytes = b""

    def sign(self, citizen: Citizen, **changes: object) -> bytes:
        """A new signed request of this citizen; `changes` replace claims or `now_s`, `jti`."""
        members: dict[str, object] = {
            "subject": citizen.subject,
            "audience": self.mesh.cell.origin,
            "service": SERVICE,
            "action": ACTION,
            "data": {"session": "demo"},
            **changes,
        }
        return sign(citizen.key, **members)  # type: ignore[arg-type]  # the names are those of sign

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Reply:
        """POST a JWS to the gateway. Raises: aiohttp.ClientError."""
        async with self.http.post(path, data=body, headers={**JOSE, **headers}) as response:
            return await _reply(response)

    async def get(self, path: str) -> Reply:
        """GET from the gateway. Raises: aiohttp.ClientError."""
        async with self.http.get(path) as response:
            return await _reply(response)

    async def record(self, jws: bytes) -> tuple[str, int]:
        """Post a request that must be recorded; its id and index. Raises: Disproved."""
        reply = await self.post("/v1/requests", jws)
        require(reply.status == 201, f"a signed request got {reply.said}")
        request_id, index = str(reply.members["request_id"]), reply.members["index"]
        assert isinstance(index, int)
        self.acknowledged[request_id] = index
        return request_id, index

    async def receipt(self, request_id: str) -> bytes:
        """A request's receipt, as the gateway gives it out. Raises: Disproved if none comes."""
        return await self._fetch_soon(f"/v1/requests/{request_id}/receipt")

    async def checkpoint(self, *, size_min: int = 0) -> bytes:
        """The latest checkpoint, once it covers `size_min` entries. Raises: Disproved."""
        async with asyncio.timeout(30):
            while True:
                note = await self._fetch_soon("/checkpoint")
                if size_of(note) >= size_min:
                    return note
                await asyncio.sleep(_PAUSE_S)

    async def _fetch_soon(self, path: str) -> bytes:
        """What is there after a moment: a receipt comes with the next checkpoint."""
        reply = await self.get(path)
        for _ in range(150):
            if reply.status == 200:
                return reply.body
            if reply.status not in (404, 503):
                break
            await asyncio.sleep(_PAUSE_S)
            reply = await self.get(path)
        raise Disproved(f"{path} answered {reply.status} {reply.code}")


async def _reply(response: aiohttp.ClientResponse) -> Reply:
    body = await response.read()
    is_json = response.content_type.endswith("json")
    members = await response.json(content_type=None) if is_json else {}
    return Reply(response.status, dict(response.headers), body, members)


async def replica_statuses(home: Path) -> dict[str, ReplicaStatus]:
    """What every replica that can be reached says of itself, by member id."""
    folder = home / "clients" / "operator"
    profile = load_profile(folder)
    tls = load_tls(
        ca=folder / profile.ca, certificate=folder / profile.certificate, key=folder / profile.key
    )
    asked = [_replica_status(peer, profile.origin, tls) for peer in profile.replicas]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return {
        peer.id: answer
        for peer, answer in zip(profile.replicas, answers, strict=True)
        if isinstance(answer, ReplicaStatus)
    }


async def _replica_status(peer: Endpoint, origin: str, tls: TlsMaterial) -> ReplicaStatus:
    async with open_channel(
        address=peer.address, peer_id=peer.id, origin=origin, tls=tls
    ) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/heptad.replica.v1.ReplicaService/GetStatus"
        )
        return from_status_response(await ask(b"", timeout=_CALL_S_MAX))


def size_of(note: bytes) -> int:
    """How many entries a checkpoint claims to cover, by its second line; not verified."""
    return int(note.split(b"\n")[1])


def policy_of(home: Path) -> Policy:
    """The policy as it lies in the home, which is not where the gateway takes it from a caller."""
    return Policy.parse((home / "policy").read_bytes())
