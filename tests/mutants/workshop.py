"""Planting a mutant into a copy of the sources, and running tests over it.

Each worker has a copy of its own, made once: planting replaces one file and puts it back. The
tests run in a nursery whose PYTHONPATH begins with the copy, so nothing is installed, and processes
that tests start import the mutant too.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutants.catalogue import ROOT, Mutant
from mutants.nursery import ENDLESS

FAST = ("tests/unit/consensus", "tests/scenarios")
SLOW = ("tests/simulation",)
TEST_SECONDS_MAX = 20
"""Of the processor, for one test: the slowest takes a third of that."""
RUN_SECONDS_MAX = 900
"""Of the processor, for one run of tests."""

_PACKAGES = (
    "libs",
    "services/gateway",
    "services/validator",
    "services/replica",
    "services/ledger",
)
_COPIED = ("libs", "services", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: which test failed first (or None), and whether it went on for ever.

    `trouble` says why pytest could not run, so that nothing was shown.
    """

    failed: str | None
    is_timeout: bool
    trouble: str | None


class Tree:
    """One copy of the sources, and the nursery that runs tests over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _COPIED:
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules"))
            else:
                shutil.copy2(source, target)
        paths = [str(folder / package) for package in (*_PACKAGES, "tests")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        }
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "mutants.nursery"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    @contextmanager
    def planted(self, mutant: Mutant):
        """The tree with this mutant in it; the file's time too is as before when it is gone."""
        path = self.folder / mutant.file
        source, times = path.read_text(), path.stat()
        path.write_text(mutant.planted(source))
        try:
            yield self
        finally:
            path.write_text(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def warm(self) -> Outcome:
        """Import every fast test once and keep the bytecode: compiling takes longer than testing.

        A planted file has another time and so is compiled anew, for its own run only.
        """
        return self.run(FAST, "--collect-only", keeps_bytecode=True)

    def run(self, tests: Sequence[str], *options: str, keeps_bytecode: bool = False) -> Outcome:
        """Run these tests until one fails."""
        job = {
            "folder": str(self.folder),
            "arguments": [
                "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist.plugin",
                "--hypothesis-seed=0", "--timeout=0", "--tb=short", *options, *tests,
            ],
            "test_seconds": TEST_SECONDS_MAX,
            "run_seconds": RUN_SECONDS_MAX,
            "keeps_bytecode": keeps_bytecode,
        }  # fmt: skip
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(job) + "\n")
        self._nursery.stdin.flush()
        found = json.loads(self._nursery.stdout.readline())
        is_timeout = found["failed"] is not None and ENDLESS in found["reason"]
        return Outcome(found["failed"], is_timeout, found["trouble"])

    def close(self) -> None:
        """Let the nursery go; the folder is its owner's."""
        self._nursery.communicate()
