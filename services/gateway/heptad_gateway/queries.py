"""The numbers in a query string, read strictly: an unknown name or a second value is a mistake."""

import re
from typing import Final

from aiohttp import web

from heptad.model.problems import Problem
from heptad.transparency.merkle import SIZE_MAX

_DECIMAL: Final = re.compile("0|[1-9][0-9]{0,18}")


def numbers_of(request: web.BaseRequest, defaults: dict[str, int | None]) -> dict[str, int]:
    """The query's numbers; None marks one that must be given. Raises: Problem."""
    for name in request.query:
        if name not in defaults:
            raise invalid(name[:40], f"this call knows {', '.join(defaults)}")
    numbers = {}
    for name, default in defaults.items():
        given = request.query.getall(name, [])
        if len(given) > 1:
            raise invalid(name, "it is there more than once")
        if not given and default is None:
            raise invalid(name, "it is missing")
        numbers[name] = number_of(name, given[0]) if given else default or 0
    return numbers


def number_of(name: str, text: str) -> int:
    """A decimal number in its only spelling. Raises: Problem `parameter_invalid`."""
    if _DECIMAL.fullmatch(text) is None:
        raise invalid(name, "it is no decimal number")
    if int(text) > SIZE_MAX:
        raise invalid(name, f"it is over {SIZE_MAX}")
    return int(text)


def invalid(name: str, detail: str) -> Problem:
    """What to raise for a parameter that is not as it should be."""
    return Problem("parameter_invalid", detail, field=name)
