"""Spans of what is traced: a request on its way into a batch, and the batch until it is committed.

    validator.request   from the stream to its commit
        validator.admission, validator.lease, validator.look_up, validator.seal, validator.gather
        validator.batch     from its sending to its commit; the replicas' spans lie below it

A request that is not traced has an empty `trace`, and nobody calls anything here. What is traced is
found by its packed context, so that neither requests nor batches carry spans about. Contexts come
from callers: two requests under one context are one here, the first.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from heptad.model.problems import Problem
from heptad.observability.traces import Attributes, Span, Tracer, unpack_contexts
from heptad.wire.streams import TRACES_MAX

OPEN_MAX: Final = 256
"""Traced requests under way; of more the oldest are given up without a span."""


@dataclass(slots=True)
class _Traced:
    """An open span and the phase below it."""

    whole: Span
    phase: Span
    name: str


@dataclass(frozen=True, slots=True)
class BatchTrace:
    """The spans of one batch; `requests` are those above them, by their context."""

    spans: Sequence[Span]
    requests: Sequence[bytes]

    @property
    def packed(self) -> bytes:
        """What replicas are told: at most four contexts."""
        return b"".join(span.context.packed for span in self.spans[:TRACES_MAX])


class RequestTraces:
    """The traced requests of one validator."""

    def __init__(self, tracer: Tracer, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now_ns = now_ns
        self._open: dict[bytes, _Traced] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, trace: bytes) -> None:
        """A request has come, with this context."""
        if trace in self._open:
            return
        for context in unpack_contexts(trace):
            if self._tracer.accepts(context):
                whole = self._tracer.begin("validator.request", context)
                name = "validator.admission"
                self._open[trace] = _Traced(whole, self._tracer.begin(name, whole.context), name)
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]

    def enter(self, trace: bytes, name: str) -> None:
        """The request goes on to its next phase."""
        traced = self._open.get(trace)
        if traced is not None and traced.name != name:
            self._turn(traced, name)

    @contextmanager
    def following(self, trace: bytes) -> Iterator[None]:
        """Around a call that answers for itself: what it raises ends its trace."""
        if trace:
            self.begin(trace)
        try:
            yield
        except Problem as problem:
            if trace:
                self.refused(trace, problem.code)
            raise

    def refused(self, trace: bytes, code: str) -> None:
        """Nothing became of it."""
        self._end(trace, {"heptad.code": code})

    def replayed(self, trace: bytes) -> None:
        """It was known before: its answer comes from another one's commit."""
        self._end(trace, {"heptad.replayed": True})

    def sent(self, traces: Sequence[bytes]) -> BatchTrace | None:
        """A batch with these requests goes out; its spans, if it has any."""
        requests = [trace for trace in dict.fromkeys(traces) if trace in self._open]
        spans = []
        for trace in requests:
            traced = self._open[trace]
            self._turn(traced, "validator.batch")
            spans.append(traced.phase)
        if not spans and self._tracer.due():
            spans.append(self._tracer.begin("validator.batch", None))
        return BatchTrace(spans, requests) if spans else None

    def settled(self, batch: BatchTrace, facts: Attributes) -> None:
        """The batch is committed, and so are its requests."""
        for span in batch.spans:
            span.end(facts)
        for trace in batch.requests:
            traced = self._open.pop(trace, None)
            if traced is not None:
                traced.whole.end()

    def _turn(self, traced: _Traced, name: str) -> None:
        """End its phase and begin the next, at one time."""
        now_ns = self._now_ns()
        traced.phase.end(end_ns=now_ns)
        traced.phase = self._tracer.begin(name, traced.whole.context, start_ns=now_ns)
        traced.name = name

    def _end(self, trace: bytes, facts: Attributes) -> None:
        traced = self._open.pop(trace, None)
        if traced is not None:
            traced.phase.end()
            traced.whole.end(facts)
