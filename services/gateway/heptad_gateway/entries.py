"""Reading the log as JSON: entries by index, time, service and content, counts, checkpoints.

A page or count may end before everything was looked at: `next` is there as long as there is more,
and is the address to ask next, whatever stands in the page.
"""

from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from heptad.client import Terms
from heptad.model.entry import Kind
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import EntryQuery
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, encode_base64
from heptad_gateway.auditing import FOR_A_MOMENT, FOR_EVER
from heptad_gateway.bodies import json_answer
from heptad_gateway.budget import ReadBudget
from heptad_gateway.calls import terms_of
from heptad_gateway.entry_json import entry_members
from heptad_gateway.ports import Ledger
from heptad_gateway.queries import (
    FILTER,
    filter_of,
    invalid,
    number_of,
    optional_number,
    order_of,
    require_known,
    text_of,
)
from heptad_gateway.routing import Parameters, Route

PAGE_SIZE_MAX: Final = 1_000
_UNCACHED: Final = "no-cache"


class EntriesApi:
    """What explorers and auditors' programs call."""

    def __init__(self, *, ledger: Ledger, budget: ReadBudget, deadline_s: float) -> None:
        self._ledger = ledger
        self._budget = budget
        self._deadline_s = deadline_s

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("GET", "/v1/entries", self.entries),
            Route("GET", "/v1/entries:count", self.count),
            Route("GET", "/v1/entries:totals", self.totals),
            Route("GET", "/v1/entries/{index}", self.entry),
            Route("GET", "/v1/checkpoints", self.checkpoints),
            Route("GET", "/v1/checkpoints/{size}", self.checkpoint),
        ]

    async def entries(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """A page of entries."""
        require_known(request, (*FILTER, "order", "page_size", "page_token"))
        query = EntryQuery(
            filter=filter_of(request),
            order=order_of(request),
            page_size=_page_size(request),
            page_token=text_of(request, "page_token") or "",
        )
        async with self._budget.scan(request.remote or "", is_dear=query.filter.scans) as bill:
            page = await self._ledger.entries(query, terms=self._terms(request))
            bill.cost = page.cost
        members: dict[str, object] = {
            "entries": [entry_members(entry.index, entry.data) for entry in page.entries],
            "checkpoint_size": page.checkpoint_size,
        }
        if page.next_index:
            members["next_index"] = page.next_index
        return json_answer(members | _next(request, page.next_page_token), _UNCACHED)

    async def count(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """How many entries there are, or are in the part of the log that was looked at."""
        require_known(request, (*FILTER, "page_token"))
        token, wanted = text_of(request, "page_token") or "", filter_of(request)
        async with self._budget.scan(request.remote or "", is_dear=wanted.scans) as bill:
            counted = await self._ledger.count(wanted, token, terms=self._terms(request))
            bill.cost = counted.cost
        members: dict[str, object] = {
            "count": counted.count,
            "checkpoint_size": counted.checkpoint_size,
        }
        return json_answer(members | _next(request, counted.next_page_token), _UNCACHED)

    async def totals(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The ledger's own counters by kind and service: cheap, and nobody's proof."""
        require_known(request, ())
        totals = await self._ledger.totals(terms=self._terms(request))
        members = {
            "size": totals.size,
            "kinds": {_kind_name(kind): count for kind, count in totals.kinds.items()},
            "services": totals.services,
            "service_count": totals.service_count,
        }
        return json_answer(members, FOR_A_MOMENT)

    async def entry(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """One entry."""
        index = number_of("index", parameters["index"])
        entry = await self._ledger.entry(index, terms=self._terms(request))
        return json_answer(entry_members(index, entry), FOR_EVER)

    async def checkpoints(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Sizes of published checkpoints."""
        require_known(request, ("order", "page_size", "page_token"))
        found = await self._ledger.checkpoint_sizes(
            _page_size(request),
            order=order_of(request),
            page_token=text_of(request, "page_token") or "",
            terms=self._terms(request),
        )
        members: dict[str, object] = {"sizes": list(found.sizes)}
        return json_answer(members | _next(request, found.next_page_token), _UNCACHED)

    async def checkpoint(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """The checkpoint of one size, or the latest one."""
        asked = parameters["size"]
        size = 0 if asked == "latest" else number_of("size", asked)
        if asked == "0":
            raise Problem("not_found", "no checkpoint of size 0 is published", field="size")
        published = await self._ledger.checkpoint(size, terms=self._terms(request))
        return json_answer(_checkpoint_members(published), FOR_EVER if size else FOR_A_MOMENT)

    def _terms(self, request: web.BaseRequest) -> Terms:
        return terms_of(request, self._deadline_s)


def _kind_name(number: int) -> str:
    """`UNKNOWN` stands for bytes that are no entry of this version."""
    return Kind(number).name if number else "UNKNOWN"


def _page_size(request: web.BaseRequest) -> int:
    size = optional_number(request, "page_size")
    if size > PAGE_SIZE_MAX:
        raise invalid("page_size", f"at most {PAGE_SIZE_MAX} are in a page")
    return size


def _next(request: web.BaseRequest, page_token: str) -> dict[str, object]:
    """The token, and the whole address of the next page: this one with another token."""
    if not page_token:
        return {}
    kept = [(name, value) for name, value in request.query.items() if name != "page_token"]
    query = urlencode([*kept, ("page_token", page_token)])
    return {"next_page_token": page_token, "next": f"{request.path}?{query}"}


def _checkpoint_members(published: PublishedCheckpoint) -> dict[str, object]:
    """The note verbatim, and what its body says, for reading only."""
    checkpoint = Checkpoint.parse(Note.parse(published.note).text)
    return {
        "size": published.size,
        "origin": checkpoint.origin,
        "root": encode_base64(checkpoint.root),
        "note": published.note.decode("utf-8"),
    }
