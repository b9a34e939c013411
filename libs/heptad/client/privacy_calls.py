"""Calls to the ledger's privacy service: for officers, and for gateways that ask how one stands."""

from typing import Final

import grpc

from heptad.client.calls import Terms, unary_call
from heptad.model.erasing import (
    DecisionCall,
    Erasure,
    ErasurePage,
    Hold,
    OrderCall,
    Ordered,
    RevokeKeyCall,
)
from heptad.model.listed_keys import ListedKey
from heptad.wire.convert import privacy as wire

DECISION_S: Final = 30.0
"""A decision is recorded, committed and applied before it is answered."""


class PrivacyCalls:
    """Every method raises Problem."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the ledger."""
        self._channel = channel

    async def erasure(self, name: bytes | str, *, terms: Terms) -> Erasure:
        """How one stands: by the request's 32 bytes, or by the subject's id."""
        request = wire.encode_erasure_call(name)
        return wire.decode_erasure(await self._ask("GetErasure", request, terms))

    async def erasures(
        self, *, page_size: int = 0, page_token: str = "", terms: Terms
    ) -> ErasurePage:
        """Those that are not decided or not done; ask again with the token for the next page."""
        request = wire.encode_list_call(page_size=page_size, page_token=page_token)
        return wire.decode_page(await self._ask("ListErasures", request, terms))

    async def keys(self, jws: bytes, *, terms: Terms) -> tuple[ListedKey, ...]:
        """The keys of the subject that has signed this request for them."""
        return wire.decode_keys(await self._ask("ListKeys", wire.encode_keys_call(jws), terms))

    async def revoke_key(self, call: RevokeKeyCall, *, terms: Terms) -> int:
        """Revoke the key of a lost device; the log index of the revocation."""
        answer = await self._ask("RevokeKey", wire.encode_revoke_key_call(call), terms)
        return wire.decode_key_revoked(answer)

    async def order(self, call: OrderCall, *, terms: Terms) -> tuple[Ordered, ...]:
        """Order the erasure of subjects."""
        answer = await self._ask("OrderErasure", wire.encode_order_call(call), terms)
        return wire.decode_ordered(answer)

    async def refuse(self, call: DecisionCall, *, terms: Terms) -> Erasure:
        """Refuse what a subject has asked for."""
        answer = await self._ask("RefuseErasure", wire.encode_refuse_call(call), terms)
        return wire.decode_refused(answer)

    async def set_hold(self, call: DecisionCall, *, terms: Terms) -> tuple[Hold, ...]:
        """Keep a subject's data; returns all of its holds."""
        answer = await self._ask("SetHold", wire.encode_set_hold_call(call), terms)
        return wire.decode_hold_set(answer)

    async def lift_hold(self, call: DecisionCall, *, terms: Terms) -> tuple[Hold, ...]:
        """End a hold; returns those that are left."""
        answer = await self._ask("LiftHold", wire.encode_lift_hold_call(call), terms)
        return wire.decode_hold_lifted(answer)

    async def _ask(self, name: str, request: bytes, terms: Terms) -> bytes:
        return await unary_call(
            self._channel,
            f"/{wire.SERVICE}/{name}",
            request,
            terms=terms,
            unavailable="ledger_unavailable",
        )
