"""Many faults, ground by ground, each ground in a process of its own (`stage`)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from heptad.runtime.channels import GRPC_ENVIRONMENT
from heptad.trials.faults.faults import FAULTS, find
from heptad.trials.faults.grounds import wrapper_of
from heptad.trials.faults.machinery import NotPossibleHere
from heptad.trials.faults.trial import FAILED, NOT_POSSIBLE, Finding, Pace

_END_S_MAX: Final = 90.0


def names_of_all() -> list[str]:
    """Every fault, in the order in which they are run."""
    return [fault.name for faults in FAULTS.values() for fault in faults]


def run_faults(names: Sequence[str], pace: Pace, told: Callable[[Finding], None]) -> None:
    """Run these faults and tell of each as soon as it is judged. Raises: KeyError."""
    by_ground: dict[str, list[str]] = {}
    for name in names:
        by_ground.setdefault(find(name)[0], []).append(name)
    for ground, chosen in by_ground.items():
        _run_ground(ground, chosen, pace, told)


def _run_ground(ground: str, names: list[str], pace: Pace, told: Callable[[Finding], None]) -> None:
    left = list(names)
    try:
        wrapper = wrapper_of(ground)
    except NotPossibleHere as reason:
        for name in names:
            told(Finding(name, NOT_POSSIBLE, find(name)[1].goes_on, detail=str(reason)))
        return
    order = {"ground": ground, "faults": names, "pace": asdict(pace)}
    process = subprocess.Popen(  # noqa: S603  ourselves, by our own interpreter
        [*wrapper, sys.executable, "-m", "heptad.trials.faults.stage", json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **GRPC_ENVIRONMENT},
        text=True,
        # So that Ctrl-C comes to us, and the stage gets the one signal that it cleans up after.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            finding = _finding(json.loads(line))
            left.remove(finding.fault)
            told(finding)
    finally:
        _end(process)
    for name in left:
        words = f"the stage ended with {process.returncode} before this was judged"
        told(Finding(name, FAILED, find(name)[1].goes_on, broken=(words,)))


def _finding(members: Mapping[str, object]) -> Finding:
    broken = members["broken"]
    assert isinstance(broken, list)
    return Finding(**{**members, "broken": tuple(broken)})  # type: ignore[arg-type]  # asdict's


def _end(process: "subprocess.Popen[str]") -> None:
    """Wait for the end, which is ordered where it has not come by itself."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
