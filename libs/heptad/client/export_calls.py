"""Calls to the ledger that hand out personal data: an export as a stream, a receipt with all."""

from collections.abc import AsyncGenerator
from typing import Final

import grpc

from heptad.client.calls import Terms, unary_call
from heptad.model.exporting import ExportCall, ExportPart, OpenedReceipt, OpenReceipt
from heptad.runtime.status import problem_of
from heptad.wire.convert import exports as wire

EXPORT_S_MAX: Final = 3_600.0
"""However slowly its caller takes it, an export ends after this."""


class ExportCalls:
    """Every method raises Problem."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the ledger."""
        self._channel = channel

    async def export(self, call: ExportCall, *, terms: Terms) -> AsyncGenerator[ExportPart, None]:
        """That it has begun, then the archive in chunks; close the generator to end it sooner.

        Of the terms only the trace counts.
        """
        metadata = (("traceparent", terms.traceparent),) if terms.traceparent else None
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(
            f"/{wire.SERVICE}/Export"
        )
        stream = method(wire.encode_export_call(call), metadata=metadata, timeout=EXPORT_S_MAX)
        try:
            async for part in stream:
                yield wire.decode_export_part(part)
        except grpc.aio.AioRpcError as error:
            raise problem_of(error, unavailable="ledger_unavailable") from error
        finally:
            stream.cancel()

    async def open_receipt(self, call: OpenReceipt, *, terms: Terms) -> OpenedReceipt:
        """A receipt with its private half, on its subject's word."""
        answer = await unary_call(
            self._channel,
            f"/{wire.SERVICE}/OpenReceipt",
            wire.encode_open_receipt_call(call),
            terms=terms,
            unavailable="ledger_unavailable",
        )
        return wire.decode_opened_receipt(answer)
