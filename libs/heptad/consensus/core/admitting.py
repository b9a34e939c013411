"""Batches that validators send: what is taken into the pool, and what each sender is told."""

from typing import Final

from heptad.consensus import facts
from heptad.consensus.allowance import ANSWERED_ITEM_US, CHECK_US, MISFIT_US, hashing_us
from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.events import BatchReceived
from heptad.consensus.objects import BatchId
from heptad.consensus.ready import BatchOutcome, BatchVerdict
from heptad.model.ids import ValidatorNumber

_REPORTED_MAX: Final = 1_024
"""So many numbers under which two batches came are remembered; of a third nothing is read."""

_SURCHARGE_US: Final = {
    BatchVerdict.OVERLOADED: MISFIT_US,
    BatchVerdict.COMMITTED: ANSWERED_ITEM_US,
}


def admit(parts: Parts, event: BatchReceived) -> BatchOutcome:
    """Take a batch in, or say why not. What its number decides comes before reading and hashing it.

    A group that is overloaded is sent the most that it cannot use, so that has to cost the least.
    """
    try:
        batch_id = parts.reader.identify(event.payload)
        if batch_id.validator != event.validator:
            raise RefusedError(f"a batch of validator {batch_id.validator}")
        if event.validator not in parts.validators:
            raise RefusedError(f"a batch of validator {event.validator}, who is not known")
    except RefusedError as error:
        return BatchOutcome(event.validator, None, BatchVerdict.INVALID, str(error))
    if not parts.validators.admits(event.validator, parts.now_ms):
        return BatchOutcome(event.validator, batch_id, BatchVerdict.OVERLOADED, "over its share")
    checked_before = parts.meter.checked
    verdict, detail = _judge(parts, batch_id, event.payload)
    work_us = hashing_us(len(event.payload)) + CHECK_US * (parts.meter.checked - checked_before)
    parts.validators.charge(event.validator, work_us + _SURCHARGE_US.get(verdict, 0))
    return BatchOutcome(event.validator, batch_id, verdict, detail)


def _judge(parts: Parts, batch_id: BatchId, encoded: bytes) -> tuple[BatchVerdict, str]:
    chain, pool = parts.chain, parts.chain.pool
    position = chain.tree.root.state.positions.get(batch_id.validator, (-1, -1))
    if batch_id.incarnation < position[0]:
        return BatchVerdict.STALE, f"incarnation {position[0]} has begun"
    if (batch_id.incarnation, batch_id.sequence) <= position:
        return BatchVerdict.COMMITTED, f"sequence {position[1]} is committed"
    if pool.has_same(batch_id, encoded):
        return BatchVerdict.ACCEPTED, "it waits already"
    if pool.under(batch_id) is None and not chain.has_room(batch_id, len(encoded)):
        return BatchVerdict.OVERLOADED, "the pool holds as much as it may of this validator"
    try:
        return _take(parts, batch_id, encoded)
    except RefusedError as error:
        if isinstance(error, ForgedError):
            _forged(parts, batch_id.validator)
        return BatchVerdict.INVALID, str(error)


def _forged(parts: Parts, validator: ValidatorNumber) -> None:
    for_ms = parts.validators.forged(validator, parts.now_ms)
    if for_ms:
        parts.results.fact(facts.PEER_IGNORED, validator=validator, for_ms=for_ms)


def _take(parts: Parts, batch_id: BatchId, encoded: bytes) -> tuple[BatchVerdict, str]:
    """Read, verify, and put into the pool. Raises: RefusedError."""
    if batch_id in parts.two_batches:
        raise RefusedError("two other batches with the same number came before")
    batch = parts.reader.decode(encoded)
    if batch.sealed is None:
        raise RefusedError("a batch without its sealed half")
    if batch.digest in parts.chain.pool:
        return BatchVerdict.ACCEPTED, "it waits already"
    verified = parts.reader.verify(batch, encoded, now_ms=parts.now_ms)
    if parts.chain.pool.under(batch_id) is not None:
        parts.chain.notice(verified)
        parts.two_batches[batch_id] = None
        if len(parts.two_batches) > _REPORTED_MAX:
            parts.two_batches.popitem(last=False)
        raise RefusedError("another batch with the same number came before")
    is_taken = parts.chain.add_waiting(verified, parts.results)
    assert is_taken, "there was room a moment ago"
    return BatchVerdict.ACCEPTED, ""
