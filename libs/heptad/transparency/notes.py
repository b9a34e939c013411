"""Signed notes: text, a blank line, signature lines (C2SP signed-note v1.0.0), and their keys.

Why notes and not JSON or protobuf: a note is signed as the very bytes that everybody sees, it
carries any number of signatures by keys that a reader need not know, and tools that nobody here
wrote read it. Two things must not be possible: two spellings of one note (so the parser is
canonical: what it reads, `encode` writes back byte for byte), and a signature that counts for
another key than its own (so a key is its name *and* an id derived from its type and bytes).

Signing and verifying come in as callables: this room knows no cryptography beyond SHA-256.
"""

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol, Self

from heptad.transparency.errors import FormatError

KEY_ID_BYTES: Final = 4
PUBLIC_KEY_BYTES: Final = 32
NOTE_BYTES_MAX: Final = 512 * 1024
SIGNATURES_MAX: Final = 64
"""The format wants 16 at least to be accepted; post-quantum ones are up to 5 kB each."""

_NAMES_MAX: Final = 64
"""Names remembered as good: a replica puts one and the same under each head that it cosigns."""

_DASH: Final = "\u2014 "
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


Sign = Callable[[bytes], bytes]
"""Sign a message with the key that the caller has bound: message -> signature of 64 bytes."""


class Verify(Protocol):
    """Prove an Ed25519 signature, or raise: what `heptad.crypto.signatures.verify` does."""

    def __call__(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Return if the signature is good. Raises: heptad.model.problems.Problem."""


class SignatureType(IntEnum):
    """The signature types of signed-note that Heptad writes and checks."""

    LOG = 0x01
    """Ed25519 over the note's text: how a log signs its checkpoint."""
    COSIGNATURE = 0x04
    """Ed25519 with a time, `cosignature/v1`: how a witness signs somebody's checkpoint."""


def encode_base64(data: bytes) -> str:
    """Write standard base64 with padding (RFC 4648, section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Read standard base64 in its one canonical spelling. Raises: FormatError."""
    # The lenient decoder skips what it does not know; only what encodes back to `text` is taken.
    try:
        data = binascii.a2b_base64(text.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        raise FormatError(f"not base64: {text[:60]!r}") from None
    if encode_base64(data) != text:
        raise FormatError(f"not the canonical base64 of its bytes: {text[:60]!r}")
    return data


@lru_cache(maxsize=_NAMES_MAX)
def require_key_name(name: str) -> None:
    """Refuse what cannot name a key: empty, or with spaces, plus signs or control characters.

    Raises: FormatError.
    """
    if not name:
        raise FormatError("a key name is empty")
    if any(letter.isspace() or letter == "+" or letter < " " for letter in name):
        raise FormatError(f"key name {name[:100]!r} holds a space, a plus or a control character")
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise FormatError(f"key name {name[:100]!r} is not UTF-8")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name and type; as text, a *vkey*: `name+hex(key id)+base64(key)`.

    `public_key` is 32 bytes, Ed25519. Name and id together identify the key in signature lines.
    Raises: FormatError, on construction.
    """

    name: str
    type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        """Refuse names and keys that no signature line could refer to."""
        require_key_name(self.name)
        if len(self.public_key) != PUBLIC_KEY_BYTES:
            raise FormatError(f"an Ed25519 key has 32 bytes, {self.name}'s {len(self.public_key)}")

    @property
    def key_id(self) -> bytes:
        """Return the key's 4-byte id: SHA-256(name ‖ newline ‖ type ‖ public key)[:4]."""
        content = self.name.encode() + b"\n" + bytes([self.type]) + self.public_key
        return sha256(content).digest()[:KEY_ID_BYTES]

    def format(self) -> str:
        """Return the vkey."""
        material = encode_base64(bytes([self.type]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a vkey; its key id must be the one that its key has.

        Raises: FormatError, also for signature types that Heptad cannot check.
        """
        # A name holds no plus sign, but base64 may: the first two are the separators.
        parts = vkey.split("+", maxsplit=2)
        if len(parts) != 3:
            raise FormatError(f"not a vkey of the form name+id+key: {vkey[:100]!r}")
        material = decode_base64(parts[2])
        try:
            key_type = SignatureType(material[0])
        except (IndexError, ValueError):
            raise FormatError(
                f"vkey {parts[0][:100]!r}: signature type 0x{material[:1].hex()} is not supported"
            ) from None
        key = cls(name=parts[0], type=key_type, public_key=material[1:])
        if parts[1] != key.key_id.hex():
            raise FormatError(
                f"vkey {key.name!r}: id {parts[1]!r}, but its key's is {key.key_id.hex()}"
            )
        return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. `key_id` is 4 bytes; `signature` is what the key's type makes of it.

    Raises: FormatError, on construction.
    """

    key_name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what the line could not spell."""
        require_key_name(self.key_name)
        if len(self.key_id) != KEY_ID_BYTES or not self.signature:
            raise FormatError(f"the signature of {self.key_name} lacks its key id or its bytes")

    def is_by(self, key: VerifierKey) -> bool:
        """Tell whether the line claims to be by this key: same name and same id."""
        return self.key_name == key.name and self.key_id == key.key_id

    def format(self) -> str:
        """Return the line, without a newline."""
        return f"{_DASH}{self.key_name} {encode_base64(self.key_id + self.signature)}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line, without its newline. Raises: FormatError."""
        name, space, blob = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space:
            raise FormatError(f"not a signature line: {line[:100]!r}")
        data = decode_base64(blob)
        return cls(key_name=name, key_id=data[:KEY_ID_BYTES], signature=data[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures under it.

    `text` is UTF-8, ends in a newline, and is what is signed.
    Raises: FormatError, on construction.
    """

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        """Refuse what would not read back as this note, and what nobody or too many signed."""
        _require_text(self.text)
        if not self.text.endswith(b"\n"):
            raise FormatError("a note's text does not end in a newline")
        if not 1 <= len(self.signatures) <= SIGNATURES_MAX:
            raise FormatError(
                f"a note with {len(self.signatures)} signatures; 1 to {SIGNATURES_MAX} can be"
            )

    def encode(self) -> bytes:
        """Return the note's bytes."""
        lines = "".join(f"{signature.format()}\n" for signature in self.signatures)
        return self.text + b"\n" + lines.encode()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a note; `encode` gives the same bytes back. Raises: FormatError."""
        if len(data) > NOTE_BYTES_MAX:
            raise FormatError(f"a note of {len(data)} bytes exceeds {NOTE_BYTES_MAX}")
        _require_text(data)
        text, blank, lines = data.rpartition(b"\n\n")
        if not blank or not lines.endswith(b"\n"):
            raise FormatError("a note is text, a blank line, and whole signature lines")
        signature_lines = lines.decode().removesuffix("\n").split("\n")
        if len(signature_lines) > SIGNATURES_MAX:
            raise FormatError(f"a note with {len(signature_lines)} lines of signatures")
        signatures = tuple(NoteSignature.parse(line) for line in signature_lines)
        return cls(text=text + b"\n", signatures=signatures)


def _require_text(data: bytes) -> None:
    """Refuse bytes that are not UTF-8, or hold control characters other than newlines."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"a note is not UTF-8 at byte {error.start}") from None
    if found := _CONTROL.search(data):
        raise FormatError(f"a note holds the control character 0x{found[0].hex()}")
