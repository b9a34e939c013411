"""Bodies. Reading a request's: of the right type, of a bounded size, in a bounded time.

Nearly always the whole body has arrived with its head, and then it is taken without a pause or a
timer. Only what is still on its way is waited for, and not for long: a client that sends a byte
a second would otherwise hold a connection and a place in the queue for ever.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from heptad.model.problems import Problem

JOSE: Final = "application/jose"
JSON: Final = "application/json"
BODY_S_MAX: Final = 10.0


class BodyRoom:
    """How many bytes of half-read bodies are held at one time, of all clients together.

    Whoever sends a large body slowly is nobody that we know: without this bound every connection
    that is allowed could hold a whole one.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so many more bytes. Raises: Problem `overloaded`; then they are not held."""
        if self._held + size > self._bytes_max:
            raise Problem("overloaded", "too many large bodies are being read", retry_after_s=1)
        self._held += size

    def give_back(self, size: int) -> None:
        """So many bytes are held no more."""
        self._held -= size


@dataclass(frozen=True, slots=True)
class BodyRule:
    """What a call takes: its media type, how many bytes, and the code for more than those.

    `room` bounds all bodies of this rule together; None where `bytes_max` is bound enough.
    """

    media_type: str
    bytes_max: int
    too_large: str
    room: BodyRoom | None = None


def json_answer(members: Mapping[str, object], caching: str) -> web.Response:
    """A JSON object as an answer; `caching` is its `Cache-Control`."""
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return web.Response(body=body, headers={"Content-Type": JSON, "Cache-Control": caching})


async def read_body(request: BaseRequest, rule: BodyRule) -> bytes:
    """The body, or a refusal.

    Raises: Problem `media_type_unsupported`, the rule's `too_large`, `body_timeout`, `overloaded`,
    `http_malformed`; ConnectionError when the client has gone.
    """
    headers = request.headers
    media_type = headers.get("Content-Type", "")
    if media_type != rule.media_type:
        _require_media_type(media_type, rule.media_type)
    if "Content-Encoding" in headers:
        raise Problem("media_type_unsupported", "the body is encoded; send it as it is")
    length = request.content_length
    if length is not None and length > rule.bytes_max:
        raise _too_large(rule, length)
    if "Expect" in headers:
        await _answer_expectation(request)
    content = request.content
    # Until the whole body is there, `is_eof` is false; what is buffered then is all of it.
    body = content.read_nowait() if content.is_eof() else await _read_slowly(request, rule)
    if len(body) > rule.bytes_max:
        raise _too_large(rule, len(body))
    return body


async def _read_slowly(request: BaseRequest, rule: BodyRule) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            while chunk := await request.content.readany():
                if len(body) + len(chunk) > rule.bytes_max:
                    raise _too_large(rule, len(body) + len(chunk))
                if rule.room is not None:
                    rule.room.take(len(chunk))
                body += chunk
    except TimeoutError:
        raise Problem("body_timeout", f"the body was not there within {BODY_S_MAX:g} s") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise Problem("http_malformed", "the body's framing is broken") from None
    finally:
        if rule.room is not None:
            rule.room.give_back(len(body))
    return bytes(body)


def _require_media_type(found: str, wanted: str) -> None:
    """Compare without parameters and case (RFC 9110, section 8.3.1)."""
    if found.partition(";")[0].strip().lower() != wanted:
        raise Problem("media_type_unsupported", f"this call takes {wanted}", field="Content-Type")


def _too_large(rule: BodyRule, size: int) -> Problem:
    return Problem(rule.too_large, f"the body has {size} bytes or more; {rule.bytes_max} may be")


async def _answer_expectation(request: BaseRequest) -> None:
    """Tell a client that waits for it to go on (RFC 9110, section 10.1.1)."""
    if request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is not the answer, which is still to come with its own head.
        request.writer.output_size = 0
