"""Batches that validators send: what is taken into the pool, and what each sender is told."""

from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import RefusedError
from heptad.consensus.events import BatchReceived
from heptad.consensus.objects import BatchId
from heptad.consensus.ready import BatchOutcome, BatchVerdict


def admit(parts: Parts, event: BatchReceived) -> BatchOutcome:
    """Take a batch in, or say why not. What its number decides comes before reading and hashing it.

    A group that is overloaded is sent the most that it cannot use, so that has to cost the least.
    """
    try:
        batch_id = parts.reader.identify(event.payload)
        if batch_id.validator != event.validator:
            raise RefusedError(f"a batch of validator {batch_id.validator}")
    except RefusedError as error:
        return BatchOutcome(event.validator, None, BatchVerdict.INVALID, str(error))
    verdict, detail = _judge(parts, batch_id, event.payload)
    return BatchOutcome(event.validator, batch_id, verdict, detail)


def _judge(parts: Parts, batch_id: BatchId, encoded: bytes) -> tuple[BatchVerdict, str]:
    chain, pool = parts.chain, parts.chain.pool
    position = chain.tree.root.state.positions.get(batch_id.validator, (-1, -1))
    if (batch_id.incarnation, batch_id.sequence) <= position:
        if batch_id.incarnation < position[0]:
            return BatchVerdict.STALE, f"incarnation {position[0]} has begun"
        return BatchVerdict.COMMITTED, f"sequence {position[1]} is committed"
    if pool.has_same(batch_id, encoded):
        return BatchVerdict.ACCEPTED, "it waits already"
    if pool.under(batch_id) is None and not chain.has_room(batch_id, len(encoded)):
        return BatchVerdict.OVERLOADED, "the pool holds as much as it may of this validator"
    try:
        return _take(parts, batch_id, encoded)
    except RefusedError as error:
        return BatchVerdict.INVALID, str(error)


def _take(parts: Parts, batch_id: BatchId, encoded: bytes) -> tuple[BatchVerdict, str]:
    """Read, verify, and put into the pool. Raises: RefusedError."""
    batch = parts.reader.decode(encoded)
    if batch.sealed is None:
        raise RefusedError("a batch without its sealed half")
    if batch.digest in parts.chain.pool:
        return BatchVerdict.ACCEPTED, "it waits already"
    verified = parts.reader.verify(batch, encoded, now_ms=parts.now_ms)
    if parts.chain.pool.under(batch_id) is not None:
        parts.chain.notice(verified)
        raise RefusedError("another batch with the same number came before")
    is_taken = parts.chain.add_waiting(verified, parts.results)
    assert is_taken, "there was room a moment ago"
    return BatchVerdict.ACCEPTED, ""
