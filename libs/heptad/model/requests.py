"""What a signed request is called, and how large and how long it may be.

The public handle of a request is a hash that its client can compute before it sends anything, so a
lost answer can always be asked for, and no subject id ever stands in an address or a log line.
"""

import hashlib
import re
from typing import Final, NewType

from heptad.model import base64url

RequestId = NewType("RequestId", str)
"""43 characters of base64url: SHA-256 over `iss` ‖ "." ‖ `jti`."""

REQUEST_BYTES_MAX: Final = 16 * 1024
"""The whole compact JWS, in bytes."""

DATA_BYTES_MAX: Final = 8 * 1024
"""The claim `data`, in bytes of its compact JSON."""

LIFETIME_S_MAX: Final = 300
"""`exp` lies at most this much after `iat`."""

CLOCK_SKEW_S_MAX: Final = 30
"""How far a client's clock may be off."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


def request_hash(*, iss: str, jti: str) -> bytes:
    """The 32 bytes behind a request's public handle, as services send them to each other.

    `jti` holds no ".", so no two pairs run together to the same text.
    """
    return hashlib.sha256(f"{iss}.{jti}".encode()).digest()


def request_id(*, iss: str, jti: str) -> RequestId:
    """The public handle of the request that subject `iss` calls `jti`."""
    return request_id_of(request_hash(iss=iss, jti=jti))


def request_id_of(digest: bytes) -> RequestId:
    """The public handle that spells these 32 bytes of `request_hash`."""
    return RequestId(base64url.encode(digest))


def is_request_id(text: str) -> bool:
    """Whether `text` has the shape of a request id."""
    return _REQUEST_ID.fullmatch(text) is not None
