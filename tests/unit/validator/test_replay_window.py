"""How long a request is remembered, against how long it is let in."""

from dataclasses import replace

import pytest

from heptad.model.problems import Problem
from heptad.runtime.config import CellLimits
from heptad.runtime.config.decode import decode, encode
from heptad.runtime.errors import ConfigInvalidError
from heptad_validator.checks.freshness import check_freshness
from heptad_validator.memory.replay import KEPT_AFTER_EXPIRY_S, ReplayWindow
from heptad_validator.tickets import Ticket


def skews_allowed():
    """Every skew that a cell may be configured with."""
    for skew_s in range(KEPT_AFTER_EXPIRY_S * 10):
        try:
            yield decode(
                CellLimits, encode(replace(CellLimits(), clock_skew_s_max=skew_s)), source="cell"
            ).clock_skew_s_max
        except ConfigInvalidError:
            continue


class Request:
    """What the check of freshness looks at."""

    iat, exp = 1_000, 1_300


def test_no_cell_can_let_in_a_request_that_its_validators_have_forgotten():
    skews = list(skews_allowed())
    assert 30 in skews
    for skew_s in skews:
        with pytest.raises(Problem, match="request_expired"):
            check_freshness(
                Request(),
                now_s=Request.exp + KEPT_AFTER_EXPIRY_S,
                skew_s_max=skew_s,
                lifetime_s_max=300,
            )


EXP_S = 1_000


@pytest.fixture(name="window")
def _window():
    return ReplayWindow(entries_max=10)


def ticket_of(name):
    return Ticket(request_id=name, claims_digest=bytes(32), exp_s=EXP_S, time_ms=1)


def commit(window, ticket):
    ticket.settle(7)
    window.committed((ticket,))


def test_a_committed_request_is_forgotten_in_its_time(window):
    ticket = ticket_of(b"a" * 32)
    window.add(ticket)
    commit(window, ticket)
    window.sweep(EXP_S + KEPT_AFTER_EXPIRY_S - 1)
    assert window.find(ticket.request_id) is not None
    window.sweep(EXP_S + KEPT_AFTER_EXPIRY_S)
    assert window.find(ticket.request_id) is None


def test_what_is_under_way_is_never_forgotten_however_long_nothing_commits(window):
    ticket = ticket_of(b"a" * 32)
    window.add(ticket)
    for now_s in range(EXP_S, EXP_S + 1_000, 7):
        window.sweep(now_s)
        assert window.find(ticket.request_id) is ticket


def test_what_was_committed_late_is_kept_until_the_ledger_must_know_it(window):
    ticket = ticket_of(b"a" * 32)
    window.add(ticket)
    window.sweep(EXP_S + KEPT_AFTER_EXPIRY_S)
    commit(window, ticket)
    # when the sweep that would have asked again comes right after the commit
    now_s = EXP_S + 2 * KEPT_AFTER_EXPIRY_S
    window.sweep(now_s)
    window.sweep(now_s + KEPT_AFTER_EXPIRY_S - 1)
    assert window.find(ticket.request_id).index == 7
    window.sweep(now_s + KEPT_AFTER_EXPIRY_S)
    assert window.find(ticket.request_id) is None
    assert len(window) == 0
