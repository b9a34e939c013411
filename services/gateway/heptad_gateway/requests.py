"""Signed requests: one, many at once, how far one has come, and its receipt.

The gateway looks at media type and size, and at `iss` to find the way; everything else about a
request is the validator's to say, so that one code means one thing at every door.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from aiohttp import web

from heptad.client import Standing, find_standing, issuer_of
from heptad.model import base64url
from heptad.model.answers import Recorded, RequestState, Wait
from heptad.model.bundles import EVENTS_MAX
from heptad.model.entry import Outcome
from heptad.model.log_reads import RequestReceipt
from heptad.model.problems import Problem
from heptad.model.requests import is_request_id
from heptad.verification.receipt_file import encode_public_receipt
from heptad_gateway.answers import Answer, recorded_answer
from heptad_gateway.bodies import JOSE, JSON, BodyRoom, BodyRule, read_body
from heptad_gateway.calls import packed_trace_of, terms_of
from heptad_gateway.exports import ExportsApi
from heptad_gateway.limits import Charge
from heptad_gateway.ports import Ledger, Submissions, Validators
from heptad_gateway.problems import problem_details, retry_after_of
from heptad_gateway.queries import invalid, numbers_of
from heptad_gateway.routing import Parameters, Route

BATCH_BODIES_BYTES_MAX: Final = 128 << 20
"""Batches that are being read, of all clients together; one of the largest allowed always fits."""

RECEIPT_CACHING: Final = "private, max-age=31536000, immutable"
"""Receipts never change. Private: which entry belongs to which request is nobody else's business,
and a shared cache would still tell after an erasure."""

_OUTCOMES: Final = {Outcome.ALLOWED: "allowed", Outcome.DENIED: "denied"}


class RequestsApi:
    """What citizens' apps and services call."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        validators: Validators,
        ledger: Ledger,
        exports: ExportsApi,
        request_bytes_max: int,
        body_bytes_max: int,
        batch_requests_max: int,
        deadline_s: float,
        charge: Charge,
        refused: Callable[[str], None],
    ) -> None:
        """`charge` takes further requests out of a client's allowance; `refused` counts a code."""
        self._submissions = submissions
        self._validators = validators
        self._ledger = ledger
        self._exports = exports
        self._request_bytes_max = request_bytes_max
        self._batch_requests_max = batch_requests_max
        self._deadline_s = deadline_s
        self._charge = charge
        self._refused = refused
        self._one = BodyRule(JOSE, request_bytes_max, "request_too_large")
        room = BodyRoom(max(BATCH_BODIES_BYTES_MAX, body_bytes_max))
        self._many = BodyRule(JSON, body_bytes_max, "batch_too_large", room)

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("POST", "/v1/requests", self.submit),
            Route("POST", "/v1/requests:batch", self.submit_batch),
            Route("GET", "/v1/requests/{request_id}", self.status),
            Route("GET", "/v1/requests/{request_id}/receipt", self.receipt),
        ]

    async def submit(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Record one signed request."""
        jws = await read_body(request, self._one)
        wait = wait_of(request)
        trace = packed_trace_of(request)
        outcome = await self._submissions.submit(jws, iss=issuer_of(jws), wait=wait, trace=trace)
        if isinstance(outcome, Problem):
            raise outcome
        answer = recorded_answer(outcome)
        headers = _headers(answer, outcome)
        if wait is Wait.ADMITTED:
            headers["Preference-Applied"] = "respond-async"
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def submit_batch(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Record up to 1,000 signed requests, with an outcome for each, in their order."""
        items = self._read_batch(await read_body(request, self._many))
        self._charge(request, len(items) - 1)
        self._submissions.require_room(len(items))
        wait = wait_of(request)
        # Of a batch that is traced the first request is: it says as much as all of them would.
        trace = packed_trace_of(request)
        waiting = [
            self._submit_item(jws, wait, b"" if place else trace) for place, jws in enumerate(items)
        ]
        outcomes = [one if isinstance(one, Problem) else await one for one in waiting]
        for outcome in outcomes:
            if isinstance(outcome, Problem):
                self._refused(outcome.code)
        headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
        if wait is Wait.ADMITTED:
            headers["Preference-Applied"] = "respond-async"
        return web.Response(
            status=202 if wait is Wait.ADMITTED else 200,
            body=b'{"outcomes":[' + b",".join(map(_outcome_text, outcomes)) + b"]}",
            headers=headers,
        )

    async def status(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """How far a request has come."""
        request_id = parameters["request_id"]
        exp_s = numbers_of(request, {"exp": 0})["exp"]
        standing = await self._standing(request, request_id, exp_s=exp_s)
        return web.Response(
            body=_standing_text(request_id, standing),
            headers={"Content-Type": JSON, "Cache-Control": "no-store"},
        )

    async def receipt(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """A request's receipt, or that of one event of a bundle, once a checkpoint covers it."""
        request_id = parameters["request_id"]
        id_bytes = _id_bytes(request_id)
        event = _event_of(request)
        if "Authorization" in request.headers:
            return await self._exports.receipt(request, id_bytes, event)
        terms = terms_of(request, self._deadline_s)
        try:
            found = await self._ledger.receipt(id_bytes, event, terms=terms)
        except Problem as problem:
            if problem.code != "request_unknown":
                raise
            await self._explain_missing(request, request_id)
        return _receipt_response(request, request_id, found, event)

    async def _explain_missing(self, request: web.BaseRequest, request_id: str) -> NoReturn:
        """The ledger does not know the request: say whether it is only on its way there.

        Raises: Problem `receipt_pending` or `request_unknown`.
        """
        standing = await self._standing(request, request_id)
        if standing.state in (RequestState.PENDING, RequestState.COMMITTED):
            raise Problem(
                "receipt_pending", "the request is on its way into the log", retry_after_s=1
            )
        detail = "neither the log nor a validator knows this request"
        raise Problem("request_unknown", detail, retry_after_s=1)

    async def _standing(
        self, request: web.BaseRequest, request_id: str, *, exp_s: int = 0
    ) -> Standing:
        return await find_standing(
            _id_bytes(request_id),
            ledger=self._ledger,
            validators=self._validators,
            terms=terms_of(request, self._deadline_s),
            exp_s=exp_s,
        )

    def _read_batch(self, body: bytes) -> Sequence[bytes]:
        """The requests of a batch. Raises: Problem `body_malformed`, `batch_too_large`."""
        try:
            items = json.loads(body)
        except (ValueError, RecursionError):
            raise Problem("body_malformed", "the body is not JSON") from None
        if not isinstance(items, list) or not items:
            raise Problem("body_malformed", "the body is no JSON array with a request in it")
        if len(items) > self._batch_requests_max:
            raise Problem(
                "batch_too_large", f"{len(items)} requests; {self._batch_requests_max} may be"
            )
        for place, item in enumerate(items):
            if not isinstance(item, str):
                raise Problem("body_malformed", f"item {place} is no string", field=f"[{place}]")
        # What is not ASCII is no JWS: the validator says so of the question marks too.
        return [item.encode("ascii", "replace") for item in items]

    def _submit_item(
        self, jws: bytes, wait: Wait, trace: bytes
    ) -> "asyncio.Future[Recorded | Problem] | Problem":
        if len(jws) > self._request_bytes_max:
            detail = f"the JWS has {len(jws)} bytes; {self._request_bytes_max} may be"
            return Problem("request_too_large", detail)
        return self._submissions.submit(jws, iss=issuer_of(jws), wait=wait, trace=trace)


def wait_of(request: web.BaseRequest) -> Wait:
    """When the client wants its answer (RFC 7240, `Prefer: respond-async`)."""
    preferred = request.headers.get("Prefer")
    if preferred is None:
        return Wait.COMMITTED
    preferences = [part.partition(";")[0].strip().lower() for part in preferred.split(",")]
    return Wait.ADMITTED if "respond-async" in preferences else Wait.COMMITTED


def _headers(answer: Answer, recorded: Recorded) -> dict[str, str]:
    headers = {
        "Content-Type": "application/problem+json" if answer.problem else JSON,
        "Location": answer.location,
        "Cache-Control": "no-store",
    }
    if recorded.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.status == 202:
        headers["Retry-After"] = "1"
    return headers


def _outcome_text(outcome: Recorded | Problem) -> bytes:
    """One outcome of a batch: the body of the single call, and what its head would say."""
    if isinstance(outcome, Problem):
        retry_after_s = retry_after_of(outcome)
        more = {"retry_after_s": retry_after_s} if retry_after_s else {}
        return problem_details(outcome, more=more)
    answer = recorded_answer(outcome)
    if answer.problem is not None:
        return answer.body
    replayed = b'"replayed":true,' if outcome.replayed else b""
    return b'{"status":%d,%b%b' % (answer.status, replayed, answer.body[1:])


def _standing_text(request_id: str, standing: Standing) -> bytes:
    members: dict[str, object] = {"request_id": request_id, "state": standing.state.name}
    if standing.state is RequestState.COMMITTED:
        members["index"] = standing.index
        if standing.outcome in _OUTCOMES:
            members["outcome"] = _OUTCOMES[standing.outcome]
        members["receipt_ready"] = standing.receipt_ready
        members["receipt"] = f"/v1/requests/{request_id}/receipt"
    return json.dumps(members, separators=(",", ":")).encode("ascii")


def _event_of(request: web.BaseRequest) -> int | None:
    """Which event of a bundle is meant, if one is. Raises: Problem `parameter_invalid`."""
    event = numbers_of(request, {"event": -1})["event"]
    if event >= EVENTS_MAX:
        raise invalid("event", f"a bundle has at most {EVENTS_MAX} events, from 0")
    return event if event >= 0 else None


def _receipt_response(
    request: web.BaseRequest, request_id: str, found: RequestReceipt, event: int | None
) -> web.Response:
    query = "" if event is None else f"?event={event}"
    body = encode_public_receipt(
        entry=found.entry,
        proof=found.proof,
        bundle=found.bundle,
        links={
            "self": f"/v1/requests/{request_id}/receipt{query}",
            "entry": f"/v1/entries/{found.index}",
            "checkpoint": "/checkpoint",
        },
    )
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Content-Type": JSON, "Cache-Control": RECEIPT_CACHING, "ETag": tag}
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)


def _id_bytes(request_id: str) -> bytes:
    """A request id's 32 bytes. Raises: Problem `parameter_invalid`."""
    if not is_request_id(request_id):
        raise Problem(
            "parameter_invalid", "a request id is 43 letters of base64url", field="request_id"
        )
    return base64url.decode(request_id)
