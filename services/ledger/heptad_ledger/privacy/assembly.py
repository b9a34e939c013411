"""Puts together what hands out personal data: authority, exports, receipts, and their door."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from heptad.exports import ServiceFacts
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem
from heptad.runtime.config import LedgerConfig
from heptad.runtime.config.cell import Cell
from heptad.runtime.service_kind import Context
from heptad.runtime.version import VERSION
from heptad.verification.certificate_file import certificate_members, to_json
from heptad_ledger.log_reads import LogReads
from heptad_ledger.parts import Parts
from heptad_ledger.privacy.access_door import AccessDoor
from heptad_ledger.privacy.accesses import AccessRecorder
from heptad_ledger.privacy.authority import Authority, Terms
from heptad_ledger.privacy.erasure_reads import ErasureReads
from heptad_ledger.privacy.export_limits import ExportLimits
from heptad_ledger.privacy.exporting import Exports
from heptad_ledger.privacy.key_list import KeyList
from heptad_ledger.privacy.ports import Erasures
from heptad_ledger.privacy.receipts import PrivateReceipts
from heptad_ledger.watermark import Watermark

_OWN = ServiceFacts(
    OWN_SERVICE,
    "Keeps this record itself: who you are here, your keys, and who opened your data.",
    (),
    "Until it is erased; the public half of each entry stays in the log.",
)


@dataclass(frozen=True, slots=True)
class Log:
    """How far the ledger's log is, and how to wait for it."""

    reads: LogReads
    latest: Callable[[], PublishedCheckpoint | None]
    published_size: Watermark
    catch_up: Callable[[float], Awaitable[bool]]
    require_settled: Callable[[], None]


def make_exports(
    context: Context[LedgerConfig],
    parts: Parts,
    *,
    log: Log,
    accesses: AccessRecorder,
    erasures: Erasures,
) -> tuple[Exports, AccessDoor]:
    """The exports, and the door before them."""
    cell, config, vault = context.cell, context.config, parts.vault
    authority = Authority(
        store=parts.store,
        registry=parts.registry,
        index_key=vault.index_key,
        terms=Terms(
            origin=cell.origin,
            skew_s_max=cell.limits.clock_skew_s_max,
            lifetime_s_max=cell.limits.request_lifetime_s_max,
        ),
        catch_up=log.catch_up,
        require_settled=log.require_settled,
        now_s=lambda: int(time.time()),
    )
    exports = Exports(
        store=parts.store,
        slot_key=parts.filer.slot_key,
        authority=authority,
        accesses=accesses,
        limits=ExportLimits(
            at_once_max=config.exports_at_once_max,
            per_hour_max=config.subject_exports_per_hour_max,
            now_s=time.monotonic,
        ),
        entries_max=config.export_entries_max,
        latest=log.latest,
        published_size=log.published_size,
        origin=cell.origin,
        software=f"heptad {VERSION}",
        services=service_facts(cell),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    told = ErasureReads(
        erasures, reads=log.reads, index_key=vault.index_key, holds_of=lambda subject_id: ()
    )
    exports.certificate_of = lambda subject_id: certificate_of(told, subject_id)
    receipts = PrivateReceipts(store=parts.store, reads=log.reads, authority=authority)
    keys = KeyList(store=parts.store, authority=authority)
    return exports, AccessDoor(exports=exports, receipts=receipts, keys=keys)


def certificate_of(erasures: ErasureReads, subject_id: str) -> bytes | None:
    """The certificate's file of a subject that was erased; None as long as there is none."""
    try:
        erasure = erasures.find(subject_id, is_officer=True)
    except Problem as problem:
        if problem.code != "erasure_unknown":
            raise
        return None
    if erasure.certificate is None:
        return None
    return to_json(certificate_members(erasure, links={}))


def service_facts(cell: Cell) -> tuple[ServiceFacts, ...]:
    """What the cell says of its services, and of itself."""
    named = (
        ServiceFacts(service.id, service.purpose, service.recipients, service.retention)
        for service in cell.services
    )
    return (_OWN, *named)
