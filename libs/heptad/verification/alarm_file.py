"""The file of an alarm: JSON that holds all that it takes to check it, for decades, without us.

    {"format": "heptad-alarm/v1", "alarm": "fork", "severity": "critical", "detail": "…",
     "seen_at_s": 1760000000, "source": "https://…", "form": "TwoNotes",
     "first": "the note verbatim", "second": "…", "root_before": base64, "hashes": [base64, …]}

Notes and receipts stand as text, since that is what they are; everything else that is bytes is
base64. The members after `form` are the fields of that class in `heptad.verification.alarms`; there
are no others.
"""

import dataclasses
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Final, get_type_hints

from heptad.crypto import strict_json
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import decode_base64, encode_base64
from heptad.verification.alarms import (
    FORMS,
    Alarm,
    BrokenFile,
    MissingFile,
    Raised,
    Shown,
    WrongNode,
)
from heptad.verification.errors import AlarmUnreadableError

FORMAT: Final = "heptad-alarm/v1"
FILE_BYTES_MAX: Final = 32 << 20
_UNDER_WHICH: Final = ("note", "path")
_HEAD: Final = ("format", "alarm", "severity", "detail", "seen_at_s", "source", "form")


def encode_alarm(raised: Raised) -> bytes:
    """The file's bytes: JSON in UTF-8, indented for people."""
    shown = raised.shown
    members: dict[str, object] = {
        "format": FORMAT,
        "alarm": str(raised.alarm),
        "severity": raised.alarm.severity,
        "detail": raised.detail,
        "seen_at_s": raised.seen_at_s,
        "source": raised.source,
        "form": type(shown).__name__,
    }
    for field in dataclasses.fields(shown):
        members[field.name] = _to_json(getattr(shown, field.name))
    return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"


def alarm_name(raised: Raised) -> str:
    """A name for the file that is the same whenever the same thing is seen again.

    A file that is wrong is so under every checkpoint that comes after: that is one thing.
    """
    is_file = isinstance(raised.shown, WrongNode | BrokenFile | MissingFile)
    names = [f.name for f in _fields(raised.shown) if not (is_file and f.name in _UNDER_WHICH)]
    shown = {name: _to_json(getattr(raised.shown, name)) for name in names}
    text = json.dumps([str(raised.alarm), shown], sort_keys=True)
    return f"{raised.alarm}-{sha256(text.encode()).hexdigest()[:16]}"


def is_alarm(data: bytes) -> bool:
    """True if this says of itself that it is the file of an alarm."""
    return b'"heptad-alarm/' in data[:256]


def parse_alarm(data: bytes) -> Raised:
    """Read a file; nothing of it is believed yet. Raises: AlarmUnreadableError."""
    if len(data) > FILE_BYTES_MAX:
        raise AlarmUnreadableError(f"an alarm of {len(data)} bytes; {FILE_BYTES_MAX} may be")
    try:
        members = strict_json.decode(data)
    except strict_json.StrictJsonError as error:
        raise AlarmUnreadableError(f"the file of an alarm is JSON, and this is {error}") from None
    if not isinstance(members, dict) or members.get("format") != FORMAT:
        raise AlarmUnreadableError(f"not of the format {FORMAT!r}")
    try:
        alarm = Alarm(_text(members, "alarm"))
    except ValueError:
        raise AlarmUnreadableError("an alarm of a kind that this version does not know") from None
    forms = {form.__name__: form for form in FORMS[alarm]}
    form = forms.get(_text(members, "form"))
    if form is None:
        raise AlarmUnreadableError(f"an alarm {alarm} is shown by {' or '.join(forms)}")
    seen_at_s = _read(members, "seen_at_s", int)
    assert isinstance(seen_at_s, int)
    return Raised(
        alarm=alarm,
        detail=_text(members, "detail"),
        seen_at_s=seen_at_s,
        source=_text(members, "source"),
        shown=_read_shown(form, members),
    )


def _read_shown(form: type[Shown], members: dict[str, object]) -> Shown:
    hints = get_type_hints(form)
    unknown = sorted(members.keys() - hints.keys() - {*_HEAD})
    if unknown:
        raise AlarmUnreadableError(f"a {form.__name__} has no member {unknown[0][:60]!r}")
    values = {name: _read(members, name, kind) for name, kind in hints.items()}
    build: Callable[..., Shown] = form
    return build(**values)


def _fields(shown: Shown) -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(shown)


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return encode_base64(value)
    if isinstance(value, tuple):
        return [encode_base64(item) for item in value]
    assert isinstance(value, str | int), type(value)
    return value


def _read(members: dict[str, object], name: str, kind: object) -> object:
    """A member as the type that its field has: str, int, bytes or tuple[bytes, ...]."""
    if name not in members:
        raise AlarmUnreadableError(f"the member {name!r} is missing")
    value = members[name]
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if kind is str and isinstance(value, str):
            return value
        if kind is bytes and isinstance(value, str):
            return decode_base64(value)
        if kind == tuple[bytes, ...] and isinstance(value, list):
            return tuple(decode_base64(item if isinstance(item, str) else "?") for item in value)
    except FormatError as error:
        raise AlarmUnreadableError(f"{name}: {error}") from None
    raise AlarmUnreadableError(f"the member {name!r} has the wrong type")


def _text(members: dict[str, object], name: str) -> str:
    value = _read(members, name, str)
    assert isinstance(value, str)
    return value
