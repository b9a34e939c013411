"""What was recorded, as JSON and status: the same for one request and for one of a batch.

Written by hand, since it is the one text that is made for every request. Nothing in it needs
escaping: ids are base64url, codes and states are ours.
"""

from typing import Final, NamedTuple

from heptad.model import base64url
from heptad.model.answers import Recorded, Registered, RequestState
from heptad.model.entry import Outcome
from heptad.model.problems import PROBLEMS, Problem
from heptad_gateway.problems import problem_details

_UNKNOWN_DENIAL: Final = "action_not_allowed"
"""Stands for a denial whose code a newer validator knows and this gateway does not."""


class Answer(NamedTuple):
    """An answer's status and body; `location` is where the request's status is."""

    status: int
    body: bytes
    location: str
    problem: Problem | None = None
    """Set where the outcome is a denial: it is recorded, and an error to its client."""


def recorded_answer(recorded: Recorded) -> Answer:
    """201 once committed, 202 while pending, and the denial's own status where it was denied."""
    request_id = base64url.encode(recorded.request_id)
    location = f"/v1/requests/{request_id}"
    if recorded.outcome is Outcome.DENIED:
        problem = _denial(recorded.denied_code)
        body = problem_details(problem, more=_denial_members(recorded, request_id, location))
        return Answer(problem.kind.http, body, location, problem)
    if recorded.state is RequestState.COMMITTED:
        text = (
            f'{{"request_id":"{request_id}","state":"COMMITTED","index":{recorded.index},'
            f'"outcome":"allowed","time_ms":{recorded.time_ms},'
            f'"receipt":"{location}/receipt"}}'
        )
        return Answer(201, text.encode("ascii"), location)
    text = (
        f'{{"request_id":"{request_id}","state":"PENDING","outcome":"allowed",'
        f'"time_ms":{recorded.time_ms},"location":"{location}"}}'
    )
    return Answer(202, text.encode("ascii"), location)


def registered_answer(registered: Registered) -> Answer:
    """A new subject: what was recorded, and its id and key id in front."""
    answer = recorded_answer(registered.recorded)
    if answer.problem is not None:
        return answer
    head = f'{{"subject_id":"{registered.subject_id}","kid":"{registered.kid}",'
    return answer._replace(body=head.encode("ascii") + answer.body[1:])


def _denial(code: str) -> Problem:
    detail = "the request was denied by policy, and the denial is recorded"
    return Problem(code if code in PROBLEMS else _UNKNOWN_DENIAL, detail)


def _denial_members(recorded: Recorded, request_id: str, location: str) -> dict[str, object]:
    """What a client needs to find the record of its denial.

    `retryable` is false whatever the code says: these bytes have their answer for ever, and a new
    attempt is a new request with a new `jti`.
    """
    members: dict[str, object] = {
        "retryable": False,
        "recorded": True,
        "request_id": request_id,
        "state": recorded.state.name,
        "outcome": "denied",
        "time_ms": recorded.time_ms,
    }
    if recorded.state is RequestState.COMMITTED:
        return {**members, "index": recorded.index, "receipt": f"{location}/receipt"}
    return {**members, "location": location}
