"""Asking the members for their metrics, as Prometheus would, and only while somebody looks.

A few lines of HTTP/1.1 against listeners of our own (`heptad.runtime.metrics_listener`), which
answer one request and close. A member that is away, slow or talks too much is silent for this time.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from heptad.observability.exposition import Exposition
from heptad.runtime.config.addresses import split_address
from heptad.runtime.config.profile import Endpoint

ANSWER_S_MAX: Final = 1.5
ANSWER_BYTES_MAX: Final = 2 << 20


async def ask_all(members: Sequence[Endpoint]) -> dict[str, Exposition | None]:
    """What each member exports, by its id; None for those that do not answer in time."""
    pages = await asyncio.gather(*(_ask(member.address) for member in members))
    return {member.id: page for member, page in zip(members, pages, strict=True)}


async def _ask(address: str) -> Exposition | None:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            body = await _get(address)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
    return None if body is None else Exposition(body.decode("utf-8", "replace"))


async def _get(address: str) -> bytes | None:
    """The body of `/metrics`; None unless it is 200 and of a size that may be."""
    host, port = split_address(address)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n".encode("ascii"))
        answer = bytearray()
        while chunk := await reader.read(1 << 16):
            answer += chunk
            if len(answer) > ANSWER_BYTES_MAX:
                return None
    finally:
        writer.close()
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    return body if head.split(b" ", 2)[1:2] == [b"200"] else None
