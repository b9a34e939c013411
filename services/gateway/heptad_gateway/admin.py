"""The operators' own listener: taking a gateway out of service and putting it back.

It has no authentication, so it belongs on loopback or an operators' network. A web page that
somebody opens on that machine must still not be able to call it: a call has to say
`Content-Type: application/json`, which no page may send elsewhere without asking first.
"""

import json
from collections.abc import Callable
from typing import Final

from aiohttp import web

from heptad.observability.logs import EventLog
from heptad_gateway.bodies import JSON, BodyRule, read_body
from heptad_gateway.routing import Parameters, Route

_RULE: Final = BodyRule(JSON, 1_024, "request_too_large")


class AdminApi:
    """Drain and resume."""

    def __init__(
        self,
        *,
        set_draining: Callable[[bool], None],
        in_flight: Callable[[], int],
        log: EventLog,
    ) -> None:
        self._set_draining = set_draining
        self._in_flight = in_flight
        self._log = log

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("POST", "/v1/admin/drain", self.drain, always=True),
            Route("POST", "/v1/admin/resume", self.resume, always=True),
        ]

    async def drain(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Take no new requests; call again until `in_flight` is 0."""
        return await self._switch(request, draining=True)

    async def resume(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Take requests again."""
        return await self._switch(request, draining=False)

    async def _switch(self, request: web.BaseRequest, *, draining: bool) -> web.Response:
        await read_body(request, _RULE)
        self._set_draining(draining)
        self._log.info("drain_switched", draining=draining)
        body = json.dumps({"draining": draining, "in_flight": self._in_flight()}).encode()
        return web.Response(body=body, headers={"Content-Type": JSON, "Cache-Control": "no-store"})
