"""The HTTP server under the door: bounded in connections, and polite to what is no HTTP.

aiohttp answers a broken head in its own words and takes any number of connections. Both are changed
here by deriving from its public low-level server. A connection that sends no whole head is closed
after `KEEPALIVE_S`, which is also how long an idle one is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from heptad.model.problems import Problem
from heptad.runtime.config import split_address
from heptad.runtime.errors import PortTakenError
from heptad_gateway.problems import problem_details, problem_response

KEEPALIVE_S: Final = 75.0
LINE_BYTES_MAX: Final = 8_190
HEADERS_MAX: Final = 64
LINGER_S: Final = 2.0
_READ_BUFFER_BYTES: Final = 1 << 16

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class GuardedHandler(web.RequestHandler):
    """One connection; says in our words that a head cannot be read."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's hook for what never reached the door. The connection is closed after it.

        `message` quotes what the client sent, so it is passed on to nobody.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        if status >= 500:
            problem = Problem("internal_error", "the answer could not be written")
        elif isinstance(exc, LineTooLong):
            problem = Problem("head_too_large", f"a line has more than {LINE_BYTES_MAX} bytes")
        else:
            problem = Problem("http_malformed", "the request's head is no HTTP/1.1")
        response = problem_response(problem)
        response.force_close()
        return response


class GuardedServer(web.Server):
    """A low-level server that takes a bounded number of connections."""

    def __init__(self, serve: Serve, *, connections_max: int) -> None:
        """The connection beyond `connections_max` is told `overloaded` and closed."""
        super().__init__(serve)
        self._connections_max = connections_max
        self._full_answer = _overloaded_answer(connections_max)

    @property
    def connection_count(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def __call__(self) -> web.RequestHandler:
        """A handler for a new connection."""
        return GuardedHandler(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # allowed, though not annotated
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
            read_bufsize=_READ_BUFFER_BYTES,
            auto_decompress=False,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """aiohttp's hook for a new connection."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._connections_max:
            transport.write(self._full_answer)
            transport.close()


class Listener:
    """One address that is listened on."""

    def __init__(self, server: GuardedServer) -> None:
        self.server = server
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)

    async def start(self, address: str) -> None:
        """Listen on `host:port`. Raises: PortTakenError."""
        host, port = split_address(address)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1_024, reuse_port=False)
        try:
            await site.start()
        except OSError as error:
            raise PortTakenError(f"cannot listen on {address}: {error.strerror}") from error

    async def stop(self) -> None:
        """Close the address and all connections; what is under way has one second."""
        await self._runner.cleanup()


def _overloaded_answer(connections_max: int) -> bytes:
    problem = Problem("overloaded", f"{connections_max} connections are open", retry_after_s=1)
    body = problem_details(problem)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\n"
        f'RateLimit-Policy: "connections";q={connections_max};qu="concurrent-requests"\r\n'
        'RateLimit: "connections";r=0;t=1\r\nConnection: close\r\n\r\n'
    )
    return head.encode("ascii") + body
