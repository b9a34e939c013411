"""One month is one of the calendar's."""

from datetime import UTC, datetime

import pytest

from heptad.runtime.deadlines import one_month_after


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("received", "end"),
    [
        ("2026-11-28T19:45:01", "2026-12-28T19:45:01"),
        ("2026-12-15T00:00:00", "2027-01-15T00:00:00"),
        ("2027-01-31T12:00:00", "2027-02-28T12:00:00"),
        ("2028-01-30T12:00:00", "2028-02-29T12:00:00"),
        ("2027-05-31T23:59:59", "2027-06-30T23:59:59"),
    ],
)
def test_a_month_ends_on_the_same_day_or_the_months_last(received: str, end: str) -> None:
    assert one_month_after(at(received)) == at(end)


def test_not_a_millisecond_is_lost() -> None:
    assert one_month_after(at("2026-11-28T00:00:00") + 789) == at("2026-12-28T00:00:00") + 789
