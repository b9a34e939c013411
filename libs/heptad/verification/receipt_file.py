"""The JSON file around a receipt: the entry's bytes, the proof, and for its subject the payload.

    {"format": "heptad-receipt/v1",
     "entry": base64, "proof": text of a tlog-proof file,
     "payload": base64, "witness": base64,
     "links": {…}}

The proof is the standard's own text, so that it can be cut out and given to other people's tools.
`payload` and `witness` come together or not at all: only the subject has them. `links` are for
finding one's way about and prove nothing. Any other member is refused: a reader could take it for
a part of the evidence, and nothing would protect it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from heptad.crypto import strict_json
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import decode_base64, encode_base64
from heptad.transparency.receipt import Receipt
from heptad.verification.errors import ReceiptUnreadableError

FORMAT: Final = "heptad-receipt/v1"
FILE_BYTES_MAX: Final = 2 << 20

_REQUIRED: Final = frozenset({"format", "entry", "proof"})
_ALLOWED: Final = _REQUIRED | {"payload", "witness", "links"}


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A receipt as it is kept and passed on; nothing of it has been verified.

    `entry` is the leaf's bytes; `witness` is 32 bytes and `payload` the signed request as received,
    both None where the receipt was not made for the subject.
    """

    entry: bytes
    receipt: Receipt
    payload: bytes | None = None
    witness: bytes | None = None

    def encode(self) -> bytes:
        """The file's bytes: JSON in UTF-8, indented for people."""
        members = _public_members(self.entry, self.receipt.encode())
        if self.payload is not None and self.witness is not None:
            members["payload"] = encode_base64(self.payload)
            members["witness"] = encode_base64(self.witness)
        return _to_json(members)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a file. Raises: ReceiptUnreadableError, naming the member that is wrong."""
        if len(data) > FILE_BYTES_MAX:
            raise ReceiptUnreadableError(f"a receipt of {len(data)} bytes; {FILE_BYTES_MAX} may be")
        try:
            members = strict_json.decode(data)
        except strict_json.StrictJsonError as error:
            raise ReceiptUnreadableError(f"a receipt is JSON, and this is {error}") from None
        if not isinstance(members, dict):
            raise ReceiptUnreadableError("a receipt is a JSON object")
        _require_members(members)
        try:
            receipt = Receipt.parse(_text(members, "proof").encode("utf-8"))
        except FormatError as error:
            raise ReceiptUnreadableError(f"proof: {error}") from None
        return cls(
            entry=_bytes(members, "entry"),
            receipt=receipt,
            payload=_bytes(members, "payload") if "payload" in members else None,
            witness=_bytes(members, "witness") if "witness" in members else None,
        )


def encode_public_receipt(*, entry: bytes, proof: bytes, links: Mapping[str, str]) -> bytes:
    """The file for whoever only passes a receipt on: `proof` is a tlog-proof file, unread."""
    return _to_json(_public_members(entry, proof) | {"links": dict(links)})


def _public_members(entry: bytes, proof: bytes) -> dict[str, object]:
    return {
        "format": FORMAT,
        "entry": encode_base64(entry),
        "proof": proof.decode("utf-8", "replace"),
    }


def _to_json(members: dict[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"


def _require_members(members: dict[str, object]) -> None:
    missing = sorted(_REQUIRED - members.keys())
    if missing:
        raise ReceiptUnreadableError(f"a receipt has {missing[0]!r}, and this one has not")
    unknown = sorted(members.keys() - _ALLOWED)
    if unknown:
        raise ReceiptUnreadableError(f"a receipt has no member {unknown[0][:60]!r}")
    if members["format"] != FORMAT:
        raise ReceiptUnreadableError(f"the receipt's format is not {FORMAT!r}")
    if ("payload" in members) != ("witness" in members):
        raise ReceiptUnreadableError("payload and witness come together or not at all")


def _text(members: dict[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise ReceiptUnreadableError(f"{name} is not a string")
    return value


def _bytes(members: dict[str, object], name: str) -> bytes:
    try:
        return decode_base64(_text(members, name))
    except FormatError as error:
        raise ReceiptUnreadableError(f"{name}: {error}") from None
