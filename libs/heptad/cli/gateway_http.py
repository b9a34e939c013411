"""The gateway, as the commands call it: plain HTTP by the standard library, problems as `Problem`.

A command line waits for one answer at a time and should start fast, so `urllib` is enough. Proxies
of the environment are used for gateways elsewhere and never for one on this machine.
"""

import email.message
import errno
import http.client
import ipaddress
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from heptad.model.problems import PROBLEMS, Problem

URL_DEFAULT: Final = "http://127.0.0.1:7700"
_TIMEOUT_S: Final = 20.0
_SILENCE_S_MAX: Final = 45.0
"""Of an answer that does not end: a watch says something every 15 s."""
_PROBLEM: Final = "application/problem+json"
_SECONDS: Final = re.compile("[0-9]{1,6}")


class GatewayRefusal(Problem):
    """The gateway's problem details, with all members that came."""

    def __init__(
        self, code: str, detail: str, members: Mapping[str, object], retry_after_s: int | None
    ) -> None:
        field = str(members.get("field", ""))
        super().__init__(code, detail, field=field, retry_after_s=retry_after_s)
        self.members = members


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no problem."""

    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        """The body's JSON object. Raises: Problem `body_malformed`."""
        try:
            members = json.loads(self.body)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            raise Problem("body_malformed", "the gateway's answer is no JSON object")
        return members


class GatewayHttp:
    """Calls one gateway."""

    def __init__(self, url: str) -> None:
        """`url` is its base address. Raises: OSError for what is no HTTP address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OSError(errno.EINVAL, "not an http or https address", url)
        self._url = url.rstrip("/")
        proxies: dict[str, str] | None = {} if _is_here(parts.hostname) else None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Raises: GatewayRefusal, Problem, OSError."""
        request = urllib.request.Request(self._url + path, headers=dict(headers or {}))  # noqa: S310  http(s) only
        return self._call(request)

    def lines(self, path: str, *, headers: Mapping[str, str]) -> Iterator[str]:
        """The lines of an answer that does not end by itself, as they come.

        Raises: GatewayRefusal, Problem, OSError, also when it has been silent for too long.
        """
        request = urllib.request.Request(self._url + path, headers=dict(headers))  # noqa: S310  http(s) only
        with self._opened(request, timeout_s=_SILENCE_S_MAX) as response:
            for line in response:
                yield line.decode("utf-8").rstrip("\r\n")

    @contextmanager
    def opened(
        self, path: str, *, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer to be read as it comes; one that breaks off is an OSError, never a short one.

        Raises: GatewayRefusal, Problem, OSError.
        """
        request = urllib.request.Request(self._url + path, headers=dict(headers))  # noqa: S310  http(s) only
        with self._opened(request, timeout_s=_SILENCE_S_MAX) as response:
            yield response

    def post(
        self, path: str, body: bytes, *, media_type: str, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Raises: GatewayRefusal, Problem, OSError."""
        head = {"Content-Type": media_type, **(headers or {})}
        request = urllib.request.Request(self._url + path, data=body, headers=head)  # noqa: S310  http(s) only
        return self._call(request)

    def origin(self) -> str:
        """The cell's origin: the audience of its requests. Raises: as `get`."""
        return str(self.get("/v1").json().get("origin", ""))

    def _call(self, request: urllib.request.Request) -> Reply:
        with self._opened(request, timeout_s=_TIMEOUT_S) as response:
            return Reply(response.status, response.read())

    @contextmanager
    def _opened(
        self, request: urllib.request.Request, *, timeout_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.headers, error.read()) from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise OSError(errno.EHOSTUNREACH, f"cannot be reached: {reason}", self._url) from None
        except http.client.HTTPException as error:
            raise OSError(errno.ECONNRESET, f"broke off: {error}", self._url) from None


def _refusal(status: int, head: email.message.Message, body: bytes) -> Problem:
    """The problem that an answer tells; one of an unknown code keeps its words."""
    try:
        members = json.loads(body) if head.get_content_type() == _PROBLEM else None
    except ValueError:
        members = None
    if not isinstance(members, dict):
        return Problem("internal_error", f"an answer of status {status} that is no problem details")
    code, detail = str(members.get("code", "")), str(members.get("detail", ""))
    if code not in PROBLEMS:
        code, detail = "internal_error", f"{code}: {detail}"
    after = head.get("Retry-After", "")
    retry_after_s = int(after) if _SECONDS.fullmatch(after) else None
    return GatewayRefusal(code, detail, members, retry_after_s)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
