"""Children die with their parent, whatever kills it.

Two ways, since each has a hole. The kernel's parent-death signal works even when the child is
stopped or its event loop hangs, but exists on Linux only and misses a parent that died before the
call. The end of standard input, whose other side only the supervisor holds, works everywhere, but
needs a running event loop.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent dies; elsewhere than Linux: nothing.

    SIGKILL and not SIGTERM by default: services are crash-safe by design, and a drain that hangs
    with nobody left to watch it would leave orphans that hold the ports.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def watch_standard_input(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """Call `ended` once standard input, a pipe from the supervisor, has ended."""
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4_096):
            loop.remove_reader(descriptor)
            ended()

    loop.add_reader(descriptor, readable)
