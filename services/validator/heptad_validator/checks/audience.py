"""Audience: a request made for one deployment must be worth nothing at another."""

from typing import Protocol

from heptad.model.problems import Problem


class Addressed(Protocol):
    """What was signed for somebody: a request, or a bundle's statement."""

    @property
    def aud(self) -> str:
        """The origin of the cell that it is for."""


def check_audience(request: Addressed, *, origin: str) -> None:
    """Raises: Problem `audience_mismatch` unless `aud` is this cell's origin."""
    if request.aud != origin:
        raise Problem("audience_mismatch", f"aud is not {origin}", field="aud")
