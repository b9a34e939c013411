"""The auditor's reads: checkpoint and tiles as the standard has them, proofs as JSON.

Nothing here needs trust: an auditor computes everything again. So whatever can never change says
that it may be kept for ever, and caches between us and the auditor do most of the work.
"""

from typing import Final

from aiohttp import web

from heptad.client import Terms
from heptad.model.problems import Problem
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import encode_base64
from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad.transparency.tiles import TilePath
from heptad_gateway.bodies import json_answer
from heptad_gateway.budget import PROOF_COST, ReadBudget
from heptad_gateway.calls import terms_of
from heptad_gateway.files import file_answer
from heptad_gateway.ports import Ledger
from heptad_gateway.queries import numbers_of
from heptad_gateway.routing import Parameters, Route

FOR_EVER: Final = "public, max-age=31536000, immutable"
FOR_A_DAY: Final = "public, max-age=86400, immutable"
FOR_A_MOMENT: Final = "public, max-age=1"

_BYTES: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=utf-8"


class AuditingApi:
    """What auditors, witnesses and mirrors call."""

    def __init__(
        self, *, ledger: Ledger, budget: ReadBudget, policy: bytes, deadline_s: float
    ) -> None:
        """`policy` is the tlog-policy file, served for convenience and never for trust."""
        self._ledger = ledger
        self._budget = budget
        self._policy = policy
        self._deadline_s = deadline_s

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("GET", "/checkpoint", self.checkpoint),
            Route("GET", "/tile/{path}", self.tile),
            Route("GET", "/policy", self.policy),
            Route("GET", "/v1/proofs/inclusion", self.inclusion),
            Route("GET", "/v1/proofs/consistency", self.consistency),
        ]

    async def checkpoint(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The latest published checkpoint: a signed note, verbatim."""
        published = await self._ledger.checkpoint(terms=self._terms(request))
        return await file_answer(request, published.note, media_type=_TEXT, caching=FOR_A_MOMENT)

    async def tile(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """A tile, or a bundle of entries, by its one canonical path."""
        text = f"tile/{parameters['path']}"
        try:
            path = TilePath.parse(text)
        except FormatError as error:
            raise Problem("not_found", str(error)) from None
        content = await self._ledger.tile(text, terms=self._terms(request))
        # A partial tile never changes either, but is soon replaced by a wider one.
        caching = FOR_EVER if path.width == TILE_WIDTH else FOR_A_DAY
        # Hashes do not pack; entries do, by half, and the standard wants them packed.
        return await file_answer(
            request, content, media_type=_BYTES, caching=caching, is_packable=path.level is None
        )

    async def policy(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The policy file of this cell. An auditor has to get it from somebody else."""
        headers = {"Content-Type": _TEXT, "Cache-Control": "no-cache"}
        return web.Response(body=self._policy, headers=headers)

    async def inclusion(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Proves that an entry is in the log."""
        asked = numbers_of(request, {"index": None, "tree_size": 0})
        self._budget.pay(request.remote or "", PROOF_COST)
        proof = await self._ledger.inclusion_proof(
            asked["index"], asked["tree_size"], terms=self._terms(request)
        )
        members = {
            "index": proof.index,
            "tree_size": proof.tree_size,
            "hashes": [encode_base64(value) for value in proof.hashes],
        }
        return json_answer(members, FOR_EVER if asked["tree_size"] else "no-cache")

    async def consistency(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Proves that the newer log continues the older one."""
        asked = numbers_of(request, {"first_size": None, "second_size": 0})
        self._budget.pay(request.remote or "", PROOF_COST)
        proof = await self._ledger.consistency_proof(
            asked["first_size"], asked["second_size"], terms=self._terms(request)
        )
        members = {
            "first_size": proof.first_size,
            "second_size": proof.second_size,
            "hashes": [encode_base64(value) for value in proof.hashes],
        }
        return json_answer(members, FOR_EVER if asked["second_size"] else "no-cache")

    def _terms(self, request: web.BaseRequest) -> Terms:
        return terms_of(request, self._deadline_s)
