"""Bundles: many events under one signature of a service, for services that speak HTTP.

The body is JSON: `statement`, the JWS, and `events`, an object each, in the order that was signed.
It is only taken apart here; whether the events are what the statement says, its validator finds
out. A gateway sees the payloads on their way, as it sees those of requests.
"""

import json
from typing import Final

from aiohttp import web

from heptad.client import Bundle, issuer_of
from heptad.model import base64url
from heptad.model.answers import BundleRecorded, RequestState
from heptad.model.bundles import EVENTS_MAX, PrivateEvent
from heptad.model.entry import Outcome
from heptad.model.problems import Problem
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import decode_base64
from heptad_gateway.bodies import JSON, BodyRoom, BodyRule, read_body
from heptad_gateway.calls import terms_of
from heptad_gateway.ports import Validators
from heptad_gateway.requests import wait_of
from heptad_gateway.routing import Parameters, Route

BODY_BYTES_MAX: Final = 2 << 20
"""A bundle of 1 MiB in base64, and the JSON around it."""

BODIES_BYTES_MAX: Final = 16 << 20
"""Of half-read bodies of all clients together."""

_MEMBERS: Final = frozenset({"subject", "action", "outcome", "time_ms", "witness", "payload"})
_OUTCOMES: Final = {"allowed": Outcome.ALLOWED, "denied": Outcome.DENIED}
_TIME_MS_MAX: Final = 2**63 - 1


class BundlesApi:
    """What an internal service calls instead of `SubmitBundle`."""

    def __init__(self, *, validators: Validators, deadline_s: float) -> None:
        self._validators = validators
        self._deadline_s = deadline_s
        room = BodyRoom(BODIES_BYTES_MAX)
        self._rule = BodyRule(JSON, BODY_BYTES_MAX, "bundle_too_large", room)

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [Route("POST", "/v1/bundles", self.submit)]

    async def submit(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Record a bundle: all of it, or nothing."""
        bundle = read_bundle(await read_body(request, self._rule))
        answer = await self._validators.submit_bundle(
            bundle,
            iss=issuer_of(bundle.statement),
            wait=wait_of(request),
            terms=terms_of(request, self._deadline_s),
        )
        return _response(answer)


def read_bundle(body: bytes) -> Bundle:
    """The bundle that a body spells.

    Raises: Problem `body_malformed`, `bundle_too_large`, `event_invalid`.
    """
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem("body_malformed", "the body is not JSON") from None
    if not isinstance(members, dict) or members.keys() != {"statement", "events"}:
        raise Problem("body_malformed", "the body is no JSON object of statement and events")
    statement, events = members["statement"], members["events"]
    if not isinstance(statement, str) or not isinstance(events, list):
        raise Problem("body_malformed", "statement is a string and events is an array")
    if len(events) > EVENTS_MAX:
        detail = f"{len(events)} events; the limit is {EVENTS_MAX}"
        raise Problem("bundle_too_large", detail, field="events")
    # What is not ASCII is no JWS: the validator says so of the question marks too.
    return Bundle(
        statement.encode("ascii", "replace"),
        tuple(_event(place, event) for place, event in enumerate(events)),
    )


def _event(place: int, members: object) -> PrivateEvent:
    if not isinstance(members, dict) or members.keys() != _MEMBERS:
        detail = f"an event is an object of {', '.join(sorted(_MEMBERS))}"
        raise Problem("event_invalid", detail, field=f"events[{place}]")
    time_ms = members["time_ms"]
    if type(time_ms) is not int or not 0 <= time_ms <= _TIME_MS_MAX:
        raise _invalid(place, "time_ms", "a time is a whole number of ms since 1970")
    outcome = members["outcome"]
    if not isinstance(outcome, str) or outcome not in _OUTCOMES:
        raise _invalid(place, "outcome", "an outcome is allowed or denied")
    return PrivateEvent(
        subject=_text(place, members, "subject"),
        action=_text(place, members, "action"),
        outcome=_OUTCOMES[outcome],
        time_ms=time_ms,
        witness=_bytes(place, members, "witness"),
        payload=_bytes(place, members, "payload"),
    )


def _text(place: int, members: dict[str, object], name: str) -> str:
    value = members[name]
    # Ids and actions are ASCII, whoever made them; what is not could not even be sent on.
    if not isinstance(value, str) or not value.isascii():
        raise _invalid(place, name, f"{name} is a string in ASCII")
    return value


def _bytes(place: int, members: dict[str, object], name: str) -> bytes:
    value = members[name]
    refusal = _invalid(place, name, f"{name} is a string in base64")
    if not isinstance(value, str):
        raise refusal
    try:
        return decode_base64(value)
    except FormatError:
        raise refusal from None


def _invalid(place: int, name: str, detail: str) -> Problem:
    return Problem("event_invalid", detail, field=f"events[{place}].{name}")


def _response(answer: BundleRecorded) -> web.Response:
    """201 once committed, 202 while pending."""
    recorded = answer.recorded
    request_id = base64url.encode(recorded.request_id)
    location = f"/v1/requests/{request_id}"
    members: dict[str, object] = {
        "request_id": request_id,
        "state": recorded.state.name,
        "count": answer.count,
        "time_ms": recorded.time_ms,
    }
    headers = {"Content-Type": JSON, "Location": location, "Cache-Control": "no-store"}
    if recorded.replayed:
        headers["Idempotent-Replayed"] = "true"
    is_in = recorded.state is RequestState.COMMITTED
    if is_in:
        members |= {"index": recorded.index, "receipt": f"{location}/receipt"}
    else:
        members["location"] = location
        headers["Retry-After"] = "1"
    body = json.dumps(members, separators=(",", ":")).encode("ascii")
    return web.Response(status=201 if is_in else 202, body=body, headers=headers)
