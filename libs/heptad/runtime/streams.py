"""Both ends of a hot stream, as plain reads and writes of byte strings.

A handler is a coroutine over a `FrameStream`, not an async generator: gRPC hands messages to
`read` and `write` without an extra task or generator step for each of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

import grpc

from heptad.runtime.frames import frame_from_wire, frame_to_wire
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Identity


class FrameStream(Protocol):
    """One end of a stream whose messages are byte strings, in order, each exactly once."""

    async def read(self) -> bytes | None:
        """The next body, or None once the peer has finished its half.

        Raises: Problem `frame_malformed`; grpc.aio.AioRpcError (client's end) if the stream broke.
        """

    async def write(self, body: bytes) -> None:
        """Send a body; waits while flow control says so. Raises as `read` does."""


FrameHandler: TypeAlias = Callable[[FrameStream, Identity], Awaitable[None]]
"""Serves one stream until it returns (the stream ends well) or raises (`Problem`: it fails)."""


class ServerFrameStream:
    """The server's end."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        """See `FrameStream`."""
        message = await self._context.read()
        return frame_from_wire(message) if isinstance(message, bytes) else None

    async def write(self, body: bytes) -> None:
        """See `FrameStream`."""
        await self._context.write(frame_to_wire(body))


class ClientFrameStream:
    """The client's end."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        self._call = call

    async def read(self) -> bytes | None:
        """See `FrameStream`."""
        message = await self._call.read()
        return frame_from_wire(message) if isinstance(message, bytes) else None

    async def write(self, body: bytes) -> None:
        """See `FrameStream`."""
        await self._call.write(frame_to_wire(body))

    async def finish(self) -> None:
        """Tell the server that nothing more will be written; reading goes on."""
        await self._call.done_writing()

    def cancel(self) -> None:
        """Drop the stream at once."""
        self._call.cancel()


def add_frame_handlers(
    server: grpc.aio.Server, *, service: str, handlers: Mapping[str, FrameHandler]
) -> None:
    """Serve the methods in `handlers` (`{"Follow": …}`) of `service` as raw streams.

    Call this *before* the generated `add_…Servicer_to_server` of the same service: gRPC asks the
    handlers in the order in which they were added, so ours win for these methods.
    """
    table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.stream_stream_rpc_method_handler(_serve(handler))
        for name, handler in handlers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, table),))


def _serve(handler: FrameHandler) -> Callable[[object, Context], Awaitable[None]]:
    async def serve(_requests: object, context: Context) -> None:
        await handler(ServerFrameStream(context), peer_identity(context))

    return serve


def open_frame_stream(channel: grpc.aio.Channel, method: str) -> ClientFrameStream:
    """Open `method` (`/package.Service/Method`) as a raw stream, without a deadline.

    Returns at once. If the peer cannot be reached or shows a wrong certificate, the first read or
    write raises UNAVAILABLE: a stream that silently waited for a peer would hide both.
    """
    call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(method)()
    return ClientFrameStream(call)
