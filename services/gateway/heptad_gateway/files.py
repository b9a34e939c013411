"""A file of the public log as an HTTP answer: named by its bytes, packed if that helps.

What the log serves is also served by plain web servers from a folder (docs/operations/nginx.conf),
so answers here are what such a server gives: an entity tag, 304 for who has the bytes already,
HEAD, and gzip by negotiation. Packed and plain bytes have tags of their own, as caches need it.
"""

import asyncio
import gzip
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from aiohttp import web

PACKED_BYTES_MIN: Final = 1_024
"""Below it packing saves nothing."""

INLINE_BYTES_MAX: Final = 1 << 17
"""What is packed in the event loop, about 3 ms; more goes to a thread."""

_LEVEL: Final = 4


async def file_answer(
    request: web.BaseRequest,
    content: bytes,
    *,
    media_type: str,
    caching: str,
    is_packable: bool = False,
) -> web.Response:
    """200 with the content, or 304 if `If-None-Match` names it (RFC 9110, section 13.1.2)."""
    packs = is_packable and len(content) >= PACKED_BYTES_MIN and accepts_gzip(request.headers)
    tag = sha256(content).hexdigest()[:32] + ("-gzip" if packs else "")
    headers = {"Content-Type": media_type, "Cache-Control": caching, "ETag": f'"{tag}"'}
    if is_packable:
        headers["Vary"] = "Accept-Encoding"
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        del headers["Content-Type"]
        return web.Response(status=304, headers=headers)
    if packs:
        headers["Content-Encoding"] = "gzip"
        if len(content) > INLINE_BYTES_MAX:
            content = await asyncio.to_thread(_packed, content)
        else:
            content = _packed(content)
    return web.Response(body=content, headers=headers)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, _LEVEL, mtime=0)


def accepts_gzip(headers: Mapping[str, str]) -> bool:
    """Whether the client has named gzip, other than to refuse it (RFC 9110, section 12.5.3)."""
    for item in headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = item.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.strip().replace(" ", "").rstrip("0.") != "q="
    return False
