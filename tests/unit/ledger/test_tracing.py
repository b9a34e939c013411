"""What a ledger makes of a traced block; its word is one replica's, and bounded."""

from spans import Traced, context

from heptad_ledger.following import tracing
from heptad_ledger.following.tracing import BlockTraces
from heptad_ledger.heads import Head


def traces_of(traced):
    return BlockTraces(traced.tracer, now_ns=traced.now_ns)


def heads(*sizes):
    return [Head(size, bytes(32), 1) for size in sizes]


def test_a_traced_block_leaves_a_span_for_each_step_to_its_checkpoint():
    traced = Traced()
    traces = traces_of(traced)
    traces.announced(5, context(7))
    traces.fetched(5)
    traces.applied(6, heads(30, 40, 50))
    traces.published(39)
    assert traced.names == ["ledger.fetch", "ledger.apply"]
    traces.published(44)
    assert traced.names == ["ledger.fetch", "ledger.apply", "ledger.publish", "ledger.block"]
    fetch, apply, publish, whole = traced.spans
    assert whole.parent.span_id == 7
    assert {span.parent.span_id for span in (fetch, apply, publish)} == {whole.context.span_id}
    assert whole.start_time == fetch.start_time
    assert (fetch.end_time, apply.end_time) == (apply.start_time, publish.start_time)
    assert publish.end_time == whole.end_time
    assert dict(whole.attributes) == {"heptad.height": 5, "heptad.size": 44}
    assert len(traces) == 0


def test_a_block_that_was_announced_and_came_from_another_replica_is_given_up():
    traced = Traced()
    traces = traces_of(traced)
    traces.announced(5, context(7))
    traces.applied(5, heads(30))
    assert len(traces) == 0
    traces.announced(8, context(8))
    traces.applied(9, heads(50))
    traces.published(50)
    assert len(traces) == 0
    assert traced.spans == ()


def test_of_too_many_announced_blocks_the_oldest_are_given_up(monkeypatch):
    monkeypatch.setattr(tracing, "OPEN_MAX", 3)
    traces = traces_of(Traced())
    for height in range(5):
        traces.announced(height, context(7))
    assert len(traces) == 3


def test_beyond_the_budget_of_a_second_nothing_is_traced():
    traces = traces_of(Traced(per_s=2))
    for height in range(5):
        traces.announced(height, context(7))
    assert len(traces) == 2
