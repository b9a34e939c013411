"""Scenarios as TOML files: written when a history fails, read when it is replayed.

Reading is driven by the dataclasses of `scenario` themselves: a key that is no field, or a value of
another type, is refused by name, so a misspelt fault cannot silently stay away.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Final, TypeVar, get_args, get_origin, get_type_hints

import tomli_w

from heptad.simulation.scenario import Action, Scenario

_ACTIONS: Final[dict[str, Callable[..., Action]]] = {
    each.__name__: each for each in get_args(Action)
}

_T = TypeVar("_T")


class ScenarioError(Exception):
    """A scenario file says something that no scenario can say; the message names it."""


def save(scenario: Scenario, path: Path) -> None:
    """Write a scenario file."""
    path.write_text(dumps(scenario), encoding="utf-8")


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises: ScenarioError, and OSError if there is none."""
    return loads(path.read_text(encoding="utf-8"))


def dumps(scenario: Scenario) -> str:
    """The scenario as TOML; what is as by default is left out."""
    table = _plain_fields(replace(scenario, actions=()))
    table["actions"] = [
        {"act": type(action).__name__, **_plain_fields(action)} for action in scenario.actions
    ]
    return tomli_w.dumps(table)


def loads(text: str) -> Scenario:
    """Read what `dumps` wrote. Raises: ScenarioError."""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not TOML: {error}") from None
    entries = table.pop("actions", [])
    if not isinstance(entries, list):
        raise ScenarioError("actions is no list of tables")
    return replace(_built(Scenario, table), actions=tuple(_action(entry) for entry in entries))


def _action(entry: object) -> Action:
    if not isinstance(entry, dict) or entry.get("act") not in _ACTIONS:
        raise ScenarioError(f"{entry} names no act; there are {', '.join(_ACTIONS)}")
    return _built(_ACTIONS[entry["act"]], {k: v for k, v in entry.items() if k != "act"})


def _built(make: Callable[..., _T], table: Mapping[str, object]) -> _T:
    types = get_type_hints(make)
    names = {each.name: each for each in _fields(make)}
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise ScenarioError(f"{make.__name__} has no {', '.join(unknown)}")
    missing = sorted(name for name, each in names.items() if _is_needed(each) and name not in table)
    if missing:
        raise ScenarioError(f"{make.__name__} needs {', '.join(missing)}")
    return make(**{name: _value(types[name], value, name) for name, value in table.items()})


def _fields(thing: object) -> tuple[Field[object], ...]:
    assert is_dataclass(thing), thing
    return fields(thing)


def _is_needed(each: Field[object]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _value(wanted: object, value: object, name: str) -> object:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, name) for item in value)
    if origin is not None and origin is not UnionType and isinstance(value, dict):
        return {key: _value(inner[1], item, name) for key, item in value.items()}
    if isinstance(wanted, type):
        if is_dataclass(wanted) and isinstance(value, dict):
            return _built(wanted, value)
        if issubclass(wanted, Enum):
            return _enum(wanted, value, name)
        if type(value) is wanted or (wanted is float and type(value) is int):
            return value
    raise ScenarioError(f"{name} = {value!r} is not of type {wanted}")


def _enum(wanted: type[Enum], value: object, name: str) -> Enum:
    try:
        return wanted(value)
    except ValueError:
        choices = ", ".join(str(each.value) for each in wanted)
        raise ScenarioError(f"{name} = {value!r} is none of {choices}") from None


def _plain_fields(thing: object) -> dict[str, object]:
    """The fields of a dataclass that differ from their defaults, as TOML can write them."""
    plain: dict[str, object] = {}
    for each in _fields(thing):
        value = getattr(thing, each.name)
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if value != default:
            plain[each.name] = _plain(value)
    return plain


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return _plain_fields(value) if is_dataclass(value) else value
