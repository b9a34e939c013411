"""Freshness: what was signed must have been signed just now, by a clock that is about right.

The error says which way the clock is wrong, because "token invalid" has cost people days.
"""

from typing import Protocol

from heptad.model.problems import Problem


class Timed(Protocol):
    """What was signed at a time: a request, or a bundle's statement."""

    @property
    def iat(self) -> int:
        """When it was signed, in seconds since 1970."""

    @property
    def exp(self) -> int:
        """Until when it is valid, in seconds since 1970."""


def check_freshness(request: Timed, *, now_s: int, skew_s_max: int, lifetime_s_max: int) -> None:
    """Refuse what is too old, from the future, or valid for too long; all in whole seconds.

    Raises: Problem `lifetime_too_long`, `request_expired`, `request_from_the_future`.
    """
    lifetime_s = request.exp - request.iat
    if lifetime_s > lifetime_s_max:
        raise Problem(
            "lifetime_too_long",
            f"exp - iat is {lifetime_s} s; at most {lifetime_s_max} s are allowed",
            field="exp",
        )
    if request.exp + skew_s_max < now_s:
        raise Problem(
            "request_expired",
            f"exp lies {now_s - request.exp} s in the past, by the clock here; {skew_s_max} s are "
            "tolerated: it came late, or your clock is behind",
            field="exp",
        )
    if request.iat - skew_s_max > now_s:
        raise Problem(
            "request_from_the_future",
            f"iat lies {request.iat - now_s} s in the future, by the clock here; {skew_s_max} s "
            "are tolerated: your clock is ahead",
            field="iat",
        )
