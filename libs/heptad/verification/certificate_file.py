"""The certificate of an erasure as it is kept and passed on: one JSON file.

    {"format": "heptad-erasure-certificate/v1",
     "request_id": text, "salt": base64,
     "core": {claims …}, "signature": the compact JWS over them,
     "entry": base64, "proof": text of a tlog-proof file,
     "order": {"entry": base64, "inclusion": [base64 …]},
     "links": {…}}

`core` is there for people and for programs that know no JOSE; what counts is the JWS, and a
verifier holds the one against the other. The JWS is the statement of `entry`, so `entry` and
`proof` show that the log has it; `order` shows that the log has the order in front of it, in the
tree of the same checkpoint. `request_id` and `salt` are not public: they tie the certificate to a
request, and with the subject's id, which the file does not hold, to that subject. Any other member
is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from heptad.crypto import strict_json
from heptad.model import base64url
from heptad.model.erasing import CertificateParts, Erasure
from heptad.model.erasure import SALT_BYTES
from heptad.model.requests import is_request_id, request_id_of
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import encode_base64
from heptad.transparency.receipt import Receipt
from heptad.verification.errors import CertificateUnreadableError, ReceiptUnreadableError
from heptad.verification.receipt_file import read_bytes, read_hashes, read_text
from heptad.wire.convert.entry import decode_entry

FORMAT: Final = "heptad-erasure-certificate/v1"
FILE_BYTES_MAX: Final = 1 << 20

_REQUIRED: Final = frozenset(
    {"format", "request_id", "salt", "core", "signature", "entry", "proof", "order"}
)
_ALLOWED: Final = _REQUIRED | {"links"}


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate, of which nothing has been verified.

    `request_id` is the handle's text, `salt` 32 bytes. `core` is what is shown, `signature` the JWS
    in ASCII. `entry` and `order_entry` are leaves' bytes, `order_inclusion` hashes of 32 bytes.
    """

    request_id: str
    salt: bytes = field(repr=False)
    core: Mapping[str, object]
    signature: bytes = field(repr=False)
    entry: bytes
    receipt: Receipt
    order_entry: bytes
    order_inclusion: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The file's bytes: JSON in UTF-8, indented for people."""
        members: dict[str, object] = {
            "format": FORMAT,
            "request_id": self.request_id,
            "salt": encode_base64(self.salt),
            "core": dict(self.core),
            "signature": self.signature.decode("ascii"),
            "entry": encode_base64(self.entry),
            "proof": self.receipt.encode().decode("utf-8"),
            "order": {
                "entry": encode_base64(self.order_entry),
                "inclusion": [encode_base64(value) for value in self.order_inclusion],
            },
        }
        return to_json(members)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a file. Raises: CertificateUnreadableError, naming the member that is wrong."""
        if len(data) > FILE_BYTES_MAX:
            detail = f"a certificate of {len(data)} bytes; {FILE_BYTES_MAX} may be"
            raise CertificateUnreadableError(detail)
        members = _members(data)
        try:
            return cls(
                request_id=_request_id(members),
                salt=_salt(members),
                core=_object(members, "core"),
                signature=_ascii(members, "signature"),
                entry=read_bytes(members, "entry"),
                receipt=Receipt.parse(read_text(members, "proof").encode("utf-8")),
                order_entry=read_bytes(_order(members), "entry"),
                order_inclusion=read_hashes(_order(members), "inclusion"),
            )
        except FormatError as error:
            raise CertificateUnreadableError(f"proof: {error}") from None
        except ReceiptUnreadableError as error:
            raise CertificateUnreadableError(str(error)) from None


def certificate_members(erasure: Erasure, *, links: Mapping[str, str]) -> dict[str, object]:
    """The file's members for whoever only passes a certificate on, out of what the ledger told.

    `links` are for finding one's way about and prove nothing. The erasure has its certificate.
    Raises: MalformedError for an entry that cannot be read.
    """
    parts = erasure.certificate
    assert parts is not None, "an erasure without a certificate"
    signature = decode_entry(parts.entry).statement
    members: dict[str, object] = {
        "format": FORMAT,
        "request_id": request_id_of(erasure.request_id),
        "salt": encode_base64(erasure.salt),
        "core": _shown_core(signature),
        "signature": signature.decode("ascii", "replace"),
        **_proof_members(parts),
    }
    return members | {"links": dict(links)} if links else members


def to_json(members: Mapping[str, object]) -> bytes:
    """JSON as files have it."""
    return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"


def is_certificate_file(data: bytes) -> bool:
    """Whether these bytes mean to be such a file."""
    try:
        members = strict_json.decode(data)
    except strict_json.StrictJsonError:
        return False
    return isinstance(members, dict) and members.get("format") == FORMAT


def _proof_members(parts: CertificateParts) -> dict[str, object]:
    return {
        "entry": encode_base64(parts.entry),
        "proof": parts.proof.decode("utf-8", "replace"),
        "order": {
            "entry": encode_base64(parts.order_entry),
            "inclusion": [encode_base64(value) for value in parts.order_inclusion],
        },
    }


def _shown_core(signature: bytes) -> object:
    """The claims inside the JWS, as they are; an empty object for what cannot be read."""
    payload = signature.partition(b".")[2].partition(b".")[0]
    try:
        return strict_json.decode(base64url.decode(payload))
    except (base64url.Base64UrlError, strict_json.StrictJsonError):
        return {}


def _members(data: bytes) -> dict[str, object]:
    try:
        members = strict_json.decode(data)
    except strict_json.StrictJsonError as error:
        raise CertificateUnreadableError(f"a certificate is JSON, and this is {error}") from None
    if not isinstance(members, dict):
        raise CertificateUnreadableError("a certificate is a JSON object")
    missing = sorted(_REQUIRED - members.keys())
    if missing:
        raise CertificateUnreadableError(f"a certificate has {missing[0]!r}, and this one has not")
    unknown = sorted(members.keys() - _ALLOWED)
    if unknown:
        raise CertificateUnreadableError(f"a certificate has no member {unknown[0][:60]!r}")
    if members["format"] != FORMAT:
        raise CertificateUnreadableError(f"the certificate's format is not {FORMAT!r}")
    return members


def _request_id(members: Mapping[str, object]) -> str:
    text = read_text(members, "request_id")
    if not is_request_id(text):
        raise CertificateUnreadableError("request_id is none")
    return text


def _salt(members: Mapping[str, object]) -> bytes:
    salt = read_bytes(members, "salt")
    if len(salt) != SALT_BYTES:
        raise CertificateUnreadableError(f"salt has {len(salt)} bytes, not {SALT_BYTES}")
    return salt


def _ascii(members: Mapping[str, object], name: str) -> bytes:
    text = read_text(members, name)
    if not text.isascii():
        raise CertificateUnreadableError(f"{name} is not ASCII")
    return text.encode("ascii")


def _object(members: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = members[name]
    if not isinstance(value, dict):
        raise CertificateUnreadableError(f"{name} is no object")
    return value


def _order(members: Mapping[str, object]) -> Mapping[str, object]:
    order = _object(members, "order")
    if order.keys() != {"entry", "inclusion"}:
        raise CertificateUnreadableError("order is not an object of entry and inclusion")
    return order
