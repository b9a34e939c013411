"""The one thing that a request's carrier reads of it: whose it is, to find its validator.

This is routing and not a check. What cannot be read goes to whichever validator the empty name
leads to, and that validator says what is wrong, in the one place where it is decided.
"""

from heptad.crypto.peeking import peeked_claims


def issuer_of(jws: bytes) -> str:
    """The claim `iss` of a compact JWS, or "" where there is none that can be read."""
    issuer = (peeked_claims(jws) or {}).get("iss")
    return issuer if isinstance(issuer, str) and issuer.isascii() else ""
