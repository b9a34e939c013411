"""Exports: proved, recorded, then read in a thread and handed out as fast as they are taken.

    subject   its request is in the log and proved         → checkpoint that covers it → archive
    officer   subject known → access recorded, committed   → checkpoint that covers it → archive

Nothing goes out before the log has the entry that says so, and the archive holds that entry itself.
The work is done in slices of a thread of its own: between two of them the event loop has its turn,
and nothing is read ahead of a caller that does not take what there is.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from heptad.exports import (
    About,
    AboutErased,
    Archive,
    ArchiveTooLargeError,
    Piece,
    ServiceFacts,
    erased_archive,
)
from heptad.model.exporting import (
    ExportBegun,
    ExportCall,
    ExportChunk,
    ExportPart,
    OfficersExport,
    SubjectsExport,
)
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.own_actions import EXPORT
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad_ledger.privacy.accesses import Access, AccessRecorder
from heptad_ledger.privacy.authority import Authority
from heptad_ledger.privacy.export_limits import ExportLimits
from heptad_ledger.privacy.reading import SubjectReader
from heptad_ledger.registry import Subject
from heptad_ledger.store import LogStore
from heptad_ledger.watermark import Watermark

CHUNK_BYTES: Final = 256 << 10
SLICE_S: Final = 0.02
"""A chunk goes out when it is this large, or after so much work."""

PAUSE_SHARE: Final = 0.5
"""Of the time that a slice took: the thread rests, so that the rest of the ledger is not slowed by
more than it would be by one more reader."""

PUBLISHED_S_MAX: Final = 8.0


@dataclass(frozen=True, slots=True)
class _Granted:
    """Who gets what: proved and recorded."""

    subject: Subject
    role: str
    caller: str
    own_index: int
    from_index: int


class Exports:
    """Hands out what the ledger holds about a subject."""

    def __init__(
        self,
        *,
        store: LogStore,
        slot_key: Callable[[int], bytes | None],
        authority: Authority,
        accesses: AccessRecorder,
        limits: ExportLimits,
        entries_max: int,
        latest: Callable[[], PublishedCheckpoint | None],
        published_size: Watermark,
        origin: str,
        software: str,
        services: Sequence[ServiceFacts],
        now_ms: Callable[[], int],
    ) -> None:
        """`slot_key` gives the key of a slot that lives, and no more once its erasure is ordered.
        `entries_max` is how many one archive holds; the rest comes with the next one."""
        self._store = store
        self._key_of_slot = slot_key
        self._authority = authority
        self._accesses = accesses
        self._limits = limits
        self._entries_max = entries_max
        self._latest = latest
        self._published_size = published_size
        self._origin = origin
        self._software = software
        self._services = tuple(services)
        self._now_ms = now_ms
        self.certificate_of: Callable[[str], bytes | None] = lambda subject_id: None
        """The certificate's file of a subject that was erased, once there is one."""
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="export")

    @property
    def under_way(self) -> int:
        """Exports at this moment."""
        return self._limits.under_way

    def forget(self, subject_ids: Iterable[str]) -> None:
        """Remember nothing of these subjects, who are erased."""
        self._limits.forget(subject_ids)

    def close(self) -> None:
        """Wait for the slices under way."""
        self._threads.shutdown()

    async def serve(
        self, call: ExportCall, *, caller: Identity
    ) -> AsyncGenerator[ExportPart, None]:
        """The parts of an export: that it has begun, then its chunks.

        Raises: Problem; before the first part, unless the subject is erased or the archive too
        large meanwhile.
        """
        if isinstance(call, SubjectsExport):
            _require(caller, Role.GATEWAY)
            asked = await self._authority.exporting(call.jws)
            subject_id = asked.subject.subject_id
        else:
            _require(caller, Role.OFFICER)
            asked, subject_id = None, call.subject_id
        with self._limits.one(subject_id, by_officer=asked is None):
            if isinstance(call, OfficersExport):
                with self._store.snapshot() as snapshot:
                    is_erased = self._authority.is_erased(call.subject_id, snapshot)
                if is_erased:
                    for part in self._erased(call.subject_id, caller):
                        yield part
                    return
                granted = await self._granted_to_officer(call, caller)
            else:
                assert asked is not None
                granted = _Granted(asked.subject, "subject", "", asked.own_index, asked.from_index)
            async with aclosing(self._archive(granted)) as parts:
                async for part in parts:
                    yield part

    def _erased(self, subject_id: str, caller: Identity) -> tuple[ExportPart, ...]:
        """That nothing is held any more: no data go out, and no key is left to record it under."""
        about = AboutErased(
            origin=self._origin,
            subject_id=subject_id,
            created_ms=self._now_ms(),
            role=caller.role,
            caller=caller.id,
            software=self._software,
            certificate=self.certificate_of(subject_id),
        )
        return ExportBegun(subject_id, 0, 0), ExportChunk(erased_archive(about), 1, 1)

    async def _granted_to_officer(self, call: OfficersExport, caller: Identity) -> _Granted:
        with self._store.snapshot() as snapshot:
            subject = self._authority.subject(call.subject_id, snapshot)
        access = Access(subject.subject_id, EXPORT, caller, call.reason, call.ground)
        index = await self._accesses.record(access)
        return _Granted(subject, caller.role, caller.id, index, call.from_index)

    async def _archive(self, granted: _Granted) -> AsyncGenerator[ExportPart, None]:
        checkpoint = await self._checkpoint_over(granted.own_index)
        reader = SubjectReader(
            self._store, slot_key=lambda: self._slot_key(granted.subject), checkpoint=checkpoint
        )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            self._threads,
            lambda: reader.find(from_index=granted.from_index, count_max=self._entries_max),
        )
        yield ExportBegun(granted.subject.subject_id, len(reader.indexes), granted.own_index)
        pieces = Archive(reader, self._about(granted, checkpoint)).pieces()
        while True:
            started_s = perf_counter()
            chunk = await loop.run_in_executor(self._threads, _slice, pieces)
            if chunk is None:
                return
            worked_s = perf_counter() - started_s
            # What was read before the order does not go out after it.
            self._slot_key(granted.subject)
            yield chunk
            await asyncio.sleep(worked_s * PAUSE_SHARE)

    async def _checkpoint_over(self, index: int) -> PublishedCheckpoint:
        """A published checkpoint that covers an entry. Raises: Problem `checkpoint_pending`."""
        is_there = await self._published_size.reached(index + 1, timeout_s=PUBLISHED_S_MAX)
        latest = self._latest()
        if not is_there or latest is None or latest.size <= index:
            detail = f"entry {index} is not published"
            raise Problem("checkpoint_pending", detail, retry_after_s=1)
        return latest

    def _slot_key(self, subject: Subject) -> bytes:
        key = self._key_of_slot(subject.slot)
        if key is None:
            raise Problem("subject_erased", "the subject was erased meanwhile")
        return key

    def _about(self, granted: _Granted, checkpoint: PublishedCheckpoint) -> About:
        return About(
            origin=self._origin,
            subject_id=granted.subject.subject_id,
            created_ms=self._now_ms(),
            role=granted.role,
            caller=granted.caller,
            own_index=granted.own_index,
            checkpoint=checkpoint,
            software=self._software,
            services=self._services,
            from_index=granted.from_index,
        )


def _require(caller: Identity, role: Role) -> None:
    """A gateway brings a subject's request, an officer its own reason; never the other's."""
    if caller.role is not role:
        detail = f"a {caller.role} may not ask for an export on this word"
        raise Problem("role_refused", detail)


def _slice(pieces: Iterator[Piece]) -> ExportChunk | None:
    """The next chunk, or None after the last; called in a thread.

    Raises: Problem `export_too_large`, and what the source raises.
    """
    gathered, size = [], 0
    until_s = perf_counter() + SLICE_S
    last: Piece | None = None
    try:
        for last in pieces:
            gathered.append(last.data)
            size += len(last.data)
            if size >= CHUNK_BYTES or perf_counter() >= until_s:
                break
    except ArchiveTooLargeError as error:
        raise Problem("export_too_large", str(error)) from None
    return None if last is None else ExportChunk(b"".join(gathered), last.done, last.total)
