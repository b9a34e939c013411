"""Puts together what officers decide by, and what is told of erasures: one part of the wiring."""

import time
from collections.abc import Callable, Mapping

from heptad.observability import catalogue
from heptad.observability.metrics import Metrics
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.config.cell import Cell
from heptad_ledger.log_reads import LogReads
from heptad_ledger.parts import Parts
from heptad_ledger.privacy.door import PrivacyDoor
from heptad_ledger.privacy.erasure_reads import ErasureReads
from heptad_ledger.privacy.officer_desk import Accesses, OfficerDesk
from heptad_ledger.privacy.ports import Erasures
from heptad_ledger.watermark import Watermark


def make_decisions(
    parts: Parts,
    *,
    cell: Cell,
    erasures: Erasures,
    reads: LogReads,
    accesses: Accesses,
    applied_size: Watermark,
    require_settled: Callable[[], None],
    metrics: Metrics,
) -> PrivacyDoor:
    """The door before both; `require_settled` raises a Problem while a restored ledger owes
    erasures."""
    keys = attestation_keys(cell)
    desk = OfficerDesk(
        store=parts.store,
        registry=parts.registry,
        holds=parts.filer.holds,
        erasures=erasures,
        accesses=accesses,
        applied_size=applied_size,
        origin=cell.origin,
        keys=lambda: keys,
        require_settled=require_settled,
    )
    told = ErasureReads(
        erasures,
        reads=reads,
        index_key=parts.vault.index_key,
        holds_of=desk.holds_of,
        require_settled=require_settled,
    )
    metrics.read(
        catalogue.LEDGER_ERASURE_UNDECIDED_AGE,
        lambda: undecided_age(erasures.oldest_received_at_ms(), now_ms=_now_ms()),
    )
    return PrivacyDoor(desk=desk, reads=told)


def undecided_age(oldest_ms: int | None, *, now_ms: int) -> Mapping[tuple[str, ...], float]:
    """Seconds since the oldest request came that is not decided; 0 if all are."""
    age_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
    return {(): age_ms / 1000}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
