"""A process that gives a canary away on purpose, in each way in which `/proc` could show it."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heptad.trials.privacy.canaries import Canaries
from heptad.trials.privacy.processes import files_elsewhere, strange_connections, words_of
from heptad.trials.privacy.report import Row, control_row
from heptad.trials.privacy.searching import Searcher

WANTED: Final = ("command line", "environment", "deleted file", "connection")
_WAITING: Final = "import sys; print(flush=True); sys.stdin.read()"


def row(canaries: Canaries) -> Row:
    """The control of all rows about processes: what each of their searches finds here."""
    return control_row("processes", list(_found(canaries)), WANTED)


def _found(canaries: Canaries) -> Iterator[str]:
    searcher = Searcher(canaries.needles())
    text = canaries.text("control")
    with subprocess.Popen(  # noqa: S603  our own interpreter, with an argument that it ignores
        [sys.executable, "-c", _WAITING, text],
        env={**os.environ, "HEPTAD_CONTROL": text},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from here on the kernel shows its words
        words = dict(words_of(process.pid))
        if searcher.search(words["cmdline"], place="control"):
            yield "command line"
        if searcher.search(words["environ"], place="control"):
            yield "environment"
    if any(searcher.search_file(link, place="control") for link in _deleted(text)):
        yield "deleted file"
    if _is_connection_named():
        yield "connection"


def _deleted(text: str) -> Iterator[Path]:
    """Links to the files of this process that no folder names any more; one has the text."""
    with tempfile.TemporaryFile(prefix="heptad-privacy-") as file:
        file.write(text.encode())
        file.flush()
        me = {"this check": os.getpid()}
        yield from (link for name, link in files_elsewhere(me, Path("/")) if "deleted" in name)


def _is_connection_named() -> bool:
    """Whether a connection with a port that no cell has is told."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        port = listener.getsockname()[1]
        _, strange = strange_connections({}, {"this check": os.getpid()})
        return ("this check", port) in strange
