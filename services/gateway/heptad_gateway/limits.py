"""What one client and all clients together may take, and how an answer says so.

The gateway keeps two bounds of its own here: HTTP requests under way (memory), and requests of one
address in a second (fairness). Both refuse before a body is read. What they make the ledger read is
counted in `budget`. The header fields are those of
the IETF's RateLimit draft: `RateLimit-Policy` names the quota, `RateLimit` what is left of it.
"""

import ipaddress
from collections.abc import Callable
from typing import Final, TypeAlias

from aiohttp import web

from heptad.model.problems import Problem

Charge: TypeAlias = Callable[[web.BaseRequest, int], None]
"""Takes so many requests out of the client's allowance, or raises `client_rate_limited`."""

ADDRESSES_MAX: Final = 65_536
"""Addresses remembered; the one that was quiet for longest is forgotten first."""

_BURST_S: Final = 2.0
"""A client may spend the allowance of so many seconds at once."""


class ClientLimit:
    """A token bucket for each client address; IPv6 clients count by their /64."""

    def __init__(self, requests_per_s_max: int) -> None:
        """0 switches the limit off."""
        self._rate = requests_per_s_max
        self._buckets: dict[str, tuple[float, float]] = {}

    @property
    def is_on(self) -> bool:
        """Whether anything is limited."""
        return self._rate > 0

    def admit(self, address: str, *, cost: int, now_s: float) -> None:
        """Take `cost` requests out of the address's bucket.

        `now_s` is monotonic. Raises: Problem `client_rate_limited`, which takes nothing.
        """
        client = client_of(address)
        full = self._rate * _BURST_S
        tokens, at_s = self._buckets.pop(client, (full, now_s))
        tokens = min(full, tokens + (now_s - at_s) * self._rate)
        # A batch may be larger than the bucket: it is let in when that is full, and then owed.
        is_admitted = tokens >= min(cost, full)
        self._buckets[client] = (tokens - cost if is_admitted else tokens, now_s)
        if len(self._buckets) > ADDRESSES_MAX:
            del self._buckets[next(iter(self._buckets))]
        if not is_admitted:
            wait_s = max(1, round((min(cost, full) - tokens) / self._rate + 0.5))
            raise Problem(
                "client_rate_limited",
                f"more than {self._rate} requests a second from one address",
                retry_after_s=wait_s,
            )


def client_of(address: str) -> str:
    """Whom an address stands for: who has one IPv6 address has its whole /64."""
    if ":" not in address:
        return address
    try:
        network = ipaddress.ip_network((address.partition("%")[0], 64), strict=False)
    except ValueError:
        return address
    return str(network)


class RateLimitFields:
    """Writes the RateLimit header fields of answers with status 429 and 503."""

    def __init__(
        self, *, client_per_s_max: int, subject_per_minute_max: int, in_flight_max: int
    ) -> None:
        self._policies = {
            "client_rate_limited": f'"client";q={client_per_s_max};w=1',
            "subject_rate_limited": f'"subject";q={subject_per_minute_max};w=60',
        }
        self._in_flight_max = in_flight_max

    def of(
        self, code: str, *, retry_after_s: int, in_flight: int, policy: str = ""
    ) -> dict[str, str]:
        """The fields for a refusal of this code; `in_flight` is how many requests are under way.

        `policy` is that of the refusal itself, where it has one.
        """
        policy = policy or self._policies.get(code, "")
        if policy:
            name = policy.partition(";")[0]
            return {"RateLimit-Policy": policy, "RateLimit": f"{name};r=0;t={retry_after_s}"}
        left = max(0, self._in_flight_max - in_flight)
        return {
            "RateLimit-Policy": f'"in-flight";q={self._in_flight_max};qu="concurrent-requests"',
            "RateLimit": f'"in-flight";r={left};t={retry_after_s}',
        }
