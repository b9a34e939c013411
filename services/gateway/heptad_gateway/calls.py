"""What a call to another part of the cell takes over from the HTTP request that caused it."""

import re
from typing import Final

from aiohttp import web

from heptad.client import Terms

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(request: web.BaseRequest) -> str:
    """The trace that the request belongs to (W3C Trace Context), or "" if it names none."""
    given = request.headers.get("traceparent")
    return given if given is not None and _TRACEPARENT.fullmatch(given) else ""


def terms_of(request: web.BaseRequest, deadline_s: float) -> Terms:
    """How long the call may take, and its trace."""
    return Terms(deadline_s=deadline_s, traceparent=traceparent_of(request))
