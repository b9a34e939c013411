"""The parent's side of a load generator: start it, wait until it is prepared, let it go."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final, TypeVar

from heptad.runtime.channels import GRPC_ENVIRONMENT
from heptad.trials.errors import TrialFault
from heptad.trials.generator import READY
from heptad.trials.orders import Order, Report

_END_S_MAX: Final = 10.0

BeforeT = TypeVar("BeforeT")


def run_order(order: Order, *, before: Callable[[], BeforeT]) -> tuple[BeforeT, Report]:
    """Have a generator carry out `order`; `before` is called right before the load begins.

    Returns what `before` returned, and the report.
    Raises: TrialFault.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "heptad.trials.generator"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **GRPC_ENVIRONMENT},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(order.encode() + "\n")
            process.stdin.flush()
            _expect(process, READY)
            at_start = before()
            process.stdin.write("go\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise _failed(process)
            return at_start, Report.decode(line)
        except BrokenPipeError:
            raise _failed(process) from None
        finally:
            _end(process)


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.strip() != word:
        raise _failed(process)


def _failed(process: "subprocess.Popen[str]") -> TrialFault:
    process.kill()
    assert process.stderr is not None
    words = process.stderr.read().strip().splitlines()[-12:]
    return TrialFault("the load generator failed:\n" + "\n".join(words))


def _end(process: "subprocess.Popen[str]") -> None:
    """It ends by itself after its report; one that does not is hung."""
    try:
        process.wait(_END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
