"""Calls that their subject signs: `Authorization: Heptad <JWS>`.

The JWS is an ordinary request to the cell's own service whose `act` is the call. Here it is only
looked at as far as needed to refuse what would record something else than the caller meant; whether
it is valid, the validator says, as of any request.
"""

from typing import Final

from aiohttp import web

from heptad.crypto.peeking import peeked_claims
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem

SCHEME: Final = "Heptad"


def signed_call(request: web.BaseRequest, action: str) -> bytes:
    """The JWS with which the subject asks for `action` of the cell.

    Raises: Problem `authorization_missing`; `claim_invalid` if it asks for something else.
    """
    given = request.headers.getall("Authorization", [])
    if len(given) != 1:
        raise _missing(f"{len(given)} Authorization headers, not one")
    scheme, _, token = given[0].partition(" ")
    # RFC 9110, section 11.1: schemes are compared without case.
    if scheme.lower() != SCHEME.lower() or not token:
        raise _missing(f"the scheme is not {SCHEME}")
    jws = token.strip(" ").encode("ascii", "replace")
    claims = peeked_claims(jws)
    # What cannot be read at all, the validator refuses in its own words.
    if claims is not None:
        for name, wanted in (("svc", OWN_SERVICE), ("act", action)):
            if claims.get(name) != wanted:
                raise Problem("claim_invalid", f"{name} of this call is {wanted}", field=name)
    return jws


def _missing(detail: str) -> Problem:
    return Problem("authorization_missing", detail, field="Authorization")
