"""HTTP below what HTTP libraries let one say: bytes to an address, and all that comes back."""

import asyncio
from typing import Final

from heptad.runtime.config import split_address

_ANSWER_BYTES_MAX: Final = 4 << 20
_ANSWER_S_MAX: Final = 10.0


async def send(address: str, data: bytes) -> bytes:
    """What the listener answers until it closes the connection. Raises: OSError, TimeoutError."""
    host, port = split_address(address)
    async with asyncio.timeout(_ANSWER_S_MAX):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data)
            answer = bytearray()
            while len(answer) < _ANSWER_BYTES_MAX and (piece := await _read(reader)):
                answer += piece
        finally:
            writer.close()
    return bytes(answer)


async def get(address: str, path: str) -> bytes:
    """Head and body of what is at this path. Raises: OSError, TimeoutError."""
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    return await send(address, request.encode())


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(64 << 10)
    except ConnectionResetError:
        return b""  # refused so early that not all of it was read
