"""Answers without an end: Server-Sent Events (WHATWG HTML, section 9.2), written as they come.

The door sees an answer like any other and is done with it; its body is written afterwards, when
aiohttp ends the answer. Writing waits until the client has taken what was written before, so
nothing piles up, and a client that takes nothing for a minute is dropped.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

MEDIA_TYPE: Final = "text/event-stream"
STALL_S_MAX: Final = 60.0
RETRY_MS: Final = 2_000

End = Callable[[], Awaitable[None]]


class StreamedBody(web.StreamResponse):
    """An answer whose body is a stream of chunks; the stream is closed with it."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        end: End,
        *,
        headers: Mapping[str, str],
        has_body: bool = True,
    ) -> None:
        """`chunks` are written one by one; nothing is read of them before the head is out.

        `end` is called once, whatever happens to the answer after the door. `has_body` is False in
        answer to HEAD.
        """
        super().__init__(headers=headers)
        self._chunks = chunks
        self._end = end
        self._has_body = has_body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """aiohttp's hook that writes the head."""
        try:
            return await super().prepare(request)
        except BaseException:
            await self._end()
            raise

    async def write_eof(self, data: bytes = b"") -> None:
        """aiohttp's hook for the end of an answer: here all of its body comes first.

        Raises: ConnectionError once the client has gone, or takes nothing.
        """
        try:
            if self._has_body:
                await self._write_all()
        except TimeoutError:
            raise ConnectionResetError("the client takes nothing") from None
        finally:
            await self._chunks.aclose()
            await self._end()
        await super().write_eof(data)

    async def _write_all(self) -> None:
        async for chunk in self._chunks:
            async with asyncio.timeout(STALL_S_MAX):
                await self.write(chunk)


class EventStream(StreamedBody):
    """Events as they come."""

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], end: End, *, has_body: bool = True
    ) -> None:
        """See `StreamedBody`."""
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            # nginx would otherwise gather events before it passes them on.
            "X-Accel-Buffering": "no",
        }
        super().__init__(chunks, end, headers=headers, has_body=has_body)


def event(name: str, members: Mapping[str, object], *, event_id: int) -> bytes:
    """One event; `event_id` is what the client sends as `Last-Event-ID` when it comes back."""
    data = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()


def last_event(name: str, data: bytes) -> bytes:
    """An event without an id, of ready JSON: the client keeps the id that it has."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), data)


def opening() -> bytes:
    """The first bytes: how soon a client should come back."""
    return b"retry: %d\n\n" % RETRY_MS
