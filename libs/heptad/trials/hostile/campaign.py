"""Attacks one after the other on a running cell under load, and what each cost the honest.

load → measured before → the member is killed, the attacker takes its place → measured during →
the attacker ends, the member is started again → measured after → the whole history is judged
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from heptad.runtime.channels import GRPC_ENVIRONMENT
from heptad.runtime.process_usage import usage_of
from heptad.trials import meshes
from heptad.trials.faults.history import longest_gap_s, rate_per_s
from heptad.trials.faults.load import Load
from heptad.trials.faults.machinery import Machinery
from heptad.trials.faults.stage import set_stage
from heptad.trials.faults.trial import Stage, judge_stage
from heptad.trials.hostile.attacks import Attack, find
from heptad.trials.meshes import running
from heptad.trials.tour.steps import Disproved

RSS_GROWTH_BYTES_MAX: Final = 192 << 20
"""What an honest replica may grow by under attack: streams' windows, its queues, its pool."""

SHARE_MIN: Final = 0.7
"""Of the throughput before, under attack and after it."""

_CUT_OFF: Final = {"messages": 0, "sent_bytes": 0, "opened": 0, "broken": 0, "cpu_s": 0.0}
"""The tally of an attacker that did not end by itself, and so could not tell it."""

_SAMPLE_S: Final = 0.25
_END_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_s` requests a second are begun; each phase takes so long."""

    per_s: float = 80.0
    before_s: float = 5.0
    during_s: float = 10.0
    after_s: float = 5.0


QUICK: Final = Pace(per_s=40.0, before_s=1.5, during_s=2.0, after_s=1.5)
"""For the tests."""


@dataclass(frozen=True, slots=True)
class Phase:
    """`cpu` is the mean share of one processor of an honest replica, `rss_mb` the largest one."""

    per_s: float
    longest_gap_s: float
    cpu: float
    cpu_max: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one attack. `attacker` is its tally and its CPU time in s."""

    attack: str
    member: str
    before: Phase
    during: Phase
    after: Phase
    attacker: Mapping[str, float]
    broken: tuple[str, ...] = ()
    checked: Mapping[str, int] = field(default_factory=dict)


Tell = Callable[[Finding], None]


def run_attacks(names: Sequence[str], pace: Pace, tell: Tell) -> None:
    """Each of these attacks on a cell of its own: whoever has forged is not heard for a while.

    Raises: KeyError, TrialFault.
    """
    for attack in [find(name) for name in names]:
        with (
            tempfile.TemporaryDirectory(prefix="heptad-hostile-") as folder,
            running(Path(folder) / "cell") as mesh,
        ):
            tell(uvloop.run(_play(mesh, attack, pace)))


async def _play(mesh: meshes.RunningMesh, attack: Attack, pace: Pace) -> Finding:
    async with set_stage(mesh, Machinery()) as stage:
        return await withstand(stage, attack, pace)


async def withstand(stage: Stage, attack: Attack, pace: Pace) -> Finding:
    """One attack under load, measured and judged."""
    load = Load(stage.scene, stage.history, per_s=pace.per_s)
    loading = asyncio.create_task(load.run())
    meter = _Meter(stage, attack.member)
    home = stage.mesh.home
    try:
        await asyncio.sleep(1.0)
        before = await meter.phase(asyncio.sleep(pace.before_s))
        await asyncio.to_thread(meshes.order, home, "kill", attack.member)
        try:
            made: list[Mapping[str, float]] = []
            during = await meter.phase(_attacked(home, attack, pace.during_s, made))
        finally:
            await asyncio.to_thread(meshes.order, home, "restart", attack.member)
        after = await meter.phase(asyncio.sleep(pace.after_s))
    finally:
        load.stop()
        await loading
    broken = [*_broken(before, during, after), *meter.restarted()]
    checked: Mapping[str, int] = {}
    try:
        verdict = await judge_stage(stage)
    except Disproved as disproved:
        broken.append(str(disproved))
    else:
        checked = verdict.checked
        broken += verdict.broken
    return Finding(
        attack.name, attack.member, before, during, after, made[0], tuple(broken), checked
    )


def _broken(before: Phase, during: Phase, after: Phase) -> Iterator[str]:
    if during.rss_mb - before.rss_mb > RSS_GROWTH_BYTES_MAX >> 20:
        yield f"a replica grew from {before.rss_mb:.0f} to {during.rss_mb:.0f} MB"
    for what, phase in (("under attack", during), ("after it", after)):
        if phase.per_s < SHARE_MIN * before.per_s:
            yield f"{what} {phase.per_s:.1f} requests a second, before {before.per_s:.1f}"


class _Meter:
    """Measures the honest replicas and the load over a time."""

    def __init__(self, stage: Stage, evil: str) -> None:
        self._times_s = stage.history.acknowledged_s
        self._home = stage.mesh.home
        self._evil = evil
        self._pids = self._honest()

    async def phase(self, story: Coroutine[object, object, None]) -> Phase:
        """Let the story happen, and measure while it does."""
        began_s, cpu_before = time.monotonic(), self._cpu_s()
        rss_max = 0
        running_story = asyncio.create_task(story)
        while not running_story.done():
            rss_max = max(rss_max, *self._rss())
            await asyncio.wait({running_story}, timeout=_SAMPLE_S)
        running_story.result()
        ended_s = time.monotonic()
        took_s = ended_s - began_s
        used = [after - before for before, after in zip(cpu_before, self._cpu_s(), strict=True)]
        return Phase(
            per_s=round(rate_per_s(self._times_s, start_s=began_s, end_s=ended_s), 1),
            longest_gap_s=round(longest_gap_s(self._times_s, start_s=began_s, end_s=ended_s), 2),
            cpu=round(sum(used) / len(used) / took_s, 3),
            cpu_max=round(max(used) / took_s, 3),
            rss_mb=round(rss_max / 1e6, 1),
        )

    def restarted(self) -> Iterator[str]:
        """Which honest members are no longer the processes that they were."""
        now = self._honest()
        for name, pid in self._pids.items():
            if now.get(name) != pid:
                yield f"{name} was restarted"

    def _honest(self) -> dict[str, int]:
        pids = meshes.pids_of(self._home)
        return {name: pid for name, pid in pids.items() if name != self._evil}

    def _replicas(self) -> list[int]:
        return [pid for name, pid in self._pids.items() if name.startswith("replica-")]

    def _cpu_s(self) -> list[float]:
        usages = [usage_of(pid) for pid in self._replicas()]
        return [usage.cpu_s if usage is not None else 0.0 for usage in usages]

    def _rss(self) -> list[int]:
        usages = [usage_of(pid) for pid in self._replicas()]
        return [usage.rss_bytes for usage in usages if usage is not None]


async def _attacked(
    home: Path, attack: Attack, seconds: float, made: list[Mapping[str, float]]
) -> None:
    """Run the attacker and wait for its end. Raises: Disproved if it broke."""
    order = json.dumps({"attack": attack.name, "home": str(home), "seconds": seconds})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "heptad.trials.hostile.attacker", order),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **GRPC_ENVIRONMENT},
    )
    try:
        async with asyncio.timeout(seconds + _END_S_MAX):
            said, complained = await process.communicate()
    except TimeoutError:
        made.append(dict(_CUT_OFF))  # it hung on what it had opened; it is killed below
        return
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise Disproved(f"the attacker broke:\n{complained.decode('utf-8', 'replace')[-1_500:]}")
    made.append(json.loads(said.decode().splitlines()[-1]))


def as_json(findings: Sequence[Finding]) -> str:
    """All findings as JSON."""
    return json.dumps([asdict(finding) for finding in findings])
