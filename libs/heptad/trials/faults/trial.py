"""One fault, from the steady load before it to the judgement after it.

    load runs → baseline measured → the fault begins → … → it ends → throughput is back
    → all that was asked for is acknowledged → all replicas agree → the whole history is judged

*Seconds to recover* count from the fault's beginning where the cell must go on through it, and else
from its end, until acknowledged throughput is back at 80 % of what it was.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import grpc

from heptad.client import Terms
from heptad.model.problems import Problem
from heptad.runtime.child_log import LOG_FILE
from heptad.runtime.errors import RuntimeRoomError
from heptad.trials import meshes
from heptad.trials.faults.checker import LogRead, Verdict, judge, sizes_of
from heptad.trials.faults.history import (
    History,
    back_at_s,
    longest_gap_s,
    rate_per_s,
)
from heptad.trials.faults.load import Load
from heptad.trials.faults.machinery import Machinery
from heptad.trials.faults.watch import Watch
from heptad.trials.meshes import RunningMesh
from heptad.trials.tour.auditor import http_reader
from heptad.trials.tour.scene import Scene
from heptad.trials.tour.steps import Disproved, require
from heptad.verification import (
    ReceiptFile,
    VerificationError,
    verify_log,
    verify_receipt_file,
)

BACK_S_MAX: Final = 60.0
AGREE_S_MAX: Final = 60.0
_POLL_S: Final = 0.1
_RECEIPTS_AT_ONCE: Final = 20
_FAILURES: Final = (
    Problem,
    RuntimeRoomError,
    VerificationError,
    OSError,
    TimeoutError,
    aiohttp.ClientError,
    grpc.aio.AioRpcError,
)
"""What may go wrong between a trial and a cell that does not keep its promises."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things last. `hold_s` is for how long a fault that has a length is kept up."""

    per_s: float = 80.0
    before_s: float = 4.0
    hold_s: float = 8.0
    after_s: float = 2.0
    # Whether a fault that the cell must go on through has to be overcome before it ends.
    is_strict: bool = True


QUICK: Final = Pace(per_s=50.0, before_s=2.0, hold_s=1.5, after_s=0.5, is_strict=False)
"""For the tests: to see that the promises are kept, not how fast."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one fault.

    `outcome` is `holds`, `failed` or `not possible here`. `recover_s` and `longest_gap_s` (without
    any acknowledgement, from the fault's beginning on) are None where nothing was measured.
    `detail` says what was seen, or why not; `broken` lists promises that were not kept.
    """

    fault: str
    outcome: str
    goes_on: bool
    recover_s: float | None = None
    longest_gap_s: float | None = None
    before_per_s: float | None = None
    detail: str = ""
    broken: tuple[str, ...] = ()
    checked: Mapping[str, int] = field(default_factory=dict)


HOLDS: Final = "holds"
FAILED: Final = "failed"
NOT_POSSIBLE: Final = "not possible here"


@dataclass(frozen=True, slots=True)
class Fault:
    """A misfortune: `story` is what happens, `duty` what the cell owes then.

    Where it `goes_on`, throughput must be back before the fault ends. `strike` brings it about and
    takes it away again, tells the trial when it begins and ends, and returns what it saw. Raises:
    Disproved.
    """

    name: str
    story: str
    duty: str
    goes_on: bool
    strike: "Callable[[Trial], Awaitable[str]]"


@dataclass(slots=True)
class Stage:
    """A running cell and what is known of its whole history; faults follow one another on it."""

    mesh: RunningMesh
    machinery: Machinery
    scene: Scene
    watch: Watch
    history: History = field(default_factory=History)
    # Requests whose receipts have been proved, and whether they name an earlier leaf.
    proved: dict[str, bool] = field(default_factory=dict)


class Trial:
    """What a fault may use while it strikes."""

    def __init__(self, stage: Stage, pace: Pace) -> None:
        self.stage = stage
        self.pace = pace
        self.began_s: float | None = None
        self.ended_s: float | None = None
        self._log_sizes: dict[str, int] = {}

    @property
    def machinery(self) -> Machinery:
        """What the ground has besides the cell: a network, small disks, shims."""
        return self.stage.machinery

    def begins(self) -> None:
        """The fault begins now."""
        members = self.stage.mesh.cell.member_addresses()
        self._log_sizes = {name: _size(self._log_path(name)) for name in members}
        self.began_s = time.monotonic()

    def ends(self) -> None:
        """The fault is taken away; a restart that is part of it has been ordered."""
        self.ended_s = time.monotonic()

    async def hold(self) -> None:
        """Keep the fault up."""
        await asyncio.sleep(self.pace.hold_s)

    async def order(self, what: str, *names: str) -> None:
        """Give orders to the supervisor, side by side. Raises: SupervisionFault."""
        home = self.stage.mesh.home
        await asyncio.gather(*(asyncio.to_thread(meshes.order, home, what, n) for n in names))

    def leader(self) -> int:
        """The number of the replica that leads, as most see it; 1 if nobody knows."""
        leaders = [s.leader for s in self.stage.watch.statuses.values() if s.leader]
        return max(set(leaders), key=leaders.count) if leaders else 1

    def replicas(self, count: int, *, after: int = 0) -> list[str]:
        """So many replicas: the leader first, or the one that comes `after` so many others."""
        total, first = len(self.stage.mesh.cell.replicas), self.leader() + after
        return [f"replica-{(first - 1 + step) % total + 1}" for step in range(count)]

    def log_size(self, name: str) -> int:
        """How many bytes its log has."""
        return _size(self._log_path(name))

    async def said(
        self, name: str, *events: str, within_s: float = 30.0, since: int | None = None
    ) -> dict[str, object]:
        """The first log line of such an event since the fault began, or behind so many bytes.

        Raises: Disproved.
        """
        start = self._log_sizes.get(name, 0) if since is None else since
        give_up_s = time.monotonic() + within_s
        while True:
            for line in self._log_since(name, start):
                if line.get("event") in events:
                    return line
            require(time.monotonic() < give_up_s, f"{name} never said {' or '.join(events)}")
            await asyncio.sleep(_POLL_S)

    def state(self, name: str) -> str:
        """What the supervisor says of a process."""
        processes = meshes.status_of(self.stage.mesh.home)["processes"]
        return next(process["state"] for process in processes if process["name"] == name)

    async def until(self, condition: Callable[[], bool], what: str, *, within_s: float) -> None:
        """Wait for something that others bring about. Raises: Disproved."""
        give_up_s = time.monotonic() + within_s
        while not await asyncio.to_thread(condition):
            require(time.monotonic() < give_up_s, f"not within {within_s:g} s: {what}")
            await asyncio.sleep(_POLL_S)

    def _log_path(self, name: str) -> Path:
        return self.stage.mesh.home / name / LOG_FILE

    def _log_since(self, name: str, start: int) -> list[dict[str, object]]:
        data = self._log_path(name).read_bytes()
        lines = []
        for line in data[start:].splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                continue  # words of a library, or a line that is being written
            if isinstance(fields, dict):
                lines.append(fields)
        return lines


async def put_to_the_test(stage: Stage, fault: Fault, pace: Pace) -> Finding:
    """Run one fault on a cell that is whole, and judge all of its history so far."""
    trial = Trial(stage, pace)
    load = Load(stage.scene, stage.history, per_s=pace.per_s)
    running = asyncio.create_task(load.run())
    measured: Measured | None = None
    broken: tuple[str, ...] = ()
    checked: Mapping[str, int] = {}
    try:
        try:
            measured = await _measure(trial, fault)
        finally:
            load.stop()
            await running
        verdict = await judge_stage(stage)
        broken, checked = verdict.broken, verdict.checked
    except Disproved as disproved:
        broken = (str(disproved),)
    except _FAILURES as error:
        broken = (f"{type(error).__name__}: {error}",)
    return Finding(
        fault.name,
        FAILED if broken else HOLDS,
        fault.goes_on,
        recover_s=None if measured is None else round(measured.recover_s, 2),
        longest_gap_s=None if measured is None else round(measured.longest_gap_s, 2),
        before_per_s=None if measured is None else round(measured.before_per_s, 1),
        detail="" if measured is None else measured.detail,
        broken=broken,
        checked=checked,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a fault cost, and what it showed."""

    recover_s: float
    longest_gap_s: float
    before_per_s: float
    detail: str


async def _measure(trial: Trial, fault: Fault) -> Measured:
    """Load runs: strike and wait until throughput is back. Raises: Disproved."""
    pace, times_s = trial.pace, trial.stage.history.acknowledged_s
    await asyncio.sleep(pace.before_s)
    now_s = time.monotonic()
    before_per_s = rate_per_s(times_s, start_s=now_s - pace.before_s / 2, end_s=now_s)
    require(before_per_s > 0, "nothing was acknowledged before the fault")
    detail = await fault.strike(trial)
    began_s, ended_s = trial.began_s, trial.ended_s
    assert began_s is not None, f"{fault.name} never began"
    assert ended_s is not None, f"{fault.name} never ended"
    mark_s = began_s if fault.goes_on else ended_s
    back_s = await _wait_until_back(times_s, mark_s=mark_s, before_per_s=before_per_s)
    if fault.goes_on and pace.is_strict:
        late = f"throughput was back {back_s - began_s:.1f} s after it began, not before it ended"
        require(back_s <= ended_s, late)
    await asyncio.sleep(pace.after_s)
    gap_s = longest_gap_s(times_s, start_s=began_s, end_s=max(back_s, ended_s))
    return Measured(back_s - mark_s, gap_s, before_per_s, detail)


async def _wait_until_back(times_s: list[float], *, mark_s: float, before_per_s: float) -> float:
    """When throughput was back, on the monotonic clock. Raises: Disproved."""
    give_up_s = time.monotonic() + BACK_S_MAX
    while True:
        now_s = time.monotonic()
        back_s = back_at_s(times_s, mark_s=mark_s, end_s=now_s, before_per_s=before_per_s)
        if back_s is not None:
            return back_s
        require(now_s < give_up_s, f"throughput was not back after {now_s - mark_s:.0f} s")
        await asyncio.sleep(_POLL_S)


async def judge_stage(stage: Stage) -> Verdict:
    """Wait until all replicas agree, read the whole log, prove all receipts, judge the history.

    The load must have ended. Raises: Disproved, LogInvalidError.
    """
    members = len(stage.mesh.cell.replicas)

    def agree(watch: Watch) -> bool:
        heads = {(s.log_size, s.log_root) for s in watch.statuses.values()}
        return len(watch.statuses) == members and len(heads) == 1

    if not await stage.watch.poll(agree, within_s=AGREE_S_MAX):
        sizes = {name: s.log_size for name, s in stage.watch.statuses.items()}
        raise Disproved(f"{members} replicas do not agree after {AGREE_S_MAX:g} s: {sizes}")
    seen = stage.watch.seen.copy()
    log = LogRead(sizes_of(seen))
    size_min = max([*log.sizes, *(at + 1 for at in stage.history.acknowledged.values())])
    note = await stage.scene.checkpoint(size_min=size_min)
    copies = (await stage.scene.client.ledger.status(terms=Terms())).duplicates

    def read() -> None:
        with http_reader(stage.mesh.cell.gateways[0].http) as reader:
            policy, now_s = stage.scene.policy, int(time.time())
            verify_log(reader, policy=policy, now_s=now_s, note=note, visit=log.visit)

    await asyncio.to_thread(read)
    await _prove_receipts(stage, copies)
    cell, history = stage.mesh.cell, stage.history
    verdict = judge(history=history, seen=seen, log=log, copies=copies, cell=cell)
    return Verdict(verdict.broken, {**verdict.checked, "receipts": len(stage.proved)})


async def _prove_receipts(stage: Stage, copies: int) -> None:
    """Fetch and prove the receipt of every acknowledged request that has not been proved yet.

    A request that two validators have admitted has two leaves (docs/spec/mesh.md, "Replay"): the
    ledger names the second a copy, and the receipt is that of the first. So an answer may name a
    later index than the receipt does, as often as there are copies. Raises: Disproved.
    """
    room = asyncio.Semaphore(_RECEIPTS_AT_ONCE)
    policy, now_s = stage.scene.policy, int(time.time())

    async def prove(request_id: str, index: int) -> None:
        async with room:
            file = ReceiptFile.parse(await stage.scene.receipt(request_id))
        first = verify_receipt_file(file, policy=policy, now_s=now_s).leaf_index
        require(first <= index, f"acknowledged at {index}, but the receipt says {first}")
        stage.proved[request_id] = first < index

    due = [item for item in stage.history.acknowledged.items() if item[0] not in stage.proved]
    await asyncio.gather(*(prove(request_id, index) for request_id, index in due))
    later = sum(stage.proved.values())
    require(later <= copies, f"{later} answers name a copy, and there are {copies} copies")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
