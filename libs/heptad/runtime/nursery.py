"""The process from which `heptad up` forks its services: imports are paid once, not eleven times.

A service needs 0.35 s of CPU to import what it uses, and 0.05 s to start once that is there. So one
process imports a service's package when it is first asked for, and forks from then on: eleven
services are up in well under a second, a killed replica is back at once, and the pages of all that
code are shared. docs/adr/0005 has the figures.

What makes forking safe here: this process has one thread, no event loop, and never makes a gRPC
object, so that no library has state that a fork would tear; that is checked before each fork. Keys
are read, and randomness is drawn, only in the children. On machines of their own, in containers,
services start as `python -m heptad_<service>` and none of this is involved.

Protocol, over a SEQPACKET socket whose descriptor is the only argument, JSON:
    → {"do": "spawn", "name", "module", "arguments"} with descriptors [standard input, output]
    → {"do": "signal", "name", "signal"}
    ← {"told": "spawned", "name", "pid"} · {"told": "ended", "name", "status"}
`status` is an exit code, or minus the signal that ended the process.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import Final, NoReturn

from heptad.runtime.lifeline import die_with_parent

MESSAGE_BYTES_MAX: Final = 65_536
_PR_SET_NAME: Final = 15


class Nursery:
    """Forks services when told to, and tells when they end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._names: dict[int, str] = {}
        self._wakeup_out, self._wakeup_in = os.pipe()

    def run(self) -> None:
        """Serve until the supervisor's end of the socket is closed."""
        os.set_blocking(self._wakeup_in, False)
        signal.set_wakeup_fd(self._wakeup_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        # Not epoll: its descriptor would stay open in every child.
        with selectors.PollSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wakeup_out, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wakeup_out in ready:
                    os.read(self._wakeup_out, 4_096)
                    self._reap()
                if self._control.fileno() in ready and not self._serve_one():
                    return

    def _serve_one(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, 2)
        if not message:
            return False
        request = json.loads(message)
        match request["do"]:
            case "spawn":
                self._spawn(request["name"], request["module"], request["arguments"], descriptors)
            case "signal":
                self._signal(request["name"], request["signal"])
        return True

    def _spawn(self, name: str, module: str, arguments: list[str], descriptors: list[int]) -> None:
        failure = _import(module)
        assert len(os.listdir("/proc/self/task")) == 1, "a fork would tear the other threads"
        pid = os.fork()
        if pid == 0:
            self._become(name, module, arguments, descriptors, failure)
        self._names[pid] = name
        for descriptor in descriptors:
            os.close(descriptor)
        self._tell("spawned", name, pid=pid)

    def _become(
        self, name: str, module: str, arguments: list[str], descriptors: list[int], failure: str
    ) -> NoReturn:
        """In the child: leave everything of the nursery behind, then be the service."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        os.close(self._wakeup_out)
        os.close(self._wakeup_in)
        # A session of its own, so that Ctrl-C on the terminal reaches the supervisor only.
        os.setsid()
        standard_input, output = descriptors
        os.dup2(standard_input, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in descriptors:
            os.close(descriptor)
        _set_process_name(name)
        status = 1
        try:
            if failure:
                sys.stderr.write(failure)
            else:
                sys.argv = [module, *arguments]
                # It was imported under its own name; now it runs as the main module.
                sys.modules.pop(f"{module}.__main__", None)
                runpy.run_module(module, run_name="__main__", alter_sys=False)
                status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # noqa: BLE001  nothing may unwind into the nursery's own frames
            sys.stderr.write(traceback.format_exc())
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _signal(self, name: str, number: int) -> None:
        # Only a process that has not been reaped is in the table, so its pid cannot be another's.
        for pid, known in self._names.items():
            if known == name:
                os.kill(pid, number)

    def _reap(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._tell("ended", self._names.pop(pid), status=os.waitstatus_to_exitcode(status))

    def _tell(self, told: str, name: str, **facts: int) -> None:
        self._control.send(json.dumps({"told": told, "name": name, **facts}).encode())


def _noted(_number: int, _frame: FrameType | None) -> None:
    """A handler must exist, or the kernel's notice never reaches the wake-up descriptor."""


def _import(module: str) -> str:
    """Import a service's package and its entry; the traceback if that fails, else empty."""
    if module in sys.modules:
        return ""
    try:
        importlib.import_module(f"{module}.__main__")
    except Exception:  # noqa: BLE001  whatever it is, the service's log must say it
        return traceback.format_exc()
    # Objects that live for ever move out of the collector's sight, whose marks would otherwise
    # write to, and so un-share, every page.
    gc.collect()
    gc.freeze()
    return ""


def _set_process_name(name: str) -> None:
    """What `ps` and `top` show as the command, 15 bytes; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def main() -> None:
    """Be a nursery; the supervisor starts it."""
    die_with_parent()
    # Ctrl-C is for the supervisor, which then tells everybody in the right order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Nursery(control).run()


if __name__ == "__main__":
    main()
