"""The auditor's reads: checkpoint and tiles as the standard has them, entries and proofs as JSON.

Nothing here needs trust: an auditor computes everything again. So whatever can never change says
that it may be kept for ever, and caches between us and the auditor do most of the work.
"""

import json
from typing import Final

from aiohttp import web

from heptad.client import Terms
from heptad.model.canonical import MalformedError
from heptad.model.entry import Outcome
from heptad.model.problems import Problem
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import encode_base64
from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad.transparency.tiles import TilePath
from heptad.wire.convert.entry import decode_entry
from heptad_gateway.bodies import JSON
from heptad_gateway.calls import terms_of
from heptad_gateway.ports import Ledger
from heptad_gateway.queries import invalid, number_of, numbers_of
from heptad_gateway.routing import Parameters, Route

FOR_EVER: Final = "public, max-age=31536000, immutable"
FOR_A_DAY: Final = "public, max-age=86400, immutable"
FOR_A_MOMENT: Final = "public, max-age=1"

PAGE_SIZE_MAX: Final = 1_000
_TEXT: Final = "text/plain; charset=utf-8"


class AuditingApi:
    """What auditors, witnesses and mirrors call."""

    def __init__(self, *, ledger: Ledger, policy: bytes, deadline_s: float) -> None:
        """`policy` is the tlog-policy file, served for convenience and never for trust."""
        self._ledger = ledger
        self._policy = policy
        self._deadline_s = deadline_s

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("GET", "/checkpoint", self.checkpoint),
            Route("GET", "/tile/{path}", self.tile),
            Route("GET", "/policy", self.policy),
            Route("GET", "/v1/entries", self.entries),
            Route("GET", "/v1/entries/{index}", self.entry),
            Route("GET", "/v1/proofs/inclusion", self.inclusion),
            Route("GET", "/v1/proofs/consistency", self.consistency),
        ]

    async def checkpoint(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The latest published checkpoint: a signed note, verbatim."""
        published = await self._ledger.checkpoint(terms=self._terms(request))
        headers = {"Content-Type": _TEXT, "Cache-Control": FOR_A_MOMENT}
        return web.Response(body=published.note, headers=headers)

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
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": caching}
        return web.Response(body=content, headers=headers)

    async def policy(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The policy file of this cell. An auditor has to get it from somebody else."""
        headers = {"Content-Type": _TEXT, "Cache-Control": "no-cache"}
        return web.Response(body=self._policy, headers=headers)

    async def entries(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """A page of entries."""
        asked = numbers_of(request, {"start_index": 0, "page_size": 0})
        if asked["page_size"] > PAGE_SIZE_MAX:
            raise invalid("page_size", f"at most {PAGE_SIZE_MAX} entries are in a page")
        page = await self._ledger.entries(
            asked["start_index"], asked["page_size"], terms=self._terms(request)
        )
        members: dict[str, object] = {
            "entries": [
                _entry_members(index, entry)
                for index, entry in enumerate(page.entries, start=page.start_index)
            ]
        }
        if page.next_index:
            members["next_index"] = page.next_index
            size = f"&page_size={asked['page_size']}" if asked["page_size"] else ""
            members["next"] = f"/v1/entries?start_index={page.next_index}{size}"
        return _json(members, "no-cache")

    async def entry(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """One entry."""
        index = number_of("index", parameters["index"])
        entry = await self._ledger.entry(index, terms=self._terms(request))
        return _json(_entry_members(index, entry), FOR_EVER)

    async def inclusion(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Proves that an entry is in the log."""
        asked = numbers_of(request, {"index": None, "tree_size": 0})
        proof = await self._ledger.inclusion_proof(
            asked["index"], asked["tree_size"], terms=self._terms(request)
        )
        members = {
            "index": proof.index,
            "tree_size": proof.tree_size,
            "hashes": [encode_base64(value) for value in proof.hashes],
        }
        return _json(members, FOR_EVER if asked["tree_size"] else "no-cache")

    async def consistency(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Proves that the newer log continues the older one."""
        asked = numbers_of(request, {"first_size": None, "second_size": 0})
        proof = await self._ledger.consistency_proof(
            asked["first_size"], asked["second_size"], terms=self._terms(request)
        )
        members = {
            "first_size": proof.first_size,
            "second_size": proof.second_size,
            "hashes": [encode_base64(value) for value in proof.hashes],
        }
        return _json(members, FOR_EVER if asked["second_size"] else "no-cache")

    def _terms(self, request: web.BaseRequest) -> Terms:
        return terms_of(request, self._deadline_s)


def _entry_members(index: int, data: bytes) -> dict[str, object]:
    """An entry as JSON: the bytes that are the leaf, and what they say, for reading only."""
    members: dict[str, object] = {"index": index, "entry": encode_base64(data)}
    try:
        entry = decode_entry(data)
    except MalformedError:
        # A newer version's entry is still a leaf: its bytes are there, its meaning is not known.
        return members
    members |= {
        "kind": entry.kind.name,
        "service": entry.service,
        "action": entry.action,
        "time_ms": entry.time_ms,
        "validator": entry.validator,
    }
    if entry.outcome is not Outcome.NONE:
        members["outcome"] = entry.outcome.name.lower()
    if entry.commitment:
        members["commitment"] = encode_base64(entry.commitment)
    if entry.statement:
        members["statement"] = encode_base64(entry.statement)
    return members


def _json(members: dict[str, object], caching: str) -> web.Response:
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return web.Response(body=body, headers={"Content-Type": JSON, "Cache-Control": caching})
