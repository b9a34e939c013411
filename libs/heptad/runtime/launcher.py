"""The supervisor's side of the nursery: start services, signal them, learn how they end."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from heptad.runtime.channels import GRPC_ENVIRONMENT
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.nursery import MESSAGE_BYTES_MAX

_ENDED: Final = "the nursery, the parent of all services, has ended"


@dataclass(slots=True)
class Child:
    """A service process that was started.

    `output` is all that it writes to standard output and error. `ended` gets its exit code, or
    minus the signal that ended it.
    """

    name: str
    output: asyncio.StreamReader
    ended: "asyncio.Future[int]"
    pid: int = 0
    _descriptors: list[int] = field(default_factory=list)

    def release(self) -> None:
        """Close our ends: once, after the process has ended."""
        while self._descriptors:
            os.close(self._descriptors.pop())


class Launcher:
    """Owns the nursery."""

    def __init__(self, *, python_path: Sequence[str] = ()) -> None:
        """`python_path` are folders in which services are looked for before the installed ones."""
        self._python_path = list(python_path)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._children: dict[str, Child] = {}
        self._spawning: dict[str, asyncio.Future[int]] = {}
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Start the nursery. Raises: OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, **GRPC_ENVIRONMENT}
        if self._python_path:
            known = environment.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = os.pathsep.join([*self._python_path, *known.split()])
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
                [sys.executable, "-m", "heptad.runtime.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)

    async def spawn(self, name: str, module: str, arguments: Sequence[str]) -> Child:
        """Start `module` as the process `name`, which must not be running.

        Raises: SupervisionFault if the nursery has ended.
        """
        assert name not in self._children
        if self._control is None:
            raise SupervisionFault(_ENDED)
        loop = asyncio.get_running_loop()
        input_out, input_in = os.pipe()
        output_out, output_in = os.pipe()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output_out, "rb")
        )
        child = Child(name, reader, loop.create_future(), _descriptors=[input_in])
        self._children[name] = child
        self._spawning[name] = loop.create_future()
        request = {"do": "spawn", "name": name, "module": module, "arguments": list(arguments)}
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [input_out, output_in])
            child.pid = await self._spawning[name]
        except OSError as error:
            raise SupervisionFault(_ENDED) from error
        finally:
            os.close(input_out)
            os.close(output_in)
        return child

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a running process; nothing happens if it has just ended."""
        if self._control is None:
            return
        with contextlib.suppress(BrokenPipeError):
            request = {"do": "signal", "name": name, "signal": number}
            self._control.send(json.dumps(request).encode())

    def close(self) -> None:
        """End the nursery, and with it whatever still runs."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._lose_all()

    def _hear(self) -> None:
        assert self._control is not None
        message = self._control.recv(MESSAGE_BYTES_MAX)
        if not message:
            asyncio.get_running_loop().remove_reader(self._control)
            self._lose_all()
            return
        told = json.loads(message)
        if told["told"] == "spawned":
            self._spawning.pop(told["name"]).set_result(told["pid"])
        else:
            self._end(told["name"], told["status"])

    def _end(self, name: str, status: int) -> None:
        child = self._children.pop(name)
        child.release()
        child.ended.set_result(status)

    def _lose_all(self) -> None:
        """The nursery has ended, and its children with it."""
        for name in list(self._children):
            self._end(name, -9)
        for spawning in self._spawning.values():
            spawning.set_exception(SupervisionFault(_ENDED))
        self._spawning.clear()
        if not self.broken.done():
            self.broken.set_result(None)
