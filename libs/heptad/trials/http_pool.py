"""A small HTTP/1.1 client for load: requests as ready bytes, keep-alive connections, no more.

On a machine that carries the mesh and its load, an ordinary client library takes as much CPU as the
gateway, and then its cost is what is measured. This one writes bytes that were made beforehand and
reads status, length and body. It speaks to our gateway only: it does not follow redirects, and does
not read chunked bodies, which the gateway never sends.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

CONNECTION_LOST: Final = 0
"""The status of a request whose connection ended before its answer."""

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_REOPEN_S: Final = 0.2


class Reply(NamedTuple):
    """An HTTP answer: status, head as received, body."""

    status: int
    head: bytes
    body: bytes


Replied: TypeAlias = Callable[[Reply], None]
_LOST: Final = Reply(CONNECTION_LOST, b"", b"")


@dataclass(frozen=True, slots=True)
class Call:
    """A whole HTTP request as bytes, and who gets the answer."""

    data: bytes
    replied: Replied


def post(path: str, body: bytes, *, host: str, media_type: str) -> bytes:
    """The bytes of a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


class HttpPool:
    """A fixed number of connections to one server; calls wait in line for a free one."""

    def __init__(self, *, host: str, port: int, connections: int) -> None:
        """`open` makes the connections."""
        self._host = host
        self._port = port
        self._connections = [_Connection(self._idle, self._broken) for _ in range(connections)]
        self._free: list[_Connection] = []
        self._waiting: deque[Call] = deque()
        self._reopening: set[asyncio.Task[None]] = set()
        self._closed = False
        self.sent_bytes = 0
        self.received_bytes = 0

    async def open(self) -> None:
        """Make all connections. Raises: OSError."""
        for connection in self._connections:
            await self._connect(connection)

    def send(self, call: Call) -> None:
        """Send as soon as a connection is free."""
        if self._free:
            self._start(self._free.pop(), call)
        else:
            self._waiting.append(call)

    async def close(self) -> None:
        """Close all connections; calls under way are told that theirs is lost."""
        self._closed = True
        for task in self._reopening:
            task.cancel()
        await asyncio.gather(*self._reopening, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    def _start(self, connection: "_Connection", call: Call) -> None:
        self.sent_bytes += len(call.data)
        connection.start(call)

    def _idle(self, connection: "_Connection", received_bytes: int) -> None:
        self.received_bytes += received_bytes
        if self._waiting:
            self._start(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _broken(self, connection: "_Connection") -> None:
        if connection in self._free:
            self._free.remove(connection)
        if not self._closed:
            task = asyncio.create_task(self._reconnect(connection))
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)

    async def _reconnect(self, connection: "_Connection") -> None:
        """Try until the server is back; what waits in line waits with us."""
        while True:
            await asyncio.sleep(_REOPEN_S)
            try:
                await self._connect(connection)
            except OSError:
                continue
            return

    async def _connect(self, connection: "_Connection") -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, self._host, self._port)
        self._idle(connection, 0)


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(
        self,
        idle: Callable[["_Connection", int], None],
        broken: Callable[["_Connection"], None],
    ) -> None:
        self._idle = idle
        self._broken = broken
        self._transport: asyncio.Transport | None = None
        self._call: Call | None = None
        self._received = b""

    def start(self, call: Call) -> None:
        """Write a request; the connection must be idle."""
        assert self._call is None
        self._call = call
        self._received = b""
        if self._transport is not None:
            self._transport.write(call.data)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's hook."""
        # uvloop's transports are such by behaviour and not by class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """asyncio's hook."""
        self._transport = None
        call, self._call = self._call, None
        self._broken(self)
        if call is not None:
            call.replied(_LOST)

    def data_received(self, data: bytes) -> None:
        """asyncio's hook."""
        self._received = self._received + data if self._received else data
        reply = read_reply(self._received)
        if reply is None or self._call is None:
            return
        call, self._call = self._call, None
        received_bytes = len(self._received)
        call.replied(reply)
        if self._transport is not None and not self._transport.is_closing():
            self._idle(self, received_bytes)


def read_reply(data: bytes) -> Reply | None:
    """The answer in `data`, or None while a part of it is still to come."""
    head_end = data.find(_HEAD_END)
    if head_end < 0:
        return None
    head = data[:head_end]
    lower = head.lower()
    at = lower.find(_LENGTH)
    length = 0
    if at >= 0:
        line_end = lower.find(b"\r\n", at)
        length = int(lower[at + len(_LENGTH) : line_end if line_end >= 0 else None])
    body_at = head_end + len(_HEAD_END)
    if len(data) < body_at + length:
        return None
    return Reply(int(data[9:12]), head, data[body_at : body_at + length])
