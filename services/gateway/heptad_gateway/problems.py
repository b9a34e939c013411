"""A `Problem` as an HTTP answer: problem details (RFC 9457) out of the one table.

`type` is the address of the code's own page at this gateway; `code` is the same word alone, for
programs. What a caller may do next stands in `advice` and `retryable`, and in `Retry-After` where
waiting helps. Nothing of the request is ever repeated.
"""

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from heptad.model.problems import PROBLEMS, Problem, ProblemKind

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 1
_WAITING_HELPS: Final = frozenset({404, 408, 429, 503})


def problem_details(
    problem: Problem, *, status: int | None = None, more: Mapping[str, object] | None = None
) -> bytes:
    """The JSON object; `more` adds members of this case, `status` overrides the table's."""
    kind = problem.kind
    members: dict[str, object] = {
        "type": f"/errors/{kind.code}",
        "title": kind.title,
        "status": status or kind.http,
        "code": kind.code,
        "detail": problem.detail,
        "advice": kind.advice,
        "retryable": kind.retry,
    }
    if problem.field:
        members["field"] = problem.field
    members.update(more or {})
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def problem_response(
    problem: Problem,
    *,
    status: int | None = None,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The HTTP answer; `headers` are those of this case, such as the limit that was reached."""
    answer_headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})}
    retry_after_s = retry_after_of(problem)
    if retry_after_s:
        answer_headers["Retry-After"] = str(retry_after_s)
    return web.Response(
        status=status or problem.kind.http,
        body=problem_details(problem, status=status, more=more),
        headers=answer_headers,
    )


def retry_after_of(problem: Problem) -> int | None:
    """Seconds to wait before the same bytes may succeed; None where waiting does not help."""
    if problem.retry_after_s:
        return problem.retry_after_s
    kind = problem.kind
    return _RETRY_AFTER_S if kind.retry and kind.http in _WAITING_HELPS else None


def page_of(kind: ProblemKind) -> str:
    """A code's page, as plain text: what `type` leads to."""
    again = (
        "The same bytes may succeed later." if kind.retry else "The same bytes will not succeed."
    )
    return (
        f"{kind.code}: {kind.title}\n\n"
        f"HTTP status {kind.http}, gRPC status {kind.grpc.value}\n{again}\n\n"
        f"What to do: {kind.advice}\n"
    )


def kind_of(code: str) -> ProblemKind:
    """The row of a code. Raises: Problem `not_found`."""
    kind = PROBLEMS.get(code)
    if kind is None:
        raise Problem("not_found", "no such code")
    return kind
