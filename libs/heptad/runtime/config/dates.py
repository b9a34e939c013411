"""Moments as files of configuration write them: RFC 3339, whole seconds, UTC.

One spelling only, `2026-11-28T20:15:00Z`, so that two people who compare a file by eye compare the
same thing, and the text sorts as the time does.
"""

import re
from datetime import UTC, datetime
from typing import Final

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def parse_date(text: str) -> datetime:
    """The moment that `text` spells, in UTC. Raises: ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text!r} is not written 2026-11-28T20:15:00Z")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def format_date(moment: datetime) -> str:
    """The one spelling of a moment; what is below a second is cut off."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> int:
    """Seconds since 1970 of a date as `parse_date` reads it. Raises: ValueError."""
    return int(parse_date(text).timestamp())


def date_mistake(text: str) -> str | None:
    """Say what is wrong with a date, or None."""
    try:
        parse_date(text)
    except ValueError as error:
        return str(error)
    return None
