"""The Prometheus endpoint: a few lines of HTTP/1.1 instead of a web framework.

Importing aiohttp costs 0.25 s and 15 MB in each of nine processes that need nothing else of it. The
listener answers `GET /metrics`, `/livez` and `/readyz` on an internal address, one request
per connection, and has no input to speak of.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from heptad.observability.metrics import CONTENT_TYPE
from heptad.runtime.config.addresses import split_address
from heptad.runtime.errors import PortTakenError

_HEAD_BYTES_MAX: Final = 8_192
_READ_S_MAX: Final = 5.0
_TEXT: Final = "text/plain; charset=utf-8"


class MetricsListener:
    """Serves one process's metrics."""

    def __init__(
        self,
        *,
        exposition: Callable[[], bytes],
        ready: Callable[[], bool],
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """`note` is what `/readyz` adds where all is not as it should be."""
        self._exposition = exposition
        self._ready = ready
        self._note = note
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, address: str) -> int:
        """Listen on `address` and return the port. Raises: PortTakenError."""
        host, port = split_address(address)
        try:
            self._server = await asyncio.start_server(
                self._accept, host, port, limit=_HEAD_BYTES_MAX
            )
        except OSError as error:
            raise PortTakenError(f"cannot listen on {address}: {error.strerror}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Listen no longer and drop open connections."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_S_MAX)
            writer.write(self._answer(head.split(b"\r\n", 1)[0]))
            await asyncio.wait_for(writer.drain(), _READ_S_MAX)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            # A scraper that goes away or never finishes its request: nothing to answer.
            pass
        finally:
            writer.close()

    def _answer(self, request_line: bytes) -> bytes:
        match request_line.split(b" "):
            case [b"GET", b"/metrics", _]:
                return _response("200 OK", CONTENT_TYPE, self._exposition())
            case [b"GET", b"/livez", _]:
                return _response("200 OK", _TEXT, b"ok\n")
            case [b"GET", b"/readyz", _]:
                note = f": {note}" if (note := self._note()) else ""
                if self._ready():
                    return _response("200 OK", _TEXT, f"ok{note}\n".encode())
                return _response("503 Service Unavailable", _TEXT, f"not ready{note}\n".encode())
            case _:
                return _response("404 Not Found", _TEXT, b"GET /metrics, /livez or /readyz\n")


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
