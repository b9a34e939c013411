"""Page tokens: where the next page begins, and of what listing it is.

AIP-158 wants them opaque, and refused where anything but the page's size has changed. A token holds
a position and a digest of the listing that it belongs to. It is not signed: whoever makes one up
gets what he could have asked for with another filter.
"""

from hashlib import sha256
from struct import Struct, error
from typing import Final

from heptad.model import base64url
from heptad.model.canonical import Writer
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, Order

_TOKEN: Final = Struct(">BQ8s")
_VERSION: Final = 1
_DIGEST_BYTES: Final = 8
_CHARACTERS_MAX: Final = 64


def listing_digest(call: str, wanted: EntryFilter, order: Order) -> bytes:
    """8 bytes that stand for a listing: the call, its filter and its order."""
    writer = Writer().bytes16(call.encode()).u8(order)
    for number in (wanted.start_index, wanted.end_index, wanted.from_ms, wanted.until_ms):
        writer.u64(number)
    writer.bytes16(wanted.service.encode()).bytes16(wanted.action.encode())
    writer.u8(wanted.outcome).u32(wanted.validator).u8(len(wanted.kinds))
    for kind in wanted.kinds:
        writer.u8(kind)
    return sha256(writer.done()).digest()[:_DIGEST_BYTES]


def encode_token(position: int, digest: bytes) -> str:
    """The token of the page that begins at that position."""
    return base64url.encode(_TOKEN.pack(_VERSION, position, digest))


def decode_token(token: str, digest: bytes) -> int:
    """The position in a token of this listing. Raises: Problem `page_token_invalid`."""
    try:
        if len(token) > _CHARACTERS_MAX:
            raise _invalid("it is too long")
        version, position, found = _TOKEN.unpack(base64url.decode(token))
    except (base64url.Base64UrlError, error):
        raise _invalid("it cannot be read") from None
    if version != _VERSION:
        raise _invalid(f"it has version {version}, not {_VERSION}")
    if found != digest:
        raise _invalid("it belongs to another filter or order")
    return int(position)


def _invalid(detail: str) -> Problem:
    return Problem("page_token_invalid", detail, field="page_token")
