"""A process that has imported what tests need from elsewhere, and forks one child for each run.

A run of a few tests takes a tenth of a second, and importing pytest and its company takes ten times
that: so a list of hundreds of mutants would mostly wait for imports. Nothing of Heptad is imported
before the fork, so a child sees the sources as they are at that moment.

On stdin one JSON line a run: `folder`, `arguments` (pytest's), `test_seconds`, `run_seconds`, and
`keeps_bytecode`, true only while nothing is planted. On stdout one line for each: `failed` (the
first test that did, or null), `reason`, `trouble` (why pytest could not run, or null). Seconds are
of the processor, so a busy machine makes no time-out.
"""

import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import pytest

_BEFORE_THE_FORK = ("grpc", "google.protobuf", "cryptography.x509", "nacl.signing", "hypothesis")
_REASON_MAX = 300

ENDLESS = "it goes on for ever"
"""In the reason of what was stopped because its time was up."""


class Witness:
    """A plugin of pytest: remembers what failed first, and gives each test only so much time."""

    def __init__(self, test_seconds: int) -> None:
        self.failed: str | None = None
        self.reason = ""
        self.trouble: str | None = None
        self._test_seconds = test_seconds

    def pytest_collectreport(self, report):
        """A file that cannot be imported says nothing about a rule."""
        if report.failed and self.trouble is None:
            self.trouble = str(report.longrepr)

    def pytest_runtest_logreport(self, report):
        """One phase of one test is over."""
        if report.failed and self.failed is None:
            self.failed, self.reason = report.nodeid, str(report.longrepr)[-_REASON_MAX:]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self):
        """A test that goes on for ever is stopped, and so it fails."""
        signal.signal(signal.SIGVTALRM, _out_of_time)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._test_seconds)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main() -> None:
    """Serve runs until stdin ends."""
    for name in _BEFORE_THE_FORK:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(job: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        child = os.fork()
        if child == 0:
            _be_child(job, report)
        _, status = os.waitpid(child, 0)
        if report.exists():
            return json.loads(report.read_text())
    reason = f"{ENDLESS}, or was killed: wait status {status}"
    return {"failed": "the whole run", "reason": reason, "trouble": None}


def _be_child(job: dict, report: Path) -> None:
    assert not any(name.split(".")[0] == "heptad" for name in sys.modules), "imported too early"
    resource.setrlimit(resource.RLIMIT_CPU, (job["run_seconds"], job["run_seconds"] + 5))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    os.chdir(job["folder"])
    sys.dont_write_bytecode = not job["keeps_bytecode"]
    witness = Witness(job["test_seconds"])
    code = pytest.main(job["arguments"], plugins=[witness])
    if code not in (0, 1) and witness.trouble is None:
        witness.trouble = f"pytest ended with {code}"
    found = {"failed": witness.failed, "reason": witness.reason, "trouble": witness.trouble}
    report.write_text(json.dumps(found))
    os._exit(0)


def _out_of_time(*_: object) -> None:
    raise TimeoutError(ENDLESS)


if __name__ == "__main__":
    main()
