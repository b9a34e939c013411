"""The ledger's public door: `heptad.ledger.v1.LedgerService`.

Handlers take and return bytes; what cannot be read is refused here with `frame_malformed`. Roles
were checked by the guard in front, by the table `ROLES`. All reads are snapshots of LMDB's map, a
few microseconds to a millisecond each, so they run in the event loop.
"""

from collections.abc import Callable, Mapping
from typing import Final

import grpc

from heptad.model.log_reads import LedgerStatus
from heptad.runtime.guard import Context
from heptad.runtime.identity import Role
from heptad.wire.convert import ledger as wire
from heptad_ledger.log_reads import LogReads

_READERS: Final = frozenset({Role.GATEWAY, Role.SERVICE, Role.AUDITOR, Role.OPERATOR})

METHODS: Final = (
    "GetCheckpoint",
    "GetEntry",
    "ListEntries",
    "GetInclusionProof",
    "GetConsistencyProof",
    "GetReceipt",
    "GetRequestStatus",
    "GetTile",
    "GetStatus",
)

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    f"/{wire.SERVICE}/{method}": _READERS for method in METHODS
}


class LedgerDoor:
    """Serves the RPCs; what is behind it knows nothing of gRPC."""

    def __init__(self, *, reads: LogReads, read_status: Callable[[], LedgerStatus]) -> None:
        self._reads = reads
        self._read_status = read_status

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handlers to a server."""
        answers: dict[str, Callable[[bytes], bytes]] = {
            "GetCheckpoint": self._get_checkpoint,
            "GetEntry": self._get_entry,
            "ListEntries": self._list_entries,
            "GetInclusionProof": self._get_inclusion_proof,
            "GetConsistencyProof": self._get_consistency_proof,
            "GetReceipt": self._get_receipt,
            "GetRequestStatus": self._get_request_status,
            "GetTile": self._get_tile,
            "GetStatus": self._get_status,
        }
        assert tuple(answers) == METHODS
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(_handler(answer))
            for name, answer in answers.items()
        }
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    def _get_checkpoint(self, data: bytes) -> bytes:
        size = wire.decode_checkpoint_call(data)
        return wire.encode_checkpoint(self._reads.checkpoint(size))

    def _get_entry(self, data: bytes) -> bytes:
        index = wire.decode_entry_call(data)
        return wire.encode_entry(index, self._reads.entry(index))

    def _list_entries(self, data: bytes) -> bytes:
        start_index, page_size = wire.decode_entries_call(data)
        return wire.encode_entries(self._reads.entries(start_index, page_size))

    def _get_inclusion_proof(self, data: bytes) -> bytes:
        index, tree_size = wire.decode_inclusion_call(data)
        return wire.encode_inclusion(self._reads.inclusion_proof(index, tree_size))

    def _get_consistency_proof(self, data: bytes) -> bytes:
        first_size, second_size = wire.decode_consistency_call(data)
        return wire.encode_consistency(self._reads.consistency_proof(first_size, second_size))

    def _get_receipt(self, data: bytes) -> bytes:
        return wire.encode_receipt(self._reads.receipt(wire.decode_receipt_call(data)))

    def _get_request_status(self, data: bytes) -> bytes:
        request_id = wire.decode_request_status_call(data)
        return wire.encode_request_status(self._reads.request_status(request_id))

    def _get_tile(self, data: bytes) -> bytes:
        return wire.encode_tile(self._reads.tile(wire.decode_tile_call(data)))

    def _get_status(self, data: bytes) -> bytes:
        wire.decode_status_call(data)
        return wire.encode_status(self._read_status())


def _handler(answer: Callable[[bytes], bytes]) -> Callable[[bytes, Context], object]:
    async def handle(data: bytes, _context: Context) -> bytes:
        return answer(data)

    return handle
