"""Logs as JSON lines: one event name and its fields per line.

An event's name is a stable word that a person can search and an alert can count
(`checkpoint_published`); what varies stands in fields. Sentences with values baked in would be
neither, and would sooner or later carry somebody's name.

Personal data, keys and payloads never belong in a log. Callers know that; the guard here is for the
day when one forgets. A field whose name or value looks like such a thing is replaced by
`[withheld]` and the line is written all the same: losing the event would hide the trouble that made
somebody log it. Text of foreign exceptions is left out for the same reason, places are kept.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Field: TypeAlias = Scalar | list[str] | list[int]

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": 10, "info": 20, "warning": 30, "error": 40}
)
WITHHELD: Final = "[withheld]"
TEXT_LENGTH_MAX: Final = 500
FRAMES_MAX: Final = 12

_PRIVATE_NAMES: Final = re.compile(
    r"(^|_)(iss|sub|subject|subject_id|person|citizen|email|phone|payload|data|body|jws|jwk|token"
    r"|authorization|cookie|password|secret|seed|witness|private|plaintext|slot_key|key_ref|key"
    r"|keys|routing_header|ip|client_address)$"
)
_PRIVATE_TEXT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}|-----BEGIN|\"d\"\s*:")

_OF_THE_PROGRAM: Final = (AttributeError, NameError, ImportError, NotImplementedError)


def _write_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Threshold:
    """The lowest level that is written, shared by all logs that were bound from one."""

    level: int


class EventLog:
    """Writes events; `bound` fields stand in every line."""

    def __init__(
        self,
        *,
        bound: Mapping[str, Field],
        level: str = "info",
        write: Callable[[str], None] = _write_stderr,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._bound = dict(bound)
        self._threshold = _Threshold(LEVELS[level])
        self._write = write
        self._now = now

    def bind(self, **fields: Field) -> "EventLog":
        """A log with further fields in every line."""
        log = EventLog(bound={**self._bound, **fields}, write=self._write, now=self._now)
        log._threshold = self._threshold
        return log

    def set_level(self, level: str) -> None:
        """From now on write this level and all above it, here and in all that was bound from here.

        Raises: KeyError.
        """
        self._threshold.level = LEVELS[level]

    def debug(self, event: str, **fields: Field) -> None:
        """For somebody who looks for a fault."""
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Something happened that belongs to normal life."""
        self._emit("info", event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Something that heals by itself, but should not happen often."""
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Something that a person must look at."""
        self._emit("error", event, fields)

    def failure(self, event: str, error: BaseException, **fields: Field) -> None:
        """An error with the exception behind it: its type and where it came from."""
        self._emit("error", event, {**fields, **describe(error)})

    def _emit(self, level: str, event: str, fields: Mapping[str, Field]) -> None:
        if LEVELS[level] < self._threshold.level:
            return
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Field] = {"time": at, "level": level, "event": event, **self._bound}
        line.update((name, guarded(name, value)) for name, value in fields.items())
        self._write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def guarded(name: str, value: object) -> Field:
    """The value as it may be written: unchanged, shortened, or `[withheld]`."""
    if _PRIVATE_NAMES.search(name):
        return WITHHELD
    if isinstance(value, list | tuple):
        return [str(guarded(name, item)) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        # Bytes are keys or payloads until proved otherwise, and other objects print who knows what.
        return WITHHELD
    if _PRIVATE_TEXT.search(value):
        return WITHHELD
    return value if len(value) <= TEXT_LENGTH_MAX else value[:TEXT_LENGTH_MAX] + "…"


def describe(error: BaseException) -> dict[str, Field]:
    """An exception as fields: its type, where it was raised, and its text if that is harmless.

    The house's own errors promise that their text holds numbers and no data, a few built-in ones
    speak of the program only, and LMDB's of the machine, with a path that is left out; all others
    may repeat what they were given.
    """
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    fields: dict[str, Field] = {
        "error": f"{kind.__module__}.{kind.__qualname__}",
        "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if kind.__module__.startswith("heptad") or isinstance(error, _OF_THE_PROGRAM):
        fields["reason"] = str(error)
    elif isinstance(error, OSError):
        fields["reason"] = str(error.strerror)
    elif kind.__module__ == "lmdb":
        # `mdb_txn_commit: No space left on device`, or `<folder>: MDB_INVALID: …` when it opens.
        text = str(error)
        fields["reason"] = text.partition(": ")[2] if text.startswith("/") else text
    return fields


def _short(filename: str) -> str:
    """The last two parts of a path: enough to find the line, and no path of a machine."""
    return "/".join(filename.rsplit("/", 2)[-2:])


class _LibraryHandler(logging.Handler):
    """Turns what libraries log into events: the template of the message, never its arguments."""

    def __init__(self, log: EventLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """The hook of `logging`."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.failure("library_log", error, logger=record.name, message=str(record.msg))
        elif record.levelno >= logging.ERROR:
            self._log.error("library_log", logger=record.name, message=str(record.msg))
        else:
            self._log.warning("library_log", logger=record.name, message=str(record.msg))


def adopt_library_logs(log: EventLog) -> None:
    """Send warnings and errors of all libraries (asyncio, aiohttp, …) through `log`."""
    root = logging.getLogger()
    root.handlers = [_LibraryHandler(log)]
    root.setLevel(logging.WARNING)
