"""Spans of traced batches, from what the shell sees of them; the core knows of none.

    replica.batch       from its coming to its commit
        replica.order       until a block with it is durable here: proposed, and mostly voted for
        replica.commit      from there until that block is final
        replica.cosign      from there until a head that covers it is cosigned

A batch that comes by way of a peer has no trace here: only validators send contexts. They are kept
in bounded maps by the batch's number, not its digest, for computing that is the core's business.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from heptad.consensus.objects import BatchId, Block, CommittedBlock, Cosignature
from heptad.consensus.ready import BatchOutcome, BatchVerdict, Persist
from heptad.model.batch import decode_header
from heptad.model.ids import ValidatorNumber
from heptad.observability.traces import Span, TraceContext, Tracer, unpack_contexts
from heptad.wire.streams import TRACE_BYTES, TRACES_MAX

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

WAITING_MAX: Final = 1_024
"""Traced batches that are not committed, and blocks with traces for a ledger; the oldest go."""


@dataclass(slots=True)
class _Traced:
    """The open spans of one batch. Times are Unix ns."""

    spans: list[Span]
    came_ns: int
    ordered_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Committed:
    """What waits for a cosignature of a log of `size`, or of a longer one."""

    size: int
    contexts: Sequence[TraceContext]
    at_ns: int


class BatchTraces:
    """The traced batches of one replica."""

    def __init__(self, tracer: Tracer, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now_ns = now_ns
        self._waiting: dict[BatchId, _Traced] = {}
        self._uncosigned: deque[_Committed] = deque(maxlen=WAITING_MAX)
        self._by_height: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def received(self, validator: ValidatorNumber, batch: bytes, traces: bytes) -> None:
        """A validator has sent a batch that was taken in. Raises: MalformedError."""
        header = decode_header(batch)
        name = BatchId(validator, header.incarnation, header.sequence)
        if name in self._waiting:
            return
        accepted = [each for each in unpack_contexts(traces) if self._tracer.accepts(each)]
        if accepted:
            now_ns = self._now_ns()
            begin = self._tracer.begin
            spans = [begin("replica.batch", each, start_ns=now_ns) for each in accepted]
            _put(self._waiting, name, _Traced(spans, now_ns))

    def written(self, persist: Persist) -> None:
        """The store has made this durable."""
        if self._waiting:
            for block in persist.blocks:
                self._ordered(block)

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """Blocks are final."""
        if self._waiting:
            for commit in commits:
                self._committed(commit.block)

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """Heads are cosigned."""
        size, now_ns = cosignatures[-1].head.size, self._now_ns()
        while self._uncosigned and self._uncosigned[0].size <= size:
            done = self._uncosigned.popleft()
            for context in done.contexts:
                self._tracer.record(
                    "replica.cosign",
                    context,
                    start_ns=done.at_ns,
                    end_ns=now_ns,
                    attributes={"heptad.size": size},
                )

    def answered(self, outcomes: Sequence[BatchOutcome]) -> None:
        """What was refused, or is committed already, waits for nothing any more."""
        if self._waiting:
            for outcome in outcomes:
                if outcome.id is not None and outcome.verdict is not BatchVerdict.ACCEPTED:
                    self._waiting.pop(outcome.id, None)

    def of_height(self, height: int) -> bytes:
        """Packed contexts of the committed block of this height; mostly empty."""
        return self._by_height.get(height, b"")

    def _ordered(self, block: Block) -> None:
        for ref in block.batches:
            traced = self._waiting.get(ref.id)
            if traced is not None and not traced.ordered_ns:
                traced.ordered_ns = self._now_ns()

    def _committed(self, block: Block) -> None:
        contexts: list[TraceContext] = []
        for ref in block.batches:
            traced = self._waiting.pop(ref.id, None)
            if traced is not None:
                contexts += self._end(traced, block)
        if not contexts:
            return
        self._uncosigned.append(_Committed(block.head.size, contexts, self._now_ns()))
        packed = b"".join(context.packed for context in contexts)
        _put(self._by_height, block.height, packed[: TRACES_MAX * TRACE_BYTES])

    def _end(self, traced: _Traced, block: Block) -> list[TraceContext]:
        now_ns = self._now_ns()
        ordered_ns = traced.ordered_ns or now_ns
        facts = {
            "heptad.height": block.height,
            "heptad.round": block.round,
            "heptad.leader": block.proposer + 1,
        }
        for span in traced.spans:
            record, above = self._tracer.record, span.context
            record("replica.order", above, start_ns=traced.came_ns, end_ns=ordered_ns)
            record("replica.commit", above, start_ns=ordered_ns, end_ns=now_ns)
            span.end(facts, end_ns=now_ns)
        return [span.context for span in traced.spans]


def _put(held: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    """Add to a map of bounded size."""
    held[key] = value
    if len(held) > WAITING_MAX:
        del held[next(iter(held))]
