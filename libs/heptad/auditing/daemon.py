"""The loop around an auditor: look, wait, look again; metrics beside; ends when it is told to.

Looking blocks, so it happens in a thread, and the loop stays free to answer scrapes and signals. A
look that is under way when the daemon is told to end is given up between two bundles: it has kept
nothing yet, and the next start reads it again.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from heptad.auditing.auditor import AuditFigures, Auditor, Round, retry_s
from heptad.auditing.errors import StoppedError
from heptad.observability import catalogue
from heptad.observability.metrics import Metrics
from heptad.runtime.metrics_listener import MetricsListener

SERVICE: Final = "auditor"


async def follow(
    auditor: Auditor,
    *,
    interval_s: float,
    metrics_address: str | None,
    cell: str,
    tell: Callable[[Round], None],
) -> None:
    """Look every `interval_s` seconds until SIGTERM or SIGINT. `tell` hears of each look.

    Raises: PortTakenError.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    listener = None
    if metrics_address is not None:
        metrics = exposed(auditor.figures, cell=cell)
        listener = MetricsListener(
            exposition=metrics.exposition, ready=lambda: auditor.figures.is_source_up
        )
        await listener.start(metrics_address)
    try:
        await _loop(auditor, interval_s, stopping, tell)
    finally:
        if listener is not None:
            await listener.stop()


async def _loop(
    auditor: Auditor, interval_s: float, stopping: asyncio.Event, tell: Callable[[Round], None]
) -> None:
    def progress(_done: int, _total: int) -> None:
        if stopping.is_set():
            raise StoppedError("told to end")

    while not stopping.is_set():
        try:
            tell(await asyncio.to_thread(auditor.look, progress))
        except StoppedError:
            return
        pause_s = interval_s
        if auditor.errors:
            pause_s = retry_s(errors=auditor.errors, interval_s=interval_s)
        try:
            await asyncio.wait_for(stopping.wait(), pause_s)
        except TimeoutError:
            continue


def exposed(figures: AuditFigures, *, cell: str) -> Metrics:
    """The figures as metrics, read whenever somebody scrapes."""
    metrics = Metrics(cell=cell, service=SERVICE)
    readings: dict[catalogue.Metric, Callable[[], float]] = {
        catalogue.AUDIT_VERIFIED_SIZE: lambda: figures.verified_size,
        catalogue.AUDIT_CHECKPOINT_TIME_SECONDS: lambda: figures.checkpoint_time_s,
        catalogue.AUDIT_ENTRIES_TOTAL: lambda: figures.entries,
        catalogue.AUDIT_RECHECKED_BUNDLES_TOTAL: lambda: figures.rechecked,
        catalogue.AUDIT_RECHECK_ROUNDS_TOTAL: lambda: figures.rounds,
        catalogue.AUDIT_PROVED_SINCE_TIME_SECONDS: lambda: figures.proved_since_s,
        catalogue.AUDIT_ALARMS_OPEN: lambda: figures.alarms_open,
        catalogue.AUDIT_SOURCE_ERRORS_TOTAL: lambda: figures.source_errors,
        catalogue.AUDIT_SOURCE_UP: lambda: figures.is_source_up,
        catalogue.AUDIT_LAST_SUCCESS_TIME_SECONDS: lambda: figures.last_success_s,
        catalogue.AUDIT_UNCOMPARED: lambda: figures.uncompared,
    }
    for metric, reading in readings.items():
        metrics.read(metric, partial(_without_labels, reading))
    metrics.read(
        catalogue.AUDIT_ALARMS_TOTAL,
        lambda: {(kind,): float(count) for kind, count in figures.alarms.items()},
    )
    return metrics


def _without_labels(reading: Callable[[], float]) -> Mapping[tuple[str, ...], float]:
    return {(): float(reading())}
