"""Where a request stands: the ledger first, then the validators, and INVALID only for good."""

import asyncio

import pytest

from heptad.client import Terms, find_standing
from heptad.model.answers import PendingRequest, RequestState
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import RequestStatus
from heptad.model.problems import Problem
from heptad.wire.convert.entry import encode_entry

EXP_S = 1_000
UNKNOWN = PendingRequest(RequestState.UNKNOWN, 0, 0)
DENIED = Entry(Kind.REQUEST, "s", "a", Outcome.DENIED, 1, 1, b"")


class Ledger:
    def __init__(self, answer):
        self.answer = answer

    async def request_status(self, request_id, *, terms):
        answer = self.answer.pop(0) if isinstance(self.answer, list) else self.answer
        if isinstance(answer, Problem):
            raise answer
        return answer


class Validators:
    def __init__(self, *answers):
        self.numbers = tuple(range(len(answers)))
        self.answers = answers

    async def pending(self, validator, request_id, *, terms):
        if isinstance(self.answers[validator], Problem):
            raise self.answers[validator]
        return self.answers[validator]


def standing(ledger, *validators, exp_s=0):
    return asyncio.run(
        find_standing(
            bytes(32),
            ledger=Ledger(ledger),
            validators=Validators(*validators),
            terms=Terms(),
            exp_s=exp_s,
        )
    )


def unknown(applied_time_ms=0):
    return RequestStatus(RequestState.UNKNOWN, 0, b"", False, applied_time_ms)


DOWN = Problem("ledger_unavailable", "down")
GONE = Problem("validator_unavailable", "gone")


def test_what_the_ledger_has_is_committed_with_its_outcome():
    known = RequestStatus(RequestState.COMMITTED, 9, encode_entry(DENIED), True, 5)
    found = standing(known, GONE)
    assert (found.state, found.index) == (RequestState.COMMITTED, 9)
    assert (found.outcome, found.receipt_ready) == (Outcome.DENIED, True)


@pytest.mark.parametrize("ledger", [unknown(), DOWN])
def test_what_a_validator_knows_counts_while_the_ledger_is_behind_or_down(ledger):
    committed = PendingRequest(RequestState.COMMITTED, 4, EXP_S)
    pending = PendingRequest(RequestState.PENDING, 0, EXP_S)
    assert standing(ledger, UNKNOWN, committed, GONE).index == 4
    assert standing(ledger, GONE, pending).state is RequestState.PENDING


def test_what_nobody_knows_is_unknown():
    assert standing(unknown(), UNKNOWN, GONE).state is RequestState.UNKNOWN


def test_nobody_says_unknown_while_the_ledger_is_down():
    with pytest.raises(Problem, match="ledger_unavailable"):
        standing(DOWN, UNKNOWN, UNKNOWN)


def test_a_request_is_invalid_only_once_the_log_is_a_minute_past_its_expiry():
    edge_ms = (EXP_S + 60) * 1000
    found = standing(unknown(edge_ms), UNKNOWN, UNKNOWN, exp_s=EXP_S)
    assert found.state is RequestState.UNKNOWN
    found = standing(unknown(edge_ms + 1), UNKNOWN, UNKNOWN, exp_s=EXP_S)
    assert found.state is RequestState.INVALID


def test_a_request_is_not_invalid_while_a_validator_cannot_be_asked():
    """It may have the request on its way."""
    assert standing(unknown(10**9), UNKNOWN, GONE, exp_s=EXP_S).state is RequestState.UNKNOWN


def test_a_request_that_came_into_the_log_while_validators_were_asked_is_committed():
    known = RequestStatus(RequestState.COMMITTED, 9, encode_entry(DENIED), True, 10**9)
    found = standing([unknown(10**9), known], UNKNOWN, exp_s=EXP_S)
    assert (found.state, found.index) == (RequestState.COMMITTED, 9)


def test_a_request_in_a_batch_that_is_still_sent_is_never_called_invalid():
    """It would be a promise that the next block may break."""
    pending = PendingRequest(RequestState.PENDING, 0, EXP_S)
    assert standing(unknown(10**9), UNKNOWN, pending, exp_s=EXP_S).state is RequestState.PENDING


def test_a_request_whose_expiry_nobody_says_is_never_called_invalid():
    assert standing(unknown(10**9), UNKNOWN).state is RequestState.UNKNOWN
