"""Puts together what carries erasures out, and runs it: one part of the ledger's wiring."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

import grpc

from heptad.crypto.keys import RequestKey
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.config import Cell, LedgerConfig
from heptad.runtime.version import VERSION
from heptad_ledger.backup.key_book import beyond_use_ms
from heptad_ledger.lending.elsewhere import ElsewhereBook
from heptad_ledger.lending.loans import LoanBook
from heptad_ledger.lending.vault_door import VaultDoor
from heptad_ledger.parts import Parts
from heptad_ledger.privacy.deciding import Attestation, Decider
from heptad_ledger.privacy.desk import ErasureDesk
from heptad_ledger.privacy.drops import Drops
from heptad_ledger.privacy.eraser import LAST_ERASED, Eraser
from heptad_ledger.privacy.gate import ReplayGate
from heptad_ledger.privacy.office import ErasureOffice
from heptad_ledger.privacy.recording import StatementQueue, recorder

DROP_CHECK_S: Final = 60.0
"""How often it is looked whether replicas have to drop blocks."""


class Erasing:
    """All that belongs to erasures in one ledger."""

    def __init__(
        self,
        parts: Parts,
        *,
        data: Path,
        cell: Cell,
        config: LedgerConfig,
        key: RequestKey,
        channels: list[grpc.aio.Channel],
        loans: LoanBook,
        elsewhere: ElsewhereBook,
        writer: Executor,
        catch_up: Callable[[float], Awaitable[bool]],
        drop_until: Callable[[int], None],
        log: EventLog,
        metrics: Metrics,
    ) -> None:
        """`key` is the attestation key, `channels` lead to the validators, `drop_until` tells
        replicas."""
        self._parts = parts
        self._elsewhere = elsewhere
        self._writer = writer
        self._drop_until = drop_until
        self._copies_ms = _copies_ms(config)
        self.also_forget: Callable[[Collection[str]], None] = lambda subject_ids: None
        """Told of subjects who were erased."""
        self.keys_erased = asyncio.Event()
        """Set when keys were destroyed."""
        self.desk = ErasureDesk.of(parts.store, parts.filer)
        self.office = ErasureOffice(
            store=parts.store,
            intake=parts.intake,
            eraser=Eraser(store=parts.store, vault=parts.vault, filer=parts.filer, now_ms=_now_ms),
            decider=_decider(parts, data=data, cell=cell, config=config, key=key),
            statements=StatementQueue(
                record=recorder(channels),
                validator_count=len(channels),
                now_s=time.monotonic,
                log=log,
            ),
            loans=loans,
            writer=writer,
            now_s=time.monotonic,
            log=log,
            metrics=metrics,
        )
        self.office.on_erased = self._forget
        self.gate = ReplayGate(
            parts.store,
            catch_up=catch_up,
            carry_out=self.office.replay,
            keep=self._keep,
            log=log,
        )

    def join(self, door: VaultDoor) -> None:
        """Leases end when an order is carried out, and its certificate waits for those that are
        out."""
        self.office.on_revoked = door.push_erased
        door.erased_lately = self.office.revoked
        door.on_returned(self.office.has_news)

    async def open(self) -> None:
        """Catch up and replay; from then on the ledger decides, attests and lends."""
        await self.gate.settle()
        self.office.open()

    async def drop(self) -> None:
        """Tell replicas what they are not to keep any more, until cancelled."""
        while True:
            loop = asyncio.get_running_loop()
            self._drop_until(await loop.run_in_executor(self._writer, self._dropped_height))
            await asyncio.sleep(DROP_CHECK_S)

    def last_erased_ms(self) -> int:
        """When the last key was destroyed, Unix ms; 0 if none ever was."""
        return int.from_bytes(self._parts.store.kept(LAST_ERASED) or b"", "big")

    def _dropped_height(self) -> int:
        store = self._parts.store
        before, now_ms = Drops.decode(store.kept(Drops.NAME)), _now_ms()
        from_ms = now_ms + self._copies_ms - Drops.UNDER_WAY_MS
        now = before.grown(store.state.height, from_ms=from_ms).at(now_ms)
        if now != before:
            store.keep(Drops.NAME, now.encode())
        return now.height

    def _forget(self, erased: Mapping[int, str]) -> None:
        self._elsewhere.forget(erased.values())
        self._parts.filer.holds.forget(erased.values())
        self.also_forget(erased.values())
        self.keys_erased.set()

    async def _keep(self, name: str, value: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, partial(self._parts.store.keep, name, value))


def _decider(
    parts: Parts, *, data: Path, cell: Cell, config: LedgerConfig, key: RequestKey
) -> Decider:
    return Decider(
        store=parts.store,
        filer=parts.filer,
        roots=parts.vault.root_key_store,
        attestation=Attestation(
            origin=cell.origin,
            key=key,
            keys=attestation_keys(cell),
            software=f"heptad {VERSION}",
            is_reviewed=config.erasure_review,
            copies_ms=_copies_ms(config),
        ),
        beyond_use_ms=lambda epoch: (
            beyond_use_ms(data, erased_at_epoch=epoch, now_ms=_now_ms()) or None
        ),
        now_ms=_now_ms,
    )


def _copies_ms(config: LedgerConfig) -> int:
    return config.erased_blocks_s_max * 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
