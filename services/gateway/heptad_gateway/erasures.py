"""Erasure: a subject asks for it, and whoever has the request's id sees how it stands.

The request is recorded like any other signed request, and from then on it is the ledger's to say.
Once the subject is erased no signature of it can be checked any more; whoever asks again, by its
id, is answered with the certificate of then, which holds no personal data.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final, Protocol

from aiohttp import web

from heptad.client import Terms, issuer_of
from heptad.crypto.peeking import peeked_claims
from heptad.model import base64url
from heptad.model.answers import Recorded
from heptad.model.erasing import Erasure
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy
from heptad.model.own_actions import ERASE
from heptad.model.problems import Problem
from heptad.model.requests import is_request_id, request_id_of
from heptad.runtime.deadlines import one_month_after
from heptad.verification.certificate_file import certificate_members, to_json
from heptad_gateway.answers import recorded_answer
from heptad_gateway.authorization import signed_call
from heptad_gateway.bodies import JSON
from heptad_gateway.calls import packed_trace_of, terms_of
from heptad_gateway.erasure_page import page_of
from heptad_gateway.pages import page_headers
from heptad_gateway.ports import Submissions
from heptad_gateway.queries import require_known
from heptad_gateway.requests import RECEIPT_CACHING, wait_of
from heptad_gateway.routing import Parameters, Route

POLL_S: Final = 5
"""When to ask again how an erasure stands that is not done."""

_OPEN: Final = frozenset({ErasureState.RECEIVED, ErasureState.ORDERED})


class ErasureReader(Protocol):
    """Asks the ledger: a `heptad.client.PrivacyCalls`."""

    async def erasure(self, name: bytes | str, *, terms: Terms) -> Erasure:
        """How one stands: by the request's 32 bytes, or by the subject's id. Raises: Problem."""


class ErasuresApi:
    """What subjects call, and people open."""

    def __init__(
        self, *, submissions: Submissions, erasures: ErasureReader, deadline_s: float
    ) -> None:
        self._submissions = submissions
        self._erasures = erasures
        self._deadline_s = deadline_s

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("POST", "/v1/subjects/me/erasure", self.ask),
            Route("GET", "/v1/erasures/{request_id}", self.show),
            Route("GET", "/v1/erasures/{request_id}/certificate", self.certificate),
        ]

    async def ask(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Record a subject's signed request to be erased, and say how it stands."""
        require_known(request, ())
        jws = signed_call(request, ERASE)
        subject_id, terms = issuer_of(jws), terms_of(request, self._deadline_s)
        outcome = await self._submissions.submit(
            jws, iss=subject_id, wait=wait_of(request), trace=packed_trace_of(request)
        )
        if isinstance(outcome, Problem):
            if outcome.code != "subject_erased":
                raise outcome
            return _status_answer(await self._erasures.erasure(subject_id, terms=terms))
        answer = recorded_answer(outcome)
        if answer.problem is not None:
            headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        return _status_answer(await self._standing(outcome, _ground_of(jws), terms))

    async def show(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """How an erasure stands: JSON, or a page for a person's browser."""
        require_known(request, ())
        request_id = _id_bytes(parameters["request_id"])
        erasure = await self._erasures.erasure(
            request_id, terms=terms_of(request, self._deadline_s)
        )
        if not _wants_a_page(request):
            return _status_answer(erasure, status=200)
        headers = {**page_headers(), "Cache-Control": "no-store", "Vary": "Accept"}
        if erasure.state in _OPEN or _is_unproved(erasure):
            headers["Refresh"] = str(POLL_S)
        return web.Response(body=page_of(erasure), headers=headers)

    async def certificate(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """The certificate as a file, once a checkpoint covers it; it never changes then."""
        require_known(request, ())
        terms = terms_of(request, self._deadline_s)
        erasure = await self._erasures.erasure(_id_bytes(parameters["request_id"]), terms=terms)
        if erasure.certificate is None:
            detail = f"the erasure is {erasure.state}"
            raise Problem("certificate_pending", detail, retry_after_s=POLL_S)
        body = to_json(certificate_members(erasure, links=_links(erasure)))
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "Content-Type": JSON,
            "Content-Disposition": 'attachment; filename="erasure-certificate.json"',
            "Cache-Control": RECEIPT_CACHING,
            "ETag": tag,
        }
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    async def _standing(self, recorded: Recorded, ground: ErasureGround, terms: Terms) -> Erasure:
        """How the recorded request stands; `received` for a ledger that has not heard of it yet.

        The request is recorded whatever the ledger says, so no failure of the ledger is one here.
        """
        try:
            return await self._erasures.erasure(recorded.request_id, terms=terms)
        except Problem as problem:
            if problem.code != "erasure_unknown" and problem.kind.http != 503:
                raise
        return Erasure(
            request_id=recorded.request_id,
            salt=b"",
            state=ErasureState.RECEIVED,
            ordered_by=OrderedBy.SUBJECT,
            ground=ground,
            received_at_ms=recorded.time_ms,
            decide_by_ms=one_month_after(recorded.time_ms),
        )


def _status_answer(erasure: Erasure, *, status: int | None = None) -> web.Response:
    """202 while something is still to be done, 200 then; or what `status` says."""
    is_open = erasure.state in _OPEN
    headers = {"Content-Type": JSON, "Cache-Control": "no-store", "Vary": "Accept"}
    headers["Location"] = _location(erasure)
    if is_open or _is_unproved(erasure):
        headers["Retry-After"] = str(POLL_S)
    body = json.dumps(_status(erasure), ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return web.Response(status=status or (202 if is_open else 200), body=body, headers=headers)


def _status(erasure: Erasure) -> Mapping[str, object]:
    members: dict[str, object] = {
        "request_id": request_id_of(erasure.request_id),
        "state": erasure.state.value,
        "ordered_by": erasure.ordered_by.value,
        "ground": erasure.ground.value,
        "received_at_ms": erasure.received_at_ms,
        "location": _location(erasure),
    }
    if erasure.state is ErasureState.RECEIVED:
        members["decide_by_ms"] = erasure.decide_by_ms
    if erasure.order_index is not None:
        members["order"] = f"/v1/entries/{erasure.order_index}"
    if erasure.refusal_ground is not None:
        members["refusal_ground"] = erasure.refusal_ground.value
    if erasure.refusal_index is not None:
        members["refusal"] = f"/v1/entries/{erasure.refusal_index}"
    if erasure.certificate is not None:
        members["certificate"] = certificate_members(erasure, links=_links(erasure))
    return members


def _ground_of(jws: bytes) -> ErasureGround:
    """The ground that the request names; as the ledger reads it, so the same from the beginning."""
    data = (peeked_claims(jws) or {}).get("data")
    named = data.get("ground") if isinstance(data, dict) else None
    known = (ground for ground in ErasureGround if ground.value == named)
    return next(known, ErasureGround.CONSENT_WITHDRAWN)


def _is_unproved(erasure: Erasure) -> bool:
    """It is decided or done, and what shows that is on its way into the log."""
    if erasure.state is ErasureState.REFUSED:
        return erasure.refusal_index is None
    return erasure.state is ErasureState.ERASED and erasure.certificate is None


def _location(erasure: Erasure) -> str:
    return f"/v1/erasures/{request_id_of(erasure.request_id)}"


def _links(erasure: Erasure) -> dict[str, str]:
    location = _location(erasure)
    return {"self": f"{location}/certificate", "status": location, "checkpoint": "/checkpoint"}


def _wants_a_page(request: web.BaseRequest) -> bool:
    """Browsers name HTML, and before anything that could be JSON; programs do not."""
    for part in request.headers.get("Accept", "").split(","):
        match part.partition(";")[0].strip().lower():
            case "text/html" | "application/xhtml+xml":
                return True
            case "application/json":
                return False
    return False


def _id_bytes(request_id: str) -> bytes:
    """A request id's 32 bytes. Raises: Problem `parameter_invalid`."""
    if not is_request_id(request_id):
        detail = "a request id is 43 letters of base64url"
        raise Problem("parameter_invalid", detail, field="request_id")
    return base64url.decode(request_id)
