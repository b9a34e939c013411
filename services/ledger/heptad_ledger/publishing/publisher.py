"""Publishing: a checkpoint is signed, made durable, and only then shown to anybody.

If the process dies after signing and before the write, nobody has seen the note, and the next one
may be of any larger size. If it dies after the write, the note is served after the restart. Sizes
only grow, so no two notes of one size ever exist.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Protocol

from heptad.consensus.allowance import Allowances
from heptad.consensus.limits import Limits
from heptad.model.log_reads import PublishedCheckpoint
from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note
from heptad.wire.streams import CosignatureFrame
from heptad_ledger.errors import KeptCheckpointError, StoreFullError
from heptad_ledger.heads import Head
from heptad_ledger.publishing.contradictions import Contradiction
from heptad_ledger.publishing.cosignatures import (
    REFUSED,
    CosignatureBook,
    Publishable,
    Verdict,
)
from heptad_ledger.publishing.kept import Anchor
from heptad_ledger.publishing.signers import LogSigner
from heptad_ledger.watermark import Watermark

RETRY_S = 5.0


class CheckpointStore(Protocol):
    """Where checkpoints are kept; `LogStore` is one."""

    def publish(self, size: int, note: bytes) -> None:
        """Make it durable. Raises: StoreFullError, StoreDamagedError."""
        ...


class Publisher:
    """Turns cosignatures and applied heads into published checkpoints.

    `on_published` hears of each one, in order, after it is durable; `on_contradiction` of each
    replica that has cosigned two histories, once; `on_forger` of each that has sent so many false
    cosignatures that it is not to be heard for a while (as between replicas: ADR 15).
    """

    def __init__(
        self,
        *,
        store: CheckpointStore,
        book: CosignatureBook,
        anchor: Anchor,
        latest: PublishedCheckpoint | None,
        signers: Sequence[LogSigner],
        writer: Executor,
        now_s: Callable[[], int],
        log: EventLog,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._book = book
        self._anchor = anchor
        self._origin = signers[0].key.name
        self._signers = signers
        self._writer = writer
        self._now_s = now_s
        self._log = log
        self._work = asyncio.Event()
        self.latest = latest
        """The latest published checkpoint, durable."""
        self.contradicted = ""
        """Why nothing is published any more; empty while all is well."""
        self.is_store_full = False
        """Whether the last checkpoint could not be kept for want of room."""
        self.size = Watermark(latest.size if latest else 0)
        self.on_published: Callable[[PublishedCheckpoint], None] = lambda checkpoint: None
        self.on_contradiction: Callable[[Contradiction], bool] = lambda contradiction: True
        self.on_forger: Callable[[str], None] = lambda replica: None
        self._accounts = Allowances(book.replicas, limits=Limits(), work_us_per_ms=0)
        book.published(self.size.value)
        self._verdicts = metrics.counter(catalogue.LEDGER_COSIGNATURES_TOTAL)
        self._cosigned_by = metrics.gauge(catalogue.LEDGER_CHECKPOINT_COSIGNATURES)
        self._published_at_s = metrics.gauge(catalogue.LEDGER_CHECKPOINT_TIME_SECONDS)
        metrics.read(catalogue.LEDGER_PUBLISHED_SIZE, self._read_size)

    @property
    def kept_size(self) -> int:
        """Nothing is published below this size: somebody has kept a checkpoint of it."""
        return self._anchor.size

    def offer(self, replica: str, frame: CosignatureFrame) -> Verdict:
        """A replica's cosignature has come."""
        verdict = self._book.offer(replica, frame, now_s=self._now_s())
        self._note_verdict(replica, verdict)
        self._tell_contradictions()
        return verdict

    def applied(self, heads: Sequence[Head]) -> None:
        """These heads are durable."""
        for replica, verdict in self._book.applied(heads, now_s=self._now_s()):
            self._note_verdict(replica, verdict)
        self._tell_contradictions()

    async def run(self) -> None:
        """Publish whatever can be, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while (ready := self._publishable()) is not None:
                await self._publish(ready)

    def _publishable(self) -> Publishable | None:
        """What may go out: the largest head with a quorum, if the kept checkpoint allows it."""
        ready = self._book.publishable()
        if ready is None or self.contradicted:
            return None
        try:
            return ready if self._anchor.allows(ready.head.size) else None
        except KeptCheckpointError as error:
            self.contradicted = str(error)
            self._log.failure("kept_checkpoint_contradicted", error)
            return None

    async def _publish(self, ready: Publishable) -> None:
        head = ready.head
        checkpoint = Checkpoint(self._origin, head.size, head.root)
        lines = (signer.signature(checkpoint) for signer in self._signers)
        note = Note(checkpoint.body(), (*lines, *ready.cosignatures)).encode()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._writer, self._store.publish, head.size, note)
        except StoreFullError as error:
            self.is_store_full = True
            self._log.failure("store_full", error)
            await asyncio.sleep(RETRY_S)
            return
        self.is_store_full = False
        self._book.published(head.size)
        self.latest = PublishedCheckpoint(note, head.size)
        self._cosigned_by.set(len(ready.cosignatures))
        self._published_at_s.set(self._now_s())
        self.size.advance(head.size)
        self.on_published(self.latest)

    def _tell_contradictions(self) -> None:
        for contradiction in self._book.contradictions.take():
            if not self.on_contradiction(contradiction):
                self._book.contradictions.acquit(contradiction.replica)

    def _note_verdict(self, replica: str, verdict: Verdict) -> None:
        self._verdicts.add(1, replica, verdict)
        if verdict is Verdict.GOOD:
            self._work.set()
        elif verdict in REFUSED:
            self._log.warning("cosignature_refused", replica=replica, verdict=verdict.value)
            if self._accounts.forged(replica, self._now_s() * 1000):
                self.on_forger(replica)
        elif verdict is Verdict.MISTIMED:
            self._log.debug("cosignature_mistimed", replica=replica)

    def _read_size(self) -> Mapping[tuple[str, ...], float]:
        return {(): self.size.value}
