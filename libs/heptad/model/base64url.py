"""base64url without padding (RFC 4648, section 5; RFC 7515, appendix C), in its one true spelling.

Several texts can decode to the same bytes (padding, stray bits in the last letter, characters that
lenient decoders skip). Whatever is signed, hashed or used as a name must have a single spelling, so
`decode` accepts exactly the text that `encode` would write, and nothing else.
"""

import binascii
from typing import Final

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")


class Base64UrlError(ValueError):
    """A text is not what `encode` writes for any bytes."""


def encode_bytes(data: bytes) -> bytes:
    """The unpadded base64url text of `data`, as ASCII bytes."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def encode(data: bytes) -> str:
    """The unpadded base64url text of `data`."""
    return encode_bytes(data).decode("ascii")


def decode(text: bytes | str) -> bytes:
    """The bytes that `text` spells, or raise.

    Raises: Base64UrlError for padding, characters outside the alphabet, an impossible length, and
    bits that no encoder sets.
    """
    try:
        ascii_text = text.encode("ascii") if isinstance(text, str) else text
        data = binascii.a2b_base64(ascii_text.translate(_FROM_URL) + _PADDING[len(ascii_text) % 4])
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Base64UrlError("not base64url") from error
    if encode_bytes(data) != ascii_text:
        raise Base64UrlError("not the canonical base64url spelling of its bytes")
    return data
