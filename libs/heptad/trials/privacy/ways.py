"""The ways into a cell, and what comes back on them: shared by all that plants canaries."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

import aiohttp
import grpc

from heptad.client import Client, sign
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.requests import request_hash
from heptad.trials.errors import TrialFault
from heptad.trials.meshes import RunningMesh
from heptad.trials.privacy.canaries import Canaries, Needle, needles_of

JOSE: Final = {"Content-Type": "application/jose"}
JSON: Final = {"Content-Type": "application/json"}
LEDGER: Final = "/heptad.ledger.v1.LedgerService"
VALIDATOR: Final = "/heptad.validator.v1.ValidatorService"
_CALL_S_MAX: Final = 10.0

Key: TypeAlias = P256Key | Ed25519Key


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was asked, and all that came back: status, headers and body, or details and metadata."""

    what: str
    answer: bytes = field(repr=False)


class Ways:
    """Into one cell, as a relying service of it and as two of its citizens."""

    def __init__(
        self,
        mesh: RunningMesh,
        canaries: Canaries,
        *,
        http: aiohttp.ClientSession,
        client: Client,
        look_for: Callable[[tuple[Needle, ...]], None],
    ) -> None:
        """`look_for` hears of what else is to be found nowhere, before it is sent if possible."""
        self.mesh = mesh
        self.text = canaries.text
        self.http = http
        self.client = client
        self.recorded = 0
        """Entries that the log must have now."""
        self.refusals: list[Refusal] = []
        """All errors that came back; none may repeat what it was told."""
        self.public: bytes = b""
        """Something of this run that the log holds for everybody: a search of it must find this."""
        self.pages: dict[str, bytes] = {}
        """What the cell's pages for operators said afterwards, by their names."""
        self.service = client.profile.name
        self.action = mesh.cell.service(self.service).actions[0]
        self.subjects: dict[Key, str] = {}
        self._look_for = look_for

    def secret(self, what: str, data: bytes) -> None:
        """Look for this, too."""
        self._look_for(tuple(needles_of(what, data, is_nested=False)))

    def signed(
        self,
        key: Key,
        name: str,
        *,
        is_secret: bool = False,
        changes: Mapping[str, object] = MappingProxyType({}),
        **more: object,
    ) -> bytes:
        """A new request with a canary in its data; `changes` and `more` are members for `sign`.

        `is_secret`: its UUID and its handle are to be found nowhere, either.
        """
        jti = str(uuid.uuid4())
        members: dict[str, object] = {
            "subject": self.subjects[key],
            "audience": self.mesh.cell.origin,
            "service": self.service,
            "action": self.action,
            "data": {"note": self.text(name)},
            "jti": jti,
            **changes,
            **more,
        }
        if is_secret:
            self.secret("a request's jti", jti.encode())
            handle = request_hash(iss=self.subjects[key], jti=jti)
            self.secret("a request's handle", handle)
        return sign(key, **members)  # type: ignore[arg-type]  # the names are those of sign

    async def accepted(
        self, path: str, body: bytes, headers: Mapping[str, str] = JOSE
    ) -> dict[str, object]:
        """Post what must be recorded. Raises: TrialFault."""
        async with self.http.post(path, data=body, headers=headers) as reply:
            members = await reply.json(content_type=None)
        outcomes = members.get("outcomes", [{**members, "status": reply.status}])
        for outcome in outcomes:
            if outcome.get("status") != 201:
                code = outcome.get("code", outcome.get("state", ""))
                raise TrialFault(f"{path} answered {outcome.get('status')} {code}")
        self.recorded += len(outcomes)
        assert isinstance(members, dict)
        return members

    async def posted(
        self, path: str, body: bytes, headers: Mapping[str, str] = JOSE, *, what: str = "body"
    ) -> None:
        """Post what is refused, and keep the refusal."""
        async with self.http.post(path, data=body, headers=headers) as reply:
            said = f"HTTP/1.1 {reply.status} {reply.reason}\n{reply.raw_headers!r}\n".encode()
            self.refused(f"HTTP, {what}", said + await reply.read())

    async def called(self, method: str, request: bytes, *, what: str = "garbage") -> None:
        """Call a validator or the ledger, with a canary in the metadata too; keep the refusal."""
        channels = self.client.channels
        is_ledger = method.startswith(f"{LEDGER}/")
        channel = self.client.ledger_channel if is_ledger else next(iter(channels.values()))
        metadata = (("x-note", self.text("metadata")),)
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            answer = await call(request, timeout=_CALL_S_MAX, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            parts = (error.details(), error.initial_metadata(), error.trailing_metadata())
            answer = b"\n".join(_bytes_in(part) for part in parts)
        self.refused(f"gRPC, {what}", answer)

    def refused(self, what: str, answer: bytes) -> None:
        """Keep an answer that is to be searched: one that refuses. A good one may name ids."""
        if answer.startswith(b"HTTP/1.1 2"):
            return
        self.refusals.append(Refusal(f"answer {len(self.refusals) + 1} ({what})", answer))


def _bytes_in(part: object) -> bytes:
    """What an error's details or metadata hold, as they are."""
    if isinstance(part, str):
        return part.encode()
    pairs = part if isinstance(part, grpc.aio.Metadata) else ()
    return b"\n".join(
        key.encode() + b": " + (value if isinstance(value, bytes) else value.encode())
        for key, value in pairs
    )
