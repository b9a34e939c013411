"""Subjects: registration with proof of possession, and the keys that a subject has."""

import json
from typing import Protocol

from aiohttp import web

from heptad.client import Terms, issuer_of
from heptad.model.listed_keys import ListedKey
from heptad.model.own_actions import LIST_KEYS
from heptad_gateway.answers import registered_answer
from heptad_gateway.authorization import signed_call
from heptad_gateway.bodies import JOSE, JSON, BodyRule, read_body
from heptad_gateway.calls import terms_of
from heptad_gateway.ports import Validators
from heptad_gateway.queries import require_known
from heptad_gateway.routing import Parameters, Route


class KeyReader(Protocol):
    """Asks the ledger: a `heptad.client.PrivacyCalls`."""

    async def keys(self, jws: bytes, *, terms: Terms) -> tuple[ListedKey, ...]:
        """The keys of the subject that has signed this request for them. Raises: Problem."""


class SubjectsApi:
    """What an app calls for each of its users, once or seldom."""

    def __init__(
        self,
        *,
        validators: Validators,
        keys: KeyReader,
        request_bytes_max: int,
        deadline_s: float,
    ) -> None:
        self._validators = validators
        self._keys = keys
        self._deadline_s = deadline_s
        self._rule = BodyRule(JOSE, request_bytes_max, "request_too_large")

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("POST", "/v1/subjects", self.register),
            Route("GET", "/v1/subjects/me/keys", self.list_keys),
        ]

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

    async def list_keys(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The keys of the subject that signs this call, revoked ones too."""
        require_known(request, ())
        jws = signed_call(request, LIST_KEYS)
        keys = await self._keys.keys(jws, terms=terms_of(request, self._deadline_s))
        body = json.dumps({"keys": [_members(key) for key in keys]}).encode()
        headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
        return web.Response(body=body, headers=headers)


def _members(key: ListedKey) -> dict[str, object]:
    members: dict[str, object] = {
        "kid": key.kid,
        "active": key.revoked_index is None,
        "index": key.index,
        "added_ms": key.added_ms,
    }
    if key.revoked_index is not None:
        members |= {"revoked_index": key.revoked_index, "revoked_ms": key.revoked_ms}
    return members
