"""An entry in words: the public half, and the private half decoded, as JSON, CSV and pages show it.

What a validator or a service has written may be anything, so nothing here fails on it: what cannot
be decoded is shown as the bytes that it is. The same functions are used to check an export: its
rows must be those that follow from its receipts.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from heptad.crypto import strict_json
from heptad.crypto.accesses import parse_access
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import commitment
from heptad.exports.held import Held
from heptad.model.bundles import split_private_half
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.problems import Problem
from heptad.transparency.notes import encode_base64
from heptad.wire.convert.entry import decode_entry

Row: TypeAlias = dict[str, object]

COLUMNS: Final = (
    "index", "time", "kind", "service", "action", "outcome", "recorded_by", "request_id", "data",
    "receipt",
)  # fmt: skip
"""Of `data.csv`."""

KINDS_OF_REQUESTS: Final = frozenset(
    {Kind.REQUEST, Kind.SUBJECT_REGISTERED, Kind.KEY_ADDED, Kind.KEY_REVOKED, Kind.EXPORT}
)
_FORMULA: Final = ("=", "+", "-", "@")
_CUTS: Final = str.maketrans({";": "\\u003b", "\t": "\\t", "\r": "\\r", "\n": "\\n"})


def receipt_name(index: int) -> str:
    """The file of an entry's receipt within the archive."""
    return f"receipts/{index:012d}.json"


def row_of(held: Held) -> Row:
    """All that an entry says and hides, as a JSON object."""
    row: Row = {"index": held.index}
    try:
        entry = decode_entry(held.data)
    except MalformedError:
        return {**row, "kind": "", "entry": encode_base64(held.data), "record": _not_held()}
    outcome = "" if entry.outcome is Outcome.NONE else entry.outcome.name.lower()
    return {
        **row,
        "time": in_utc(entry.time_ms),
        "time_ms": entry.time_ms,
        "kind": entry.kind.name,
        "service": entry.service,
        "action": entry.action,
        "outcome": outcome,
        "recorded_by": f"validator-{entry.validator}",
        "commitment": entry.commitment.hex(),
        "record": _record(entry, held),
        "receipt": receipt_name(held.index),
    }


def in_utc(time_ms: int) -> str:
    """A time as RFC 3339 has it; the bare number for what no calendar can show."""
    try:
        when = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def cells_of(row: Mapping[str, object]) -> list[str]:
    """The row's line in `data.csv`, by `COLUMNS`."""
    record = row["record"]
    assert isinstance(record, dict)
    shown = {**row, "request_id": record.get("id", ""), "data": to_json(data_of(record))}
    return [_cell(str(shown.get(name, ""))) for name in COLUMNS]


def data_of(record: Mapping[str, object]) -> object:
    """What a record says apart from what stands in other columns."""
    match record["type"]:
        case "request":
            claims = record["claims"]
            return claims["data"] if isinstance(claims, dict) else {}
        case "access":
            return {name: record[name] for name in ("what", "role", "by", "ground", "reason")}
        case "event":
            return record["data"]
        case _:
            return {name: value for name, value in record.items() if name != "type"}


def to_json(value: object) -> str:
    """One line of JSON, as it was and not sorted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cell(text: str) -> str:
    """A spreadsheet takes some texts for formulas: those get an apostrophe in front.

    Where it separates cells by semicolons, as in much of Europe, it goes by quotation marks only at
    the beginning of a cell, and would cut this one and take what follows for another: so nothing
    that may separate stands in one. In JSON the escapes mean the same.
    """
    cell = text.translate(_CUTS)
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _record(entry: Entry, held: Held) -> Row:
    if held.payload is None or held.witness is None:
        return _not_held()
    if commitment(witness=held.witness, payload=held.payload) != entry.commitment:
        return {"type": "contradicted", "payload": encode_base64(held.payload)}
    unknown: Row = {"type": "unknown", "payload": encode_base64(held.payload)}
    decode = _DECODERS.get(entry.kind)
    try:
        return decode(held.payload) if decode else unknown
    except (Problem, ValueError):
        return unknown


def _not_held() -> Row:
    """The log says that there was something, and it is not there any more."""
    return {"type": "not held"}


def _request(payload: bytes) -> Row:
    request = parse_request(payload)
    return {
        "type": "request",
        "id": request.request_id,
        "key": request.kid,
        "algorithm": request.algorithm.value,
        "claims": {
            "iss": request.iss,
            "aud": request.aud,
            "jti": request.jti,
            "iat": request.iat,
            "exp": request.exp,
            "svc": request.svc,
            "act": request.act,
            "data": request.data,
        },
    }


def _event(half: bytes) -> Row:
    subject, payload = split_private_half(half)
    return {"type": "event", "subject": subject, "data": _decoded(payload)}


def _decoded(payload: bytes) -> object:
    """A service's own bytes: as JSON, as text, or as they are."""
    try:
        return strict_json.decode(payload)
    except strict_json.StrictJsonError:
        return _text_of(payload)


def _text_of(payload: bytes) -> object:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": encode_base64(payload)}


def _access(payload: bytes) -> Row:
    said = parse_access(payload).record
    return {
        "type": "access",
        "id": said.request_id,
        "time": in_utc(said.time_s * 1000),
        "action": said.action,
        "what": said.what,
        "role": said.role,
        "by": said.caller,
        "ground": said.ground,
        "reason": said.reason,
        "attested_by": said.ledger,
    }


_DECODERS: Final[Mapping[Kind, Callable[[bytes], Row]]] = {
    **dict.fromkeys(KINDS_OF_REQUESTS, _request),
    Kind.EVENT: _event,
    Kind.ACCESS: _access,
}
