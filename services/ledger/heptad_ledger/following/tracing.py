"""Spans of traced blocks: fetched from the chosen replica, applied, published.

    ledger.block        from its coming to the checkpoint that covers it; below the replica's span
        ledger.fetch        from its announcement until its bytes are here
        ledger.apply        until it is durable
        ledger.publish      until a checkpoint covers it

Contexts are one replica's word. They are bounded, and file spans; that is all that they do.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heptad.observability.traces import Span, Tracer, unpack_contexts
from heptad_ledger.heads import Head

OPEN_MAX: Final = 256
"""Traced blocks that are not published; of more the oldest are given up without a span."""


@dataclass(slots=True)
class _Traced:
    """The open spans of one block. Times are Unix ns, 0 before they are known."""

    spans: Sequence[Span]
    announced_ns: int
    fetched_ns: int = 0
    applied_ns: int = 0
    size: int = 0


class BlockTraces:
    """The traced blocks of one ledger, by height."""

    def __init__(self, tracer: Tracer, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now_ns = now_ns
        self._open: dict[int, _Traced] = {}

    def __len__(self) -> int:
        return len(self._open)

    def announced(self, height: int, traces: bytes) -> None:
        """The chosen replica says that the block of this height, its next one, is traced."""
        accepted = [each for each in unpack_contexts(traces) if self._tracer.accepts(each)]
        if not accepted or height in self._open:
            return
        now_ns = self._now_ns()
        spans = [self._tracer.begin("ledger.block", each, start_ns=now_ns) for each in accepted]
        self._open[height] = _Traced(spans, now_ns)
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]

    def fetched(self, height: int) -> None:
        """The block of this height is here, with its batches."""
        traced = self._open.get(height)
        if traced is not None:
            traced.fetched_ns = self._now_ns()
            self._record(traced, "ledger.fetch", traced.announced_ns, traced.fetched_ns)

    def applied(self, height: int, heads: Sequence[Head]) -> None:
        """Blocks up to this height are durable; `heads` are those after each, in order."""
        first = height - len(heads) + 1
        for at in [each for each in self._open if each <= height]:
            traced = self._open[at]
            if at < first or not traced.fetched_ns:
                if not traced.applied_ns:
                    # Of a replica that was left meanwhile: another one's block was applied.
                    del self._open[at]
                continue
            traced.applied_ns, traced.size = self._now_ns(), heads[at - first].size
            self._record(traced, "ledger.apply", traced.fetched_ns, traced.applied_ns)

    def published(self, size: int) -> None:
        """A checkpoint of this size is durable."""
        for height, traced in list(self._open.items()):
            if traced.applied_ns and traced.size <= size:
                del self._open[height]
                now_ns = self._now_ns()
                self._record(traced, "ledger.publish", traced.applied_ns, now_ns)
                for span in traced.spans:
                    span.end({"heptad.height": height, "heptad.size": size}, end_ns=now_ns)

    def _record(self, traced: _Traced, name: str, start_ns: int, end_ns: int) -> None:
        for span in traced.spans:
            self._tracer.record(name, span.context, start_ns=start_ns, end_ns=end_ns)
