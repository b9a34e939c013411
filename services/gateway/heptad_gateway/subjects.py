"""Subjects: registration with proof of possession."""

from aiohttp import web

from heptad.client import issuer_of
from heptad_gateway.answers import registered_answer
from heptad_gateway.bodies import JOSE, JSON, BodyRule, read_body
from heptad_gateway.calls import terms_of
from heptad_gateway.ports import Validators
from heptad_gateway.routing import Parameters, Route


class SubjectsApi:
    """What an app calls once for each of its users."""

    def __init__(
        self, *, validators: Validators, request_bytes_max: int, deadline_s: float
    ) -> None:
        self._validators = validators
        self._deadline_s = deadline_s
        self._rule = BodyRule(JOSE, request_bytes_max, "request_too_large")

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [Route("POST", "/v1/subjects", self.register)]

    async def register(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """Register a subject and its first key.

        `Location` is the status of the registering request: no address holds a subject's id.
        """
        jws = await read_body(request, self._rule)
        registered = await self._validators.register(
            jws, iss=issuer_of(jws), terms=terms_of(request, self._deadline_s)
        )
        answer = registered_answer(registered)
        headers = {
            "Content-Type": "application/problem+json" if answer.problem else JSON,
            "Location": answer.location,
            "Cache-Control": "no-store",
        }
        if registered.recorded.replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.Response(status=answer.status, body=answer.body, headers=headers)
