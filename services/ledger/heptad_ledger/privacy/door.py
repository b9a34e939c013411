"""`heptad.privacy.v1.PrivacyService`: bytes in, bytes out; what they mean, the desks know.

Roles were checked by the guard in front, by the table `ROLES`. An officer is told more than a
gateway of the same erasure, so who calls is looked at once more where something is read.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Identity, Role
from heptad.wire.convert import privacy as wire
from heptad_ledger.privacy.erasure_reads import ErasureReads
from heptad_ledger.privacy.officer_desk import OfficerDesk

_OFFICER: Final = frozenset({Role.OFFICER})

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    f"/{wire.SERVICE}/OrderErasure": _OFFICER,
    f"/{wire.SERVICE}/RefuseErasure": _OFFICER,
    f"/{wire.SERVICE}/SetHold": _OFFICER,
    f"/{wire.SERVICE}/LiftHold": _OFFICER,
    f"/{wire.SERVICE}/RevokeKey": _OFFICER,
    f"/{wire.SERVICE}/GetErasure": _OFFICER | {Role.GATEWAY, Role.SERVICE},
    f"/{wire.SERVICE}/ListErasures": _OFFICER,
}

_Answer = Callable[[bytes, Identity], Awaitable[bytes]]


class PrivacyDoor:
    """Serves the RPCs."""

    def __init__(self, *, desk: OfficerDesk, reads: ErasureReads) -> None:
        self._desk = desk
        self._reads = reads

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handlers to a server."""
        answers: dict[str, _Answer] = {
            "OrderErasure": self._order,
            "RefuseErasure": self._refuse,
            "SetHold": self._set_hold,
            "LiftHold": self._lift_hold,
            "RevokeKey": self._revoke_key,
            "GetErasure": self._get,
            "ListErasures": self._list,
        }
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(_handler(answer))
            for name, answer in answers.items()
        }
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    async def _order(self, data: bytes, caller: Identity) -> bytes:
        call = wire.decode_order_call(data)
        return wire.encode_ordered(await self._desk.order(call, caller=caller))

    async def _refuse(self, data: bytes, caller: Identity) -> bytes:
        call = wire.decode_refuse_call(data)
        row = await self._desk.refuse(call, caller=caller)
        return wire.encode_refused(self._reads.told(row, is_officer=True))

    async def _set_hold(self, data: bytes, caller: Identity) -> bytes:
        call = wire.decode_set_hold_call(data)
        return wire.encode_hold_set(await self._desk.set_hold(call, caller=caller))

    async def _lift_hold(self, data: bytes, caller: Identity) -> bytes:
        call = wire.decode_lift_hold_call(data)
        return wire.encode_hold_lifted(await self._desk.lift_hold(call, caller=caller))

    async def _revoke_key(self, data: bytes, caller: Identity) -> bytes:
        call = wire.decode_revoke_key_call(data)
        return wire.encode_key_revoked(await self._desk.revoke_key(call, caller=caller))

    async def _get(self, data: bytes, caller: Identity) -> bytes:
        name = wire.decode_erasure_call(data)
        if caller.role is Role.SERVICE and isinstance(name, str):
            raise Problem("role_refused", "a service asks by the request's id")
        is_officer = caller.role is Role.OFFICER
        return wire.encode_erasure(self._reads.find(name, is_officer=is_officer))

    async def _list(self, data: bytes, _caller: Identity) -> bytes:
        page_size, page_token = wire.decode_list_call(data)
        return wire.encode_page(self._reads.page(page_size, page_token))


def _handler(answer: _Answer) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(data: bytes, context: Context) -> bytes:
        return await answer(data, peer_identity(context))

    return handle
