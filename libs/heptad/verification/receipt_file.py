"""The JSON file around a receipt: the entry's bytes, the proof, and for its subject the payload.

    {"format": "heptad-receipt/v1",
     "entry": base64, "proof": text of a tlog-proof file,
     "payload": base64, "witness": base64,
     "bundle": {"index": number, "entry": base64, "inclusion": [base64 …], "path": [base64 …]},
     "links": {…}}

The proof is the standard's own text, so that it can be cut out and given to other people's tools.
`payload` and `witness` come together or not at all: only the subject has them. `bundle` proves an
event's place in what its service signed (docs/spec/bundles.md). `links` are for
finding one's way about and prove nothing. Any other member is refused: a reader could take it for
a part of the evidence, and nothing would protect it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from heptad.crypto import strict_json
from heptad.model.log_reads import BundleMembership
from heptad.transparency.errors import FormatError
from heptad.transparency.merkle import HASH_BYTES, SIZE_MAX
from heptad.transparency.notes import decode_base64, encode_base64
from heptad.transparency.receipt import PROOF_HASHES_MAX, Receipt
from heptad.verification.errors import ReceiptUnreadableError

FORMAT: Final = "heptad-receipt/v1"
FILE_BYTES_MAX: Final = 2 << 20
HASHES_MAX: Final = 2 * PROOF_HASHES_MAX
"""Of any proof in a file: a consistency proof is the longest."""


_REQUIRED: Final = frozenset({"format", "entry", "proof"})
_ALLOWED: Final = _REQUIRED | {"payload", "witness", "bundle", "links"}
_MEMBERSHIP: Final = frozenset({"index", "entry", "inclusion", "path"})


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A receipt as it is kept and passed on; nothing of it has been verified.

    `entry` is the leaf's bytes; `witness` is 32 bytes and `payload` the signed request as received,
    both None where the receipt was not made for the subject. `bundle` is there for an event.
    """

    entry: bytes
    receipt: Receipt
    payload: bytes | None = None
    witness: bytes | None = None
    bundle: BundleMembership | None = None

    def encode(self) -> bytes:
        """The file's bytes: JSON in UTF-8, indented for people."""
        members = _public_members(self.entry, self.receipt.encode(), self.bundle)
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
            receipt = Receipt.parse(read_text(members, "proof").encode("utf-8"))
        except FormatError as error:
            raise ReceiptUnreadableError(f"proof: {error}") from None
        return cls(
            entry=read_bytes(members, "entry"),
            receipt=receipt,
            payload=read_bytes(members, "payload") if "payload" in members else None,
            witness=read_bytes(members, "witness") if "witness" in members else None,
            bundle=_membership(members["bundle"]) if "bundle" in members else None,
        )


def encode_public_receipt(
    *,
    entry: bytes,
    proof: bytes,
    links: Mapping[str, str],
    bundle: BundleMembership | None = None,
) -> bytes:
    """The file for whoever only passes a receipt on: `proof` is a tlog-proof file, unread."""
    return _to_json(_public_members(entry, proof, bundle) | {"links": dict(links)})


def _public_members(
    entry: bytes, proof: bytes, bundle: BundleMembership | None
) -> dict[str, object]:
    members: dict[str, object] = {
        "format": FORMAT,
        "entry": encode_base64(entry),
        "proof": proof.decode("utf-8", "replace"),
    }
    if bundle is not None:
        members["bundle"] = {
            "index": bundle.index,
            "entry": encode_base64(bundle.entry),
            "inclusion": [encode_base64(value) for value in bundle.inclusion],
            "path": [encode_base64(value) for value in bundle.path],
        }
    return members


def _membership(members: object) -> BundleMembership:
    if not isinstance(members, dict) or members.keys() != _MEMBERSHIP:
        raise ReceiptUnreadableError("bundle is not an object of index, entry, inclusion and path")
    index = members["index"]
    if type(index) is not int or not 0 <= index < SIZE_MAX:
        raise ReceiptUnreadableError("bundle.index is in no log")
    return BundleMembership(
        index=index,
        entry=read_bytes(members, "entry"),
        inclusion=read_hashes(members, "inclusion"),
        path=read_hashes(members, "path"),
    )


def read_hashes(members: Mapping[str, object], name: str) -> tuple[bytes, ...]:
    """A list of hashes in base64. Raises: ReceiptUnreadableError."""
    values = members[name]
    if not isinstance(values, list) or len(values) > HASHES_MAX:
        raise ReceiptUnreadableError(f"{name} is no list of at most {HASHES_MAX} hashes")
    hashes = tuple(read_bytes({name: value}, name) for value in values)
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ReceiptUnreadableError(f"{name} has a hash that is not {HASH_BYTES} bytes")
    return hashes


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


def read_text(members: Mapping[str, object], name: str) -> str:
    """A member that is a string. Raises: ReceiptUnreadableError."""
    value = members[name]
    if not isinstance(value, str):
        raise ReceiptUnreadableError(f"{name} is not a string")
    return value


def read_bytes(members: Mapping[str, object], name: str) -> bytes:
    """A member in base64. Raises: ReceiptUnreadableError."""
    try:
        return decode_base64(read_text(members, name))
    except FormatError as error:
        raise ReceiptUnreadableError(f"{name}: {error}") from None
