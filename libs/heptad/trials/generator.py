"""The load generator: a process of its own, so that its event loop is not what is measured.

    python -m heptad.trials.generator

It is told what to do in one line on standard input (`Order`), prepares everything (signs all
requests, connects, warms the caches of the mesh up), prints `ready`, waits for another line, puts
the load on the mesh, and prints its `Report`. Around that load its parent reads what every process
of the mesh has used.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import uvloop

from heptad.runtime.config import load_cell
from heptad.trials.bundle_target import EVENTS, WARM_UP_BUNDLES, make_bundles, open_bundles
from heptad.trials.consensus_target import RECORDS, ConsensusTarget, make_batches
from heptad.trials.http_targets import (
    HttpTarget,
    batch_posts,
    open_pool,
    read_batch,
    read_single,
    single_posts,
)
from heptad.trials.load import Closed, Measured, Open, Paced, Target, drive
from heptad.trials.orders import Order, Report, Way
from heptad.trials.stream_target import open_streams
from heptad.trials.subjects import load_subjects, sign_requests

BATCH: Final = 100
"""Requests in one HTTP batch."""

READY: Final = "ready"
PROFILE: Final = "tax-portal"
_OPEN_CONNECTIONS: Final = 256
_WARM_UP_IN_FLIGHT: Final = 100
_WARM_UP_S_MAX: Final = 60.0

ItemT = TypeVar("ItemT")


class _Session:
    """One order, from its preparation to its report."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._home = Path(order.home)
        self._cell = load_cell(self._home)

    async def run(self) -> Report:
        """Prepare, wait for the word, measure."""
        match self._order.way:
            case Way.HTTP | Way.HTTP_BATCH:
                return await self._http(is_batch=self._order.way is Way.HTTP_BATCH)
            case Way.BUNDLES:
                return await self._bundles()
            case Way.GRPC:
                return await self._grpc()
            case Way.CONSENSUS:
                return await self._consensus()

    async def _http(self, *, is_batch: bool) -> Report:
        address = self._cell.gateways[0].http
        requests, warm_up = self._sign()
        pool = open_pool(address, connections=self._connections())
        await pool.open()
        await _warm_up(single_posts(warm_up, host=address), HttpTarget(pool, read_single))
        before = pool.sent_bytes, pool.received_bytes
        if is_batch:
            posts = batch_posts(requests, host=address, batch=BATCH)
            measured, cpu_us = await self._measure(posts, HttpTarget(pool, read_batch), BATCH)
        else:
            posts = single_posts(requests, host=address)
            measured, cpu_us = await self._measure(posts, HttpTarget(pool, read_single), 1)
        sent_bytes, received_bytes = pool.sent_bytes - before[0], pool.received_bytes - before[1]
        await pool.close()
        return Report(measured, cpu_us, sent_bytes, received_bytes)

    async def _grpc(self) -> Report:
        requests, warm_up = self._sign()
        async with open_streams(self._home / "clients" / PROFILE) as target:
            await _warm_up(warm_up, target)
            measured, cpu_us = await self._measure(requests, target, 1)
        return Report(measured, cpu_us, sum(map(len, requests[: measured.accepted])), 0)

    async def _bundles(self) -> Report:
        folder = self._home / "clients" / PROFILE
        subjects = [subject.id for subject in load_subjects(Path(self._order.subjects))]
        count, seed = self._order.operations // EVENTS, self._order.seed
        bundles = make_bundles(folder, subjects, count, seed=seed)
        async with open_bundles(folder) as target:
            await _warm_up(make_bundles(folder, subjects, WARM_UP_BUNDLES, seed=0), target)
            measured, cpu_us = await self._measure(bundles, target, EVENTS)
        sent = bundles[: measured.accepted // EVENTS]
        return Report(measured, cpu_us, sum(map(len, sent)), 0)

    async def _consensus(self) -> Report:
        batches = make_batches(self._home, self._order.operations // RECORDS)
        target = ConsensusTarget(self._cell)
        await target.open(self._home, self._cell, down=self._order.down)
        measured, cpu_us = await self._measure(batches, target, RECORDS)
        await target.close()
        return Report(measured, cpu_us, sum(map(len, batches[: measured.accepted // RECORDS])), 0)

    def _sign(self) -> tuple[list[bytes], list[bytes]]:
        """The requests of the load, and one more of each subject to warm up with."""
        subjects = load_subjects(Path(self._order.subjects))
        audience, seed = self._cell.origin, self._order.seed
        requests = sign_requests(subjects, self._order.operations, audience=audience, seed=seed)
        return requests, sign_requests(subjects, len(subjects), audience=audience, seed=0)

    def _connections(self) -> int:
        load = self._order.load
        match load:
            case Closed():
                return load.in_flight
            case Open():
                return _OPEN_CONNECTIONS
            case Paced():
                return 1

    async def _measure(
        self, items: Sequence[ItemT], target: Target[ItemT], operations_per_item: int
    ) -> tuple[Measured, int]:
        """The load itself, once the parent says so; and the CPU time that it took here."""
        # What has been made so far lives to the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _say(READY)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        started_s = time.process_time()
        measured = await drive(
            self._order.load, items, target, operations_per_item=operations_per_item
        )
        return measured, int((time.process_time() - started_s) * 1_000_000)


async def _warm_up(items: Sequence[ItemT], target: Target[ItemT]) -> None:
    """One request of each subject, so that leases and connections are there."""
    measured = await drive(Closed(_WARM_UP_IN_FLIGHT, _WARM_UP_S_MAX), items, target)
    if measured.refused:
        raise SystemExit(f"the warm-up was refused: {measured.refused}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the parent reads it


def main() -> None:
    """Carry out one order."""
    report = uvloop.run(_Session(Order.decode(sys.stdin.readline())).run())
    _say(report.encode())


if __name__ == "__main__":
    main()
