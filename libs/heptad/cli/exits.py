"""Exit codes, the same for every command, and how failures are told.

0: done, or valid. 1: it was tried and failed, was refused, or is invalid. 2: it could not be tried:
wrong arguments, wrong configuration, a file or a mesh that is not there.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from heptad.cli.plain import plain
from heptad.model.problems import Problem
from heptad.runtime.errors import (
    ConfigInvalidError,
    HomeRefusedError,
    PortTakenError,
    RuntimeRoomError,
)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def fail(message: str, *, status: int, code: str = "", as_json: bool = False) -> NoReturn:
    """Say what went wrong on standard error, and end with `status`."""
    if as_json:
        error = {"error": {"code": code, "message": message}}
        print(json.dumps(error), file=sys.stderr)
    else:
        lines = map(plain, message.splitlines())
        print("heptad: " + "\n".join(lines), file=sys.stderr)
    sys.exit(status)


def status_of(error: Exception) -> int:
    """The exit code of a failure that every command may meet; 1 for any other."""
    if isinstance(error, ConfigInvalidError | HomeRefusedError | PortTakenError | OSError):
        return EXIT_USAGE
    return EXIT_FAILED


def message_of(error: Exception) -> str:
    """What a person is told of a failure."""
    if isinstance(error, Problem):
        where = f" ({error.field})" if error.field else ""
        return f"{error.code}: {error.detail}{where}\n{error.kind.advice}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turn the failures that every command may meet into a message and an exit code.

    Anything else is a bug, and its traceback is what the report needs.
    """
    try:
        yield
    except BrokenPipeError:
        # Who read the output has read enough (`… | head`); what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except (Problem, RuntimeRoomError, OSError) as error:
        code = error.code if isinstance(error, Problem) else ""
        fail(message_of(error), status=status_of(error), code=code, as_json=as_json)
