"""Access: a subject takes out all that is held about it, or one receipt with its private half.

The request for an export is recorded like any other signed request before anything goes out; the
ledger proves it again by itself. The archive passes through as it comes: nothing of it is kept
here, and what breaks off is closed without an end, so that no client takes a part for the whole.
"""

from collections.abc import AsyncGenerator
from typing import Final, Protocol

from aiohttp import web

from heptad.client import Terms, issuer_of
from heptad.model.answers import RequestState, Wait
from heptad.model.exporting import (
    ExportBegun,
    ExportCall,
    ExportChunk,
    ExportPart,
    OpenedReceipt,
    OpenReceipt,
    SubjectsExport,
)
from heptad.model.own_actions import EXPORT, RECEIPT
from heptad.model.problems import Problem
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptFile
from heptad_gateway.answers import recorded_answer
from heptad_gateway.authorization import signed_call
from heptad_gateway.bodies import JSON
from heptad_gateway.calls import packed_trace_of, terms_of
from heptad_gateway.event_stream import StreamedBody
from heptad_gateway.ports import Submissions
from heptad_gateway.queries import require_known
from heptad_gateway.routing import Parameters, Route

FILE_NAME: Final = "heptad-export.zip"
ENTRIES_HEADER: Final = "Heptad-Entries"

_PROBLEM: Final = "application/problem+json"


class ExportReader(Protocol):
    """Asks the ledger: a `heptad.client.ExportCalls`. Raises: Problem."""

    def export(self, call: ExportCall, *, terms: Terms) -> AsyncGenerator[ExportPart, None]:
        """That it has begun, then the archive in chunks."""

    async def open_receipt(self, call: OpenReceipt, *, terms: Terms) -> OpenedReceipt:
        """A receipt with its private half."""


class ExportsApi:
    """What subjects call."""

    def __init__(
        self, *, submissions: Submissions, exports: ExportReader, deadline_s: float
    ) -> None:
        self._submissions = submissions
        self._exports = exports
        self._deadline_s = deadline_s

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [Route("GET", "/v1/subjects/me/export", self.export)]

    async def export(self, request: web.BaseRequest, _parameters: Parameters) -> web.StreamResponse:
        """Record that the subject asks for its data, then hand them out as a zip archive."""
        require_known(request, ())
        if request.method == "HEAD":
            raise Problem("method_not_allowed", "an export is recorded: ask for it by GET")
        jws = signed_call(request, EXPORT)
        outcome = await self._submissions.submit(
            jws, iss=issuer_of(jws), wait=Wait.COMMITTED, trace=packed_trace_of(request)
        )
        if isinstance(outcome, Problem):
            raise outcome
        answer = recorded_answer(outcome)
        if answer.problem is not None:
            headers = {"Content-Type": _PROBLEM, "Cache-Control": "no-store"}
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        if outcome.state is not RequestState.COMMITTED:
            headers = {"Content-Type": JSON, "Cache-Control": "no-store", "Retry-After": "1"}
            return web.Response(status=202, body=answer.body, headers=headers)
        terms = terms_of(request, self._deadline_s)
        return await self._streamed(self._exports.export(SubjectsExport(jws), terms=terms))

    async def receipt(
        self, request: web.BaseRequest, request_id: bytes, event: int | None
    ) -> web.Response:
        """A receipt with its private half, for the subject that has signed this very call."""
        call = OpenReceipt(signed_call(request, RECEIPT), request_id, event)
        opened = await self._exports.open_receipt(call, terms=terms_of(request, self._deadline_s))
        found = opened.receipt
        file = ReceiptFile(
            found.entry,
            Receipt.parse(found.proof),
            opened.payload,
            opened.witness,
            found.bundle,
        )
        headers = {"Content-Type": JSON, "Cache-Control": "no-store", "Vary": "Authorization"}
        return web.Response(body=file.encode(), headers=headers)

    async def _streamed(self, parts: AsyncGenerator[ExportPart, None]) -> web.StreamResponse:
        """The answer, once the export has begun: until then a refusal is a refusal."""
        try:
            begun = await anext(parts, None)
            if not isinstance(begun, ExportBegun):
                raise Problem("ledger_unavailable", "the ledger has not begun to answer")
        except BaseException:
            await parts.aclose()
            raise
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{FILE_NAME}"',
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            ENTRIES_HEADER: str(begun.entries),
        }
        return StreamedBody(_chunks(parts), parts.aclose, headers=headers)


async def _chunks(parts: AsyncGenerator[ExportPart, None]) -> AsyncGenerator[bytes, None]:
    """The archive's bytes. Raises: ConnectionError where it breaks off: the connection is closed,
    since an end in good order would say that this was all."""
    try:
        async for part in parts:
            if isinstance(part, ExportChunk):
                yield part.data
    except Problem as problem:
        raise ConnectionResetError(f"the export broke off: {problem.code}") from problem
