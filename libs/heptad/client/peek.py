"""The one thing that a request's carrier reads of it: whose it is, to find its validator.

This is routing and not a check. What cannot be read goes to whichever validator the empty name
leads to, and that validator says what is wrong, in the one place where it is decided.
"""

import binascii
import json
from typing import Final

_DECODER: Final = json.JSONDecoder()
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")


def issuer_of(jws: bytes) -> str:
    """The claim `iss` of a compact JWS, or "" where there is none that can be read."""
    payload = jws[jws.find(b".") + 1 : jws.rfind(b".")]
    try:
        text = binascii.a2b_base64(payload.translate(_STANDARD) + _PADDING[len(payload) % 4])
        issuer = _DECODER.decode(text.decode("utf-8"))["iss"]
        issuer.encode("ascii")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return issuer if isinstance(issuer, str) else ""
