"""The part of `heptad.privacy.v1.PrivacyService` that hands out personal data.

Roles were checked by the guard in front, by the table `ROLES`; which word a role may bring is
checked behind it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Role
from heptad.wire.convert import exports as wire
from heptad.wire.convert import privacy as privacy_wire
from heptad_ledger.privacy.exporting import Exports
from heptad_ledger.privacy.key_list import KeyList
from heptad_ledger.privacy.receipts import PrivateReceipts

EXPORT: Final = f"/{wire.SERVICE}/Export"

STALL_S_MAX: Final = 75.0
"""How long a caller may take nothing: longer than a gateway bears with its own client. Until then
what was read of a person waits in memory."""

EXPORTS_PER_CALLER_MAX: Final = 64
"""Calls that wait or are refused count too; how many are worked on is another limit."""

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    EXPORT: frozenset({Role.GATEWAY, Role.OFFICER}),
    f"/{wire.SERVICE}/OpenReceipt": frozenset({Role.GATEWAY}),
    f"/{wire.SERVICE}/ListKeys": frozenset({Role.GATEWAY}),
}


class AccessDoor:
    """Serves the RPCs."""

    def __init__(self, *, exports: Exports, receipts: PrivateReceipts, keys: KeyList) -> None:
        self._exports = exports
        self._receipts = receipts
        self._keys = keys

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handlers to a server. They take and return bytes."""
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Export": grpc.unary_stream_rpc_method_handler(self._export),
            "OpenReceipt": grpc.unary_unary_rpc_method_handler(self._open_receipt),
            "ListKeys": grpc.unary_unary_rpc_method_handler(self._list_keys),
        }
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    async def _export(self, data: bytes, context: Context) -> None:
        call = wire.decode_export_call(data)
        # Closed at once when the caller goes: an export under way counts against its subject's.
        async with aclosing(self._exports.serve(call, caller=peer_identity(context))) as parts:
            async for part in parts:
                try:
                    async with asyncio.timeout(STALL_S_MAX):
                        await context.write(wire.encode_export_part(part))
                except TimeoutError:
                    detail = f"nothing was taken for {STALL_S_MAX:.0f} s"
                    raise Problem("deadline_exceeded", detail) from None
                except grpc.aio.InternalError as error:
                    # gRPC's word for a caller that has gone; it cancels this call a moment later.
                    raise asyncio.CancelledError from error

    async def _open_receipt(self, data: bytes, _context: Context) -> bytes:
        call = wire.decode_open_receipt_call(data)
        return wire.encode_opened_receipt(self._receipts.open(call))

    async def _list_keys(self, data: bytes, _context: Context) -> bytes:
        jws = privacy_wire.decode_keys_call(data)
        return privacy_wire.encode_keys(self._keys.keys_of(jws))
