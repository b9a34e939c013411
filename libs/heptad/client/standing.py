"""How far a request has come, put together from the ledger and the validators.

The ledger is asked first, since what it has is final. What it does not have may be under way at
a validator, which is asked after it: in the other order a request could fall between the two.

INVALID is a promise that it will never be in the log, so that whoever wants it recorded may sign it
anew. Only who has signed a request knows for sure when it runs out; so the caller says it, and gets
INVALID once the log is a minute past that, *every* validator has answered that it has nothing of
the kind, and the ledger, asked once more after them, still does not have it. A validator forgets
nothing that is under way, and answers nothing before all that an earlier life of it has sent is
either committed or shut out.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heptad.client.calls import Terms
from heptad.model.answers import PendingRequest, RequestState
from heptad.model.canonical import MalformedError
from heptad.model.entry import Outcome
from heptad.model.log_reads import RequestStatus
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry

EXPIRY_MARGIN_S: Final = 60
"""A request counts as absent for good once the log is this much later than its `exp`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands.

    `index` means something once COMMITTED. `outcome` is NONE until the ledger has the entry;
    `receipt_ready` tells whether a published checkpoint covers it.
    """

    state: RequestState
    index: int = 0
    outcome: Outcome = Outcome.NONE
    receipt_ready: bool = False


class KnowsCommitted(Protocol):
    """A ledger, as far as this question goes."""

    async def request_status(self, request_id: bytes, *, terms: Terms) -> RequestStatus:
        """UNKNOWN or COMMITTED. Raises: Problem."""


class KnowsPending(Protocol):
    """The validators, as far as this question goes."""

    @property
    def numbers(self) -> Sequence[int]:
        """The validators' numbers."""

    async def pending(self, validator: int, request_id: bytes, *, terms: Terms) -> PendingRequest:
        """What one validator knows. Raises: Problem."""


async def find_standing(
    request_id: bytes,
    *,
    ledger: KnowsCommitted,
    validators: KnowsPending,
    terms: Terms,
    exp_s: int = 0,
) -> Standing:
    """Where the request of this id (32 bytes) stands.

    `exp_s` is the request's `exp`; 0 leaves UNKNOWN what might be INVALID.
    Raises: Problem `ledger_unavailable` and its like, when the ledger does not answer and no
    validator knows the request: then nobody may say UNKNOWN.
    """
    trouble: Problem | None = None
    try:
        known = await ledger.request_status(request_id, terms=terms)
        if known.state is RequestState.COMMITTED:
            return _committed(known)
    except Problem as problem:
        trouble = problem
    asked = [_pending(validators, number, request_id, terms) for number in validators.numbers]
    heard = await asyncio.gather(*asked)
    for answer in heard:
        if answer is not None and answer.state is RequestState.COMMITTED:
            return Standing(answer.state, answer.index)
    if any(answer is not None and answer.state is RequestState.PENDING for answer in heard):
        return Standing(RequestState.PENDING)
    if trouble is not None:
        raise trouble
    if exp_s and None not in heard:
        known = await ledger.request_status(request_id, terms=terms)
        if known.state is RequestState.COMMITTED:
            return _committed(known)
        if known.applied_time_ms > (exp_s + EXPIRY_MARGIN_S) * 1000:
            return Standing(RequestState.INVALID)
    return Standing(RequestState.UNKNOWN)


def _committed(known: RequestStatus) -> Standing:
    return Standing(known.state, known.index, _outcome(known.entry), known.receipt_ready)


async def _pending(
    validators: KnowsPending, number: int, request_id: bytes, terms: Terms
) -> PendingRequest | None:
    """What one validator knows; None where it cannot be asked, which proves nothing."""
    try:
        return await validators.pending(number, request_id, terms=terms)
    except Problem:
        return None


def _outcome(entry: bytes) -> Outcome:
    try:
        return decode_entry(entry).outcome
    except MalformedError:
        return Outcome.NONE
