"""How far a request has come, put together from the ledger and the validators.

The ledger is asked first, since what it has is final. What it does not have may be under way at
a validator, which is asked after it: in the other order a request could fall between the two.
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
    request_id: bytes, *, ledger: KnowsCommitted, validators: KnowsPending, terms: Terms
) -> Standing:
    """Where the request of this id (32 bytes) stands.

    Raises: Problem `ledger_unavailable` and its like, when the ledger does not answer and no
    validator knows the request: then nobody may say UNKNOWN.
    """
    trouble: Problem | None = None
    applied_time_ms = 0
    try:
        known = await ledger.request_status(request_id, terms=terms)
        if known.state is RequestState.COMMITTED:
            return Standing(known.state, known.index, _outcome(known.entry), known.receipt_ready)
        applied_time_ms = known.applied_time_ms
    except Problem as problem:
        trouble = problem
    asked = [_pending(validators, number, request_id, terms) for number in validators.numbers]
    heard = [answer for answer in await asyncio.gather(*asked) if answer is not None]
    for answer in heard:
        if answer.state is RequestState.COMMITTED:
            return Standing(answer.state, answer.index)
    if any(answer.state is RequestState.PENDING for answer in heard):
        return Standing(RequestState.PENDING)
    if trouble is not None:
        raise trouble
    if any(_is_over(answer, applied_time_ms) for answer in heard):
        return Standing(RequestState.INVALID)
    return Standing(RequestState.UNKNOWN)


async def _pending(
    validators: KnowsPending, number: int, request_id: bytes, terms: Terms
) -> PendingRequest | None:
    """What one validator knows; None where it cannot be asked, which proves nothing."""
    try:
        return await validators.pending(number, request_id, terms=terms)
    except Problem:
        return None


def _is_over(answer: PendingRequest, applied_time_ms: int) -> bool:
    """Whether the request can never be committed any more: it is not in a batch, and expired.

    A validator that still says PENDING goes on sending its batch; calling that INVALID would be
    a promise that the next block may break.
    """
    return answer.exp_s > 0 and (answer.exp_s + EXPIRY_MARGIN_S) * 1000 < applied_time_ms


def _outcome(entry: bytes) -> Outcome:
    try:
        return decode_entry(entry).outcome
    except MalformedError:
        return Outcome.NONE
