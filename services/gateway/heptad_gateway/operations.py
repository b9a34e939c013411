"""What operators, orchestrators and newcomers ask: alive, ready, metrics, and what this is."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from aiohttp import web

from heptad.client import Terms
from heptad.model.problems import Problem
from heptad.observability.metrics import CONTENT_TYPE
from heptad.runtime.config import Cell
from heptad.runtime.version import VERSION
from heptad_gateway.bodies import JSON
from heptad_gateway.calls import traceparent_of
from heptad_gateway.ports import Ledger, Submissions
from heptad_gateway.problems import kind_of, page_of, problem_response
from heptad_gateway.quorum import Heard, QuorumWatch, shortage, trouble_of
from heptad_gateway.routing import Parameters, Route

OPENAPI_FILE: Final = "openapi.json"
_LEDGER_S_MAX: Final = 1.0
_TEXT: Final = "text/plain; charset=utf-8"
_CODES: Final = {
    "open": "draining",
    "validators": "validator_unavailable",
    "quorum": "quorum_unavailable",
}
"""What `/readyz` says for each check that decides."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that readiness looks at; `needed` ones decide, the others only tell."""

    name: str
    holds: bool
    needed: bool
    reason: str


class OperationsApi:
    """Health, metrics and the way in for newcomers."""

    def __init__(
        self,
        *,
        quorum: QuorumWatch,
        submissions: Submissions,
        ledger: Ledger,
        cell: Cell,
        exposition: Callable[[], bytes],
        is_draining: Callable[[], bool],
    ) -> None:
        self._quorum = quorum
        self._submissions = submissions
        self._ledger = ledger
        self._cell = cell
        self._exposition = exposition
        self._is_draining = is_draining
        self._openapi = files("heptad_gateway").joinpath(OPENAPI_FILE).read_bytes()

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("GET", "/livez", self.alive, always=True),
            Route("GET", "/readyz", self.ready, always=True),
            Route("GET", "/metrics", self.metrics, always=True),
            Route("GET", "/v1", self.about),
            Route("GET", "/v1/openapi.json", self.openapi),
            Route("GET", "/errors/{code}", self.explain),
        ]

    async def alive(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The event loop runs."""
        return web.Response(body=b"ok\n", headers=_uncached(_TEXT))

    async def ready(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Whether requests should be sent here; with `?verbose`, why or why not.

        A ledger that is away does not make a gateway unready: writing goes on without it. Too few
        replicas do: nothing new can be recorded, though reads and proofs go on.
        """
        heard = await self._quorum.look()
        checks = self._needed_checks(heard)
        verbose = "verbose" in request.query
        if verbose:
            checks += self._validator_checks(heard)
            checks.append(await self._ledger_check(request))
        failed = [check for check in checks if check.needed and not check.holds]
        more: dict[str, object] = {"ready": not failed}
        if verbose:
            more["checks"] = [
                {"name": c.name, "ok": c.holds, "needed": c.needed, "reason": c.reason}
                for c in checks
            ]
        if not failed:
            return _json(more)
        code = _CODES[failed[0].name]
        return problem_response(Problem(code, failed[0].reason, retry_after_s=1), more=more)

    async def metrics(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """All metrics, in Prometheus' text format."""
        return web.Response(body=self._exposition(), headers=_uncached(CONTENT_TYPE))

    async def about(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Name, version, origin and state, the limits of a request, and where to go on."""
        limits = self._cell.limits
        ledger = await self._ledger_check(request)
        heard = await self._quorum.look()
        return _json(
            {
                "name": "heptad",
                "version": VERSION,
                "origin": self._cell.origin,
                "status": self._status(ledger, heard),
                "open_registration": self._cell.open_registration,
                "limits": {
                    "request_bytes_max": limits.request_bytes_max,
                    "data_bytes_max": limits.data_bytes_max,
                    "request_lifetime_s_max": limits.request_lifetime_s_max,
                    "clock_skew_s_max": limits.clock_skew_s_max,
                },
                "links": {
                    "openapi": "/v1/openapi.json",
                    "requests": "/v1/requests",
                    "checkpoint": "/checkpoint",
                    "policy": "/policy",
                    "readiness": "/readyz?verbose",
                },
            }
        )

    async def openapi(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """This API's description (OpenAPI 3.1)."""
        headers = {"Content-Type": JSON, "Cache-Control": "no-cache"}
        return web.Response(body=self._openapi, headers=headers)

    async def explain(self, _request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """What a code of problem details means."""
        headers = {"Content-Type": _TEXT, "Cache-Control": "no-cache"}
        return web.Response(text=page_of(kind_of(parameters["code"])), headers=headers)

    def _status(self, ledger: Check, heard: Heard) -> str:
        if not all(check.holds for check in self._needed_checks(heard)):
            return "draining" if self._is_draining() else "unavailable"
        are_well = not any(map(trouble_of, heard.values()))
        is_whole = ledger.holds and are_well and not self._submissions.troubles()
        return "ok" if is_whole else "degraded"

    def _needed_checks(self, heard: Heard) -> list[Check]:
        draining = self._is_draining()
        reachable = self._submissions.ready
        lacking = shortage(heard)
        return [
            Check("open", not draining, True, "about to stop" if draining else "takes requests"),
            Check(
                "validators",
                reachable,
                True,
                "at least one can be reached" if reachable else "none can be reached",
            ),
            Check("quorum", lacking is None, True, lacking or "the replicas agree"),
        ]

    def _validator_checks(self, heard: Heard) -> list[Check]:
        troubles = dict(self._submissions.troubles())
        for number, status in heard.items():
            if (reason := trouble_of(status)) is not None:
                troubles.setdefault(number, reason)
        numbers = [int(member.id.rpartition("-")[2]) for member in self._cell.validators]
        return [
            Check(f"validator-{n}", n not in troubles, False, troubles.get(n, "connected"))
            for n in numbers
        ]

    async def _ledger_check(self, request: web.BaseRequest) -> Check:
        terms = Terms(deadline_s=_LEDGER_S_MAX, traceparent=traceparent_of(request))
        name = self._cell.ledger.id
        try:
            status = await self._ledger.status(terms=terms)
        except Problem as problem:
            return Check(name, False, False, f"{problem.code}: {problem.detail}")
        size, published = status.size, status.checkpoint_size
        return Check(name, True, False, f"{size} entries applied, {published} published")


def _json(members: dict[str, object]) -> web.Response:
    body = json.dumps(members, separators=(",", ":")).encode("utf-8")
    return web.Response(body=body, headers=_uncached(JSON))


def _uncached(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "Cache-Control": "no-store"}
