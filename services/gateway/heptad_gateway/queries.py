"""What stands in a query string, read strictly: an unknown name or a second value is a mistake."""

import re
from collections.abc import Collection
from typing import Final

from aiohttp import web

from heptad.model.entry import Kind, Outcome
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, Order
from heptad.transparency.merkle import SIZE_MAX

_DECIMAL: Final = re.compile("0|[1-9][0-9]*")
_LIKE_A_NAME: Final = re.compile("[a-z_]{1,20}")


FILTER: Final = (
    "start_index",
    "end_index",
    "from_ms",
    "until_ms",
    "service",
    "kind",
    "action",
    "outcome",
    "validator",
)
"""The names of a filter of entries; `kind` may be there more than once."""

_KINDS: Final = {kind.name: kind for kind in Kind}
_OUTCOMES: Final = {"allowed": Outcome.ALLOWED, "denied": Outcome.DENIED}
_ORDERS: Final = {"ascending": Order.ASCENDING, "descending": Order.DESCENDING}
_VALIDATOR_MAX: Final = 2**32 - 1


def numbers_of(request: web.BaseRequest, defaults: dict[str, int | None]) -> dict[str, int]:
    """The query's numbers; None marks one that must be given. Raises: Problem."""
    require_known(request, defaults)
    numbers = {}
    for name, default in defaults.items():
        given = text_of(request, name)
        if given is None and default is None:
            raise invalid(name, "it is missing")
        numbers[name] = (default or 0) if given is None else number_of(name, given)
    return numbers


def require_known(request: web.BaseRequest, names: Collection[str]) -> None:
    """Raises: Problem `parameter_invalid` for a name that is none of these.

    A slip of the pen is named; text that could be anything is not repeated.
    """
    for name in request.query:
        if name not in names:
            field = name if _LIKE_A_NAME.fullmatch(name) else "query"
            raise invalid(field, f"this call knows {', '.join(names) or 'no parameter'}")


def text_of(request: web.BaseRequest, name: str) -> str | None:
    """The one value of a name, or None. Raises: Problem."""
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise invalid(name, "it is there more than once")
    return given[0] if given else None


def optional_number(request: web.BaseRequest, name: str) -> int:
    """The number of a name; 0 if it is not there. Raises: Problem."""
    given = text_of(request, name)
    return 0 if given is None else number_of(name, given)


def order_of(request: web.BaseRequest) -> Order:
    """What `order` says. Raises: Problem."""
    return _ORDERS[_word(request, "order", _ORDERS) or "ascending"]


def filter_of(request: web.BaseRequest) -> EntryFilter:
    """The filter in a query. Raises: Problem, naming the parameter."""
    kinds = request.query.getall("kind", [])
    if any(kind not in _KINDS for kind in kinds):
        raise invalid("kind", f"there are {', '.join(_KINDS)}")
    outcome = _word(request, "outcome", _OUTCOMES)
    wanted = EntryFilter(
        start_index=optional_number(request, "start_index"),
        end_index=optional_number(request, "end_index"),
        from_ms=optional_number(request, "from_ms"),
        until_ms=optional_number(request, "until_ms"),
        service=text_of(request, "service") or "",
        kinds=tuple(sorted({_KINDS[kind] for kind in kinds})),
        action=text_of(request, "action") or "",
        outcome=_OUTCOMES[outcome] if outcome else Outcome.NONE,
        validator=optional_number(request, "validator"),
    )
    if wanted.validator > _VALIDATOR_MAX:
        raise invalid("validator", f"it is over {_VALIDATOR_MAX}")
    for field, reason in wanted.mistakes():
        raise invalid(field, reason)
    return wanted


def _word(request: web.BaseRequest, name: str, known: Collection[str]) -> str:
    """One of these words, or ""."""
    given = text_of(request, name)
    if given is not None and given not in known:
        raise invalid(name, f"it is none of {', '.join(known)}")
    return given or ""


def number_of(name: str, text: str) -> int:
    """A decimal number in its only spelling. Raises: Problem `parameter_invalid`."""
    if _DECIMAL.fullmatch(text) is None:
        raise invalid(name, "it is no decimal number")
    if len(text) > len(str(SIZE_MAX)) or int(text) > SIZE_MAX:
        raise invalid(name, f"it is over {SIZE_MAX}")
    return int(text)


def invalid(name: str, detail: str) -> Problem:
    """What to raise for a parameter that is not as it should be."""
    return Problem("parameter_invalid", detail, field=name)
