"""What a replica makes of a traced batch, and that it follows no more of them than it may."""

from spans import Traced, context

from heptad.consensus.objects import BatchId, Cosignature, LogHead
from heptad.consensus.ready import BatchOutcome, BatchVerdict, Persist
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.observability.traces import unpack_contexts
from heptad_replica import tracing
from heptad_replica.tracing import BatchTraces

ONE = ValidatorNumber(1)


def traces_of(traced):
    return BatchTraces(traced.tracer, now_ns=traced.now_ns)


def cosigned(size):
    return [Cosignature(MemberIndex(0), LogHead(size, bytes(32)), 1, bytes(64))]


def test_a_traced_batch_leaves_a_span_for_each_step_to_its_cosignature(chain):
    traced = Traced()
    traces = traces_of(traced)
    ref, encoded = chain.batch(3)
    traces.received(ONE, encoded, context(7))
    block = chain.block(ref)
    traces.written(Persist(blocks=(block,)))
    traces.committed([chain.commit(block)])
    traces.cosigned(cosigned(2))
    assert not traced.named("replica.cosign")
    traces.cosigned(cosigned(3))
    assert traced.names == ["replica.order", "replica.commit", "replica.batch", "replica.cosign"]
    order, commit, whole, cosign = traced.spans
    assert whole.parent.trace_id == whole.parent.span_id == 7
    assert {span.parent.span_id for span in (order, commit, cosign)} == {whole.context.span_id}
    assert order.end_time == commit.start_time < commit.end_time
    assert dict(whole.attributes) == {
        "heptad.height": 1, "heptad.round": 1, "heptad.leader": 1,
    }  # fmt: skip
    assert len(traces) == 0
    # a ledger is told of the spans of this replica
    [told] = unpack_contexts(traces.of_height(1))
    assert told.span_id == whole.context.span_id.to_bytes(8, "big")
    assert traces.of_height(2) == b""


def test_a_block_without_a_traced_batch_leaves_nothing(chain):
    traced = Traced()
    traces = traces_of(traced)
    ref, _ = chain.batch(3)
    other, encoded = chain.batch(3)
    traces.received(ONE, encoded, context(7))
    block = chain.block(ref)
    traces.written(Persist(blocks=(block,)))
    traces.committed([chain.commit(block)])
    traces.cosigned(cosigned(3))
    assert traced.spans == ()
    assert traces.of_height(1) == b""
    assert other.sequence == 1


def test_a_batch_that_was_refused_is_waited_for_no_more(chain):
    traces = traces_of(Traced())
    _, encoded = chain.batch(1)
    name = BatchId(ONE, 1, 0)
    traces.received(ONE, encoded, context(7))
    traces.answered([BatchOutcome(1, name, BatchVerdict.ACCEPTED, "")])
    assert len(traces) == 1
    traces.answered([BatchOutcome(1, name, BatchVerdict.STALE, "")])
    assert len(traces) == 0


def test_of_too_many_traced_batches_the_oldest_are_given_up(chain, monkeypatch):
    monkeypatch.setattr(tracing, "WAITING_MAX", 3)
    traces = traces_of(Traced())
    for _ in range(5):
        traces.received(ONE, chain.batch(1)[1], context(7))
    assert len(traces) == 3


def test_beyond_the_budget_of_a_second_nothing_is_traced(chain):
    traces = traces_of(Traced(per_s=2))
    for _ in range(5):
        traces.received(ONE, chain.batch(1)[1], context(7))
    assert len(traces) == 2


def test_a_block_names_at_most_four_traces_to_a_ledger(chain):
    traces = traces_of(Traced())
    batches = [chain.batch(1) for _ in range(3)]
    for number, (_, encoded) in enumerate(batches):
        traces.received(ONE, encoded, context(2 * number + 1) + context(2 * number + 2))
    traces.committed([chain.commit(chain.block(*(ref for ref, _ in batches)))])
    assert len(list(unpack_contexts(traces.of_height(1)))) == 4
