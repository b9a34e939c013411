"""How long a request is remembered, against how long it is let in."""

from dataclasses import replace

import pytest

from heptad.model.problems import Problem
from heptad.runtime.config import CellLimits
from heptad.runtime.config.decode import decode, encode
from heptad.runtime.errors import ConfigInvalidError
from heptad_validator.checks.freshness import check_freshness
from heptad_validator.memory.replay import KEPT_AFTER_EXPIRY_S


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
