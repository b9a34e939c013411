"""The ledger's public door: `heptad.ledger.v1.LedgerService`.

Handlers take and return bytes; what cannot be read is refused here with `frame_malformed`. Roles
were checked by the guard in front, by the table `ROLES`. All reads are snapshots of LMDB's map, a
few microseconds to a millisecond or two each, so they run in the event loop; those that may take
longer give it up in between, and the dear ones wait for their turn (`queries.turns`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import grpc

from heptad.model.log_reads import LedgerStatus
from heptad.model.queries import WatchedEntries
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Role
from heptad.wire.convert import ledger as wire
from heptad.wire.convert import ledger_queries as queries_wire
from heptad_ledger.log_reads import LogReads
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.watching import Watches

_READERS: Final = frozenset({Role.GATEWAY, Role.SERVICE, Role.AUDITOR, Role.OPERATOR})

_IN_TURN: Final = frozenset({"GetInclusionProof", "GetConsistencyProof", "GetTile"})
"""Dear for their size, and nobody has to wait for them who has not asked for them."""

WATCH: Final = f"/{wire.SERVICE}/WatchEntries"

METHODS: Final = (
    "GetCheckpoint",
    "GetEntry",
    "ListEntries",
    "CountEntries",
    "GetTotals",
    "ListCheckpoints",
    "GetInclusionProof",
    "GetConsistencyProof",
    "GetReceipt",
    "GetRequestStatus",
    "GetTile",
    "GetStatus",
)

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    **{f"/{wire.SERVICE}/{method}": _READERS for method in METHODS},
    WATCH: _READERS,
}


_Handler: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]


class LedgerDoor:
    """Serves the RPCs; what is behind it knows nothing of gRPC."""

    def __init__(
        self,
        *,
        reads: LogReads,
        queries: EntryQueries,
        watches: Watches,
        read_status: Callable[[], LedgerStatus],
    ) -> None:
        self._reads = reads
        self._queries = queries
        self._watches = watches
        self._read_status = read_status

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handlers to a server."""
        answers: dict[str, Callable[[bytes], bytes]] = {
            "GetCheckpoint": self._get_checkpoint,
            "GetEntry": self._get_entry,
            "GetTotals": self._get_totals,
            "ListCheckpoints": self._list_checkpoints,
            "GetInclusionProof": self._get_inclusion_proof,
            "GetConsistencyProof": self._get_consistency_proof,
            "GetReceipt": self._get_receipt,
            "GetRequestStatus": self._get_request_status,
            "GetTile": self._get_tile,
            "GetStatus": self._get_status,
        }
        queries = {"ListEntries": self._list_entries, "CountEntries": self._count_entries}
        handlers = {name: self._handler(name, answer) for name, answer in answers.items()}
        handlers |= {name: _handler_of_caller(answer) for name, answer in queries.items()}
        assert set(handlers) == set(METHODS)
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(handle) for name, handle in handlers.items()
        }
        table["WatchEntries"] = grpc.unary_stream_rpc_method_handler(self._watch_entries)
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    def _handler(self, name: str, answer: Callable[[bytes], bytes]) -> _Handler:
        async def handle(data: bytes, _context: Context) -> bytes:
            return answer(data)

        async def handle_in_turn(data: bytes, _context: Context) -> bytes:
            async with self._queries.turns.one():
                return answer(data)

        return handle_in_turn if name in _IN_TURN else handle

    def _get_checkpoint(self, data: bytes) -> bytes:
        size = wire.decode_checkpoint_call(data)
        return wire.encode_checkpoint(self._reads.checkpoint(size))

    def _get_entry(self, data: bytes) -> bytes:
        index = wire.decode_entry_call(data)
        return wire.encode_entry(index, self._reads.entry(index))

    async def _list_entries(self, data: bytes, caller: str = "") -> bytes:
        query = queries_wire.decode_list_call(data)
        return queries_wire.encode_page(await self._queries.page(query, caller))

    async def _count_entries(self, data: bytes, caller: str = "") -> bytes:
        wanted, page_token = queries_wire.decode_count_call(data)
        return queries_wire.encode_count(await self._queries.count(wanted, page_token, caller))

    async def _watch_entries(self, data: bytes, context: Context) -> None:
        async def send(watched: WatchedEntries) -> None:
            try:
                await context.write(queries_wire.encode_watched(watched))
            except grpc.aio.InternalError as error:
                # gRPC's word for a caller that has gone; it cancels this call a moment later.
                raise asyncio.CancelledError from error

        await self._watches.follow(queries_wire.decode_watch_call(data), send)

    def _get_totals(self, data: bytes) -> bytes:
        queries_wire.decode_totals_call(data)
        return queries_wire.encode_totals(self._queries.totals())

    def _list_checkpoints(self, data: bytes) -> bytes:
        page_size, order, page_token = queries_wire.decode_checkpoints_call(data)
        sizes = self._queries.checkpoint_sizes(page_size, order, page_token)
        return queries_wire.encode_checkpoints(sizes)

    def _get_inclusion_proof(self, data: bytes) -> bytes:
        index, tree_size = wire.decode_inclusion_call(data)
        return wire.encode_inclusion(self._reads.inclusion_proof(index, tree_size))

    def _get_consistency_proof(self, data: bytes) -> bytes:
        first_size, second_size = wire.decode_consistency_call(data)
        return wire.encode_consistency(self._reads.consistency_proof(first_size, second_size))

    def _get_receipt(self, data: bytes) -> bytes:
        request_id, event = wire.decode_receipt_call(data)
        if event is not None:
            return wire.encode_receipt(self._reads.event_receipt(request_id, event))
        return wire.encode_receipt(self._reads.receipt(request_id))

    def _get_request_status(self, data: bytes) -> bytes:
        request_id = wire.decode_request_status_call(data)
        return wire.encode_request_status(self._reads.request_status(request_id))

    def _get_tile(self, data: bytes) -> bytes:
        return wire.encode_tile(self._reads.tile(wire.decode_tile_call(data)))

    def _get_status(self, data: bytes) -> bytes:
        wire.decode_status_call(data)
        return wire.encode_status(self._read_status())


def _handler_of_caller(answer: Callable[[bytes, str], Awaitable[bytes]]) -> _Handler:
    async def handle(data: bytes, context: Context) -> bytes:
        return await answer(data, peer_identity(context).id)

    return handle
