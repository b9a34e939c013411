"""From TOML to frozen dataclasses and back: strict, and with all mistakes told at once.

A generic decoder instead of a hand-written one per file: the dataclass *is* the schema, so a field
cannot be documented in one place and forgotten in another. Bounds stand beside the type, as
`Annotated[int, Between(1, 10)]`. Bytes are standard base64 in the file. Unknown keys are mistakes,
because a misspelt limit that silently keeps its default is how production surprises begin.
"""

import base64
import binascii
import dataclasses
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, TypeVar

import tomli_w

from heptad.runtime.errors import ConfigInvalidError


class DataclassLike(Protocol):
    """What `dataclasses.fields` accepts; typeshed has no public name for it."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]


ConfigT = TypeVar("ConfigT", bound=DataclassLike)


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a number, both inclusive."""

    low: int | float
    high: int | float

    def mistake(self, value: object) -> str | None:
        """Say what is wrong with `value`, or None."""
        assert isinstance(value, int | float)
        if self.low <= value <= self.high:
            return None
        return f"{value} is not between {self.low} and {self.high}"


@dataclass(frozen=True, slots=True)
class Length:
    """Bounds of a text, a list or bytes, both inclusive."""

    low: int
    high: int

    def mistake(self, value: object) -> str | None:
        """Say what is wrong with `value`, or None."""
        assert isinstance(value, str | bytes | tuple)
        if self.low <= len(value) <= self.high:
            return None
        wanted = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        unit = "bytes" if isinstance(value, bytes) else "long"
        return f"is {len(value)} {unit}, wanted {wanted}"


class _Refused(Exception):  # noqa: N818  private control flow: a place that has told its mistake
    """A value was refused and its mistake is in the list."""


class _Decoder:
    """Collects mistakes while it walks one file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.mistakes: list[str] = []

    def refuse(self, key: str, reason: str) -> _Refused:
        self.mistakes.append(
            f"{self._source}: {key}: {reason}" if key else f"{self._source}: {reason}"
        )
        return _Refused()

    def table(self, kind: type[ConfigT], value: object, key: str) -> ConfigT:
        if not isinstance(value, dict):
            raise self.refuse(key, "must be a table")
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        before = len(self.mistakes)
        for name in sorted(value.keys() - fields.keys()):
            self.refuse(_join(key, name), "is not a known key")
        arguments: dict[str, object] = {}
        for name, field in fields.items():
            try:
                if name in value:
                    arguments[name] = self.value(hints[name], value[name], _join(key, name))
                elif not _has_default(field):
                    self.refuse(_join(key, name), "is missing")
            except _Refused:
                continue
        if len(self.mistakes) > before:
            raise _Refused
        return kind(**arguments)

    def value(self, hint: object, value: object, key: str) -> object:
        if typing.get_origin(hint) is Annotated:
            plain, *rules = typing.get_args(hint)
            decoded = self.value(plain, value, key)
            for rule in rules:
                if (reason := rule.mistake(decoded)) is not None:
                    raise self.refuse(key, reason)
            return decoded
        if typing.get_origin(hint) is tuple:
            return self._tuple(typing.get_args(hint)[0], value, key)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            return self.table(hint, value, key)
        assert isinstance(hint, type), f"no decoding rule for {hint!r}"
        return self._scalar(hint, value, key)

    def _tuple(self, item_hint: object, value: object, key: str) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise self.refuse(key, "must be a list")
        return tuple(
            self.value(item_hint, item, f"{key}[{place}]") for place, item in enumerate(value)
        )

    def _scalar(self, hint: type, value: object, key: str) -> object:
        if hint is bytes:
            return self._bytes(value, key)
        if hint is float and type(value) is int:
            return float(value)
        # `type() is`, since a bool is an int to isinstance and `port = true` is a mistake.
        if type(value) is not hint:
            raise self.refuse(key, f"must be of type {hint.__name__}, not {type(value).__name__}")
        return value

    def _bytes(self, value: object, key: str) -> bytes:
        if not isinstance(value, str):
            raise self.refuse(key, "must be base64 text")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise self.refuse(key, "is not standard base64") from None


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _has_default(field: "dataclasses.Field[object]") -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


class Validated(Protocol):
    """A configuration that knows rules between its fields."""

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each broken rule; called once every field fits by itself."""
        ...


def decode(kind: type[ConfigT], document: Mapping[str, object], *, source: str) -> ConfigT:
    """Make a `kind` from a parsed TOML document.

    `source` names the file in messages.
    Raises: ConfigInvalidError, with every mistake of the file.
    """
    decoder = _Decoder(source)
    try:
        config = decoder.table(kind, dict(document), "")
    except _Refused:
        raise ConfigInvalidError(tuple(decoder.mistakes)) from None
    rules = getattr(config, "mistakes", None)
    if rules is not None:
        for key, reason in rules():
            decoder.refuse(key, reason)
    if decoder.mistakes:
        raise ConfigInvalidError(tuple(decoder.mistakes))
    return config


def encode(config: DataclassLike) -> dict[str, object]:
    """The TOML document of a configuration: the inverse of `decode`, defaults written out."""
    return {
        field.name: _encode_value(getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def _encode_value(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return [_encode_value(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode(value)
    assert isinstance(value, str | bool | int | float), f"no encoding rule for {value!r}"
    return value


def read(kind: type[ConfigT], path: Path) -> ConfigT:
    """Read one file of configuration.

    Raises: ConfigInvalidError if it is absent, is not TOML, or breaks a rule.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigInvalidError((f"{path}: cannot be read: {error.strerror}",)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalidError((f"{path}: is not TOML: {error}",)) from error
    return decode(kind, document, source=str(path))


def toml_text(config: DataclassLike, *, head: str) -> str:
    """The whole file, with `head` as comment lines on top."""
    comments = "".join(f"# {line}\n" for line in head.splitlines())
    return f"{comments}\n{tomli_w.dumps(encode(config))}"
