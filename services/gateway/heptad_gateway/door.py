"""The one way in: every HTTP request passes `Door.serve`, and whatever goes wrong leaves as problem
details with a stable code.

One function and no stack of middleware: what it does for each request (find the route, look at two
limits, count, translate what was raised) costs a few microseconds and can be read at once. No line
of log is written per request, since a citizen's every action would then lie in a file; only what
broke inside is logged, and the line names the route and never the request.
"""

import secrets
import time
from typing import Final

from aiohttp import web

from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.observability.traces import Span, Tracer, parse_traceparent
from heptad_gateway.budget import BudgetSpent
from heptad_gateway.calls import TRACE, traceparent_of
from heptad_gateway.limits import Charge, RateLimitFields
from heptad_gateway.problems import problem_response, retry_after_of
from heptad_gateway.routing import MethodRefused, Route, Router
from heptad_gateway.traffic import Traffic

_NO_ROUTE: Final = "-"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_READING: Final = frozenset({"GET", "HEAD"})
_BODY_LEFT_OVER: Final = frozenset({408, 413, 415})


class Door:
    """Serves requests by a router, within limits, until it is drained."""

    def __init__(
        self,
        *,
        router: Router,
        traffic: Traffic,
        log: EventLog,
        charge: Charge,
        rate_limit_fields: RateLimitFields,
        in_flight_max: int,
        tracer: Tracer | None = None,
    ) -> None:
        """`charge` takes requests out of their client's allowance."""
        self._tracer = tracer or Tracer()
        self._router = router
        self._traffic = traffic
        self._log = log
        self._charge = charge
        self._rate_limit_fields = rate_limit_fields
        self._in_flight_max = in_flight_max
        self.in_flight = 0
        self.draining = False

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises: ConnectionError and CancelledError only."""
        started_s = time.perf_counter()
        template = _NO_ROUTE
        traceparent = traceparent_of(request)
        span = self._begin_span(request, traceparent) if traceparent else None
        response: web.StreamResponse
        self.in_flight += 1
        try:
            route, parameters = self._router.find(request.method, request.path)
            template = route.template
            self._admit(request, route)
            response = await route.handler(request, parameters)
        except Problem as problem:
            response = self._refuse(problem)
        except ConnectionError:
            # The client has gone: nobody is left to answer.
            raise
        except Exception as error:  # noqa: BLE001  the door: whatever breaks leaves as a problem
            response = self._break(error, template)
        finally:
            self.in_flight -= 1
        self._finish(response, traceparent)
        method = request.method if request.method in _METHODS else _NO_ROUTE
        duration_s = time.perf_counter() - started_s
        self._traffic.answered(template, method, response.status, duration_s)
        if span is not None:
            span.end(
                {
                    "http.request.method": method,
                    "http.route": template,
                    "http.response.status_code": response.status,
                }
            )
        return response

    def _begin_span(self, request: web.BaseRequest, traceparent: str) -> Span | None:
        """The span of a request that is sampled, and within the limit; what it calls is below."""
        context = parse_traceparent(traceparent)
        if context is None or not self._tracer.accepts(context):
            return None
        span = self._tracer.begin("gateway.request", context)
        request[TRACE] = span.context
        return span

    def _admit(self, request: web.BaseRequest, route: Route) -> None:
        """Raises: Problem `overloaded`, `draining`, `client_rate_limited`."""
        if route.always:
            return
        if self.in_flight > self._in_flight_max:
            raise Problem(
                "overloaded", f"{self._in_flight_max} requests are under way", retry_after_s=1
            )
        if self.draining and request.method not in _READING:
            raise Problem("draining", "this gateway takes nothing new", retry_after_s=1)
        self._charge(request, 1)

    def _refuse(self, problem: Problem) -> web.Response:
        self._traffic.refused(problem.code)
        headers = {"Allow": problem.allow} if isinstance(problem, MethodRefused) else {}
        if problem.kind.http in (429, 503):
            headers |= self._rate_limit_fields.of(
                problem.code,
                retry_after_s=retry_after_of(problem) or 1,
                in_flight=self.in_flight,
                policy=problem.policy if isinstance(problem, BudgetSpent) else "",
            )
        return problem_response(problem, headers=headers)

    def _break(self, error: Exception, template: str) -> web.Response:
        """A bug of ours: logged with its place, answered without its text."""
        reference = secrets.token_hex(8)
        self._traffic.refused("internal_error")
        self._log.failure("handler_broke", error, route=template, reference=reference)
        problem = Problem("internal_error", f"it is logged under the reference {reference}")
        return problem_response(problem, more={"reference": reference})

    def _finish(self, response: web.StreamResponse, traceparent: str) -> None:
        headers = response.headers
        headers["Server"] = "heptad"
        headers["X-Content-Type-Options"] = "nosniff"
        if traceparent:
            headers["traceparent"] = traceparent
        if self.draining or response.status in _BODY_LEFT_OVER:
            # A body that nobody reads, or a gateway that goes: the connection is of no more use.
            response.force_close()
