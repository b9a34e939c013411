"""What a call to another part of the cell takes over from the HTTP request that caused it."""

import re
from typing import Final

from aiohttp import web

from heptad.client import Terms
from heptad.observability.traces import TraceContext

TRACE: Final = web.RequestKey("heptad.trace", TraceContext)
"""Under this key a request that is traced carries the context of its span here."""

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(request: web.BaseRequest) -> str:
    """The trace that the request belongs to (W3C Trace Context), or "" if it names none."""
    given = request.headers.get("traceparent")
    return given if given is not None and _TRACEPARENT.fullmatch(given) else ""


def terms_of(request: web.BaseRequest, deadline_s: float) -> Terms:
    """How long the call may take, and its trace."""
    traceparent = traceparent_of(request)
    if traceparent and (context := request.get(TRACE)) is not None:
        traceparent = context.traceparent
    return Terms(deadline_s=deadline_s, traceparent=traceparent)


def packed_trace_of(request: web.BaseRequest) -> bytes:
    """The trace of a request for a stream, where it is traced; mostly empty."""
    if "traceparent" not in request.headers:
        return b""
    context = request.get(TRACE)
    return b"" if context is None else context.packed
