"""Audience: a request made for one deployment must be worth nothing at another."""

from heptad.crypto.requests import SignedRequest
from heptad.model.problems import Problem


def check_audience(request: SignedRequest, *, origin: str) -> None:
    """Raises: Problem `audience_mismatch` unless `aud` is this cell's origin."""
    if request.aud != origin:
        raise Problem("audience_mismatch", f"aud is not {origin}", field="aud")
