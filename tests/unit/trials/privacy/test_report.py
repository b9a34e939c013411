"""How a check ends, and what its rows may pass over."""

import json

import pytest

from heptad.trials.privacy.report import Outcome, Report, Row, control_row, row_of

HOLDS = row_of("files", "nothing is there", "3 files", [])
BROKEN = row_of("files", "nothing is there", "3 files", ["log.jsonl, byte 9: mark, plain"])
NOT_CHECKED = Row("packets", "nothing is there", Outcome.NOT_CHECKED, "not allowed")
BY_DESIGN = Row("apps", "it is plain", Outcome.BY_DESIGN, "HTTP")


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([HOLDS, BY_DESIGN], 0),
        ([HOLDS, BROKEN], 1),
        ([HOLDS, NOT_CHECKED], 2),
        ([NOT_CHECKED, BROKEN], 1),
    ],
)
def test_what_was_not_checked_never_passes_for_what_holds(rows, status):
    report = Report("home", rows)

    assert report.exit_status() == status
    assert json.loads(report.encode())["holds"] is (status == 0)


def test_a_control_that_misses_something_breaks_the_check():
    assert control_row("files", ["a", "b"], ["a", "b"]).outcome is Outcome.HOLDS

    missed = control_row("files", ["a"], ["a", "b"])
    assert (missed.outcome, missed.findings) == (Outcome.BROKEN, ("b",))
