"""`control.sock`: orders to a running `heptad up`, one JSON object a line.

    → {"do": "status"}                      ← {"ok": true, "processes": […], …}
    → {"do": "kill", "name": "replica-3"}   ← {"ok": true}
    → {"do": "down"}                        ← {"ok": true}, then the end once all has stopped

`kill`, `stop` and `restart` answer when they are done; `pause` and `resume` at once. An order that
cannot be carried out is answered `{"ok": false, "error": "…"}`. The socket has mode 0600: whoever
may write to it owns the mesh.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from heptad.runtime.errors import HomeRefusedError, SupervisionFault

SOCKET_FILE: Final = "control.sock"
LINE_BYTES_MAX: Final = 1 << 20

Answer: TypeAlias = dict[str, object]
Order: TypeAlias = Callable[[str], Awaitable[Answer]]
"""Carries out one order on the process of that name (empty where none is meant).

Raises: KeyError for an unknown name, SupervisionFault if it fails.
"""


class ControlServer:
    """Listens on the home's control socket."""

    def __init__(self, home: Path, orders: Mapping[str, Order]) -> None:
        self._home = home
        self._orders = orders
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The caller holds the home's lock, so an old socket file is a dead one's."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (self._home / SOCKET_FILE).unlink(missing_ok=True)
        with _short_path(self._home) as path:
            mask = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(mask)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=LINE_BYTES_MAX
        )

    async def stop(self) -> None:
        """Listen no longer, remove the socket, hang up on all who still ask."""
        if self._server is not None:
            self._server.close()
            (self._home / SOCKET_FILE).unlink(missing_ok=True)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The asker went away, or sent a line without an end.
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            order, name = request["do"], request.get("name", "")
            carry_out = self._orders[order]
        except (ValueError, KeyError, TypeError, AttributeError):
            return _refused(f"an order is one of {', '.join(self._orders)}")
        try:
            return {"ok": True, **await carry_out(name)}
        except KeyError:
            return _refused(f"there is no process {name!r}")
        except SupervisionFault as fault:
            return _refused(str(fault))


def _refused(error: str) -> Answer:
    return {"ok": False, "error": error}


class ControlClient:
    """Asks a running mesh; blocking, for command lines and tests."""

    def __init__(self, home: Path, *, timeout_s: float = 60.0) -> None:
        """Raises: HomeRefusedError if nothing runs there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            with _short_path(home) as path:
                self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise HomeRefusedError(f"no mesh is running in {home}") from error
        self._lines = self._socket.makefile("rb")

    def ask(self, order: str, name: str = "") -> Answer:
        """Send one order and return its answer.

        Raises: SupervisionFault if it was refused or the connection ended.
        """
        request = {"do": order, "name": name} if name else {"do": order}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._lines.readline(LINE_BYTES_MAX)
        except OSError as error:
            raise SupervisionFault(f"the mesh did not answer {order}") from error
        if not line:
            raise SupervisionFault(f"the mesh ended before it answered {order}")
        answer: Answer = json.loads(line)
        if not answer.pop("ok", False):
            raise SupervisionFault(str(answer.get("error")))
        return answer

    def wait_for_end(self) -> None:
        """Return once the mesh has closed the connection. Raises: SupervisionFault."""
        try:
            while self._lines.readline(LINE_BYTES_MAX):
                continue
        except ConnectionError:
            return
        except OSError as error:
            raise SupervisionFault("the mesh did not stop in time") from error

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> "ControlClient":
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


@contextmanager
def _short_path(home: Path) -> Iterator[str]:
    """A path to the socket that fits into the 107 bytes that the kernel gives to it.

    Test folders are deep; on Linux any folder can be reached through a descriptor of ours.
    """
    path = home / SOCKET_FILE
    if len(os.fsencode(path)) <= 100:
        yield str(path)
        return
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_FILE}"
    finally:
        os.close(descriptor)
