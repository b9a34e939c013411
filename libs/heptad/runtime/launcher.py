"""The supervisor's side of the nursery: start services, signal them, learn how they end.

A service may also be run under a command of the operator's (`strace -f`, `taskset -c 1`, `ip netns
exec one`, `env LD_PRELOAD=…`). Such a command replaces itself by the interpreter, so a fork of the
nursery cannot become it: these services are started as `COMMAND python -m heptad_<service>` here.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
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

    def __init__(
        self,
        *,
        python_path: Sequence[str] = (),
        under: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """`python_path` are folders in which services are looked for before the installed ones.

        `under` has the words of the command under which a service runs, by its name.
        """
        self._python_path = list(python_path)
        self._under = under
        self._apart: dict[str, Process] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._children: dict[str, Child] = {}
        self._spawning: dict[str, asyncio.Future[int]] = {}
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Start the nursery. Raises: OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
                [sys.executable, "-m", "heptad.runtime.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=self._environment(),
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
        try:
            if name in self._under:
                child.pid = await self._start_apart(name, module, arguments, input_out, output_in)
            else:
                child.pid = await self._fork(name, module, arguments, input_out, output_in)
        finally:
            os.close(input_out)
            os.close(output_in)
        return child

    async def _fork(
        self, name: str, module: str, arguments: Sequence[str], *descriptors: int
    ) -> int:
        """Let the nursery fork; the pid. `descriptors` are standard input and output."""
        assert self._control is not None
        self._spawning[name] = asyncio.get_running_loop().create_future()
        request = {"do": "spawn", "name": name, "module": module, "arguments": list(arguments)}
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            return await self._spawning[name]
        except OSError as error:
            raise SupervisionFault(_ENDED) from error

    async def _start_apart(
        self, name: str, module: str, arguments: Sequence[str], input_out: int, output_in: int
    ) -> int:
        """Start the service under its command; the pid."""
        words = [*self._under[name], sys.executable, "-m", module, *arguments]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=input_out,
                stdout=output_in,
                stderr=output_in,
                env=self._environment(),
                # As in the nursery: Ctrl-C on the terminal is for the supervisor only.
                start_new_session=True,
            )
        except OSError as error:
            raise SupervisionFault(f"{name} under {words[0]}: {error.strerror}") from error
        self._apart[name] = process
        watch = asyncio.create_task(self._await_end(name, process))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return process.pid

    async def _await_end(self, name: str, process: Process) -> None:
        status = await process.wait()
        del self._apart[name]
        # `close` has told of its end already, if it was that which ended it.
        if name in self._children:
            self._end(name, status)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **GRPC_ENVIRONMENT}
        if self._python_path:
            known = environment.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = os.pathsep.join([*self._python_path, *known.split()])
        return environment

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a running process; nothing happens if it has just ended."""
        if name in self._under:
            if name in self._apart:
                with contextlib.suppress(ProcessLookupError):
                    self._apart[name].send_signal(number)
            return
        if self._control is None:
            return
        with contextlib.suppress(BrokenPipeError):
            request = {"do": "signal", "name": name, "signal": number}
            self._control.send(json.dumps(request).encode())

    def close(self) -> None:
        """End the nursery, and with it whatever still runs."""
        for name in list(self._apart):
            self.signal(name, signal.SIGKILL)
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
