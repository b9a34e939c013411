"""Messages of `heptad.ledger.v1.LedgerService`, from bytes to values and back.

Both ends use these functions as (de)serialisers, so that neither sees a protobuf type. For each RPC
there are four: `encode_…_call` and `decode_…_call` for the request, `encode_…` and `decode_…` for
the answer. All `decode_…` raise Problem `frame_malformed`.
"""

from typing import Final

from heptad.model.answers import RequestState
from heptad.model.log_reads import (
    BundleMembership,
    ConsistencyProof,
    InclusionProof,
    LedgerStatus,
    PublishedCheckpoint,
    RequestReceipt,
    RequestStatus,
)
from heptad.model.problems import Problem
from heptad.wire.convert.parsing import parse
from heptad.wire.ledger.v1 import ledger_pb2 as pb

SERVICE: Final = "heptad.ledger.v1.LedgerService"


def encode_checkpoint_call(size: int = 0) -> bytes:
    """A GetCheckpointRequest; size 0 asks for the latest."""
    return pb.GetCheckpointRequest(size=size).SerializeToString()


def decode_checkpoint_call(data: bytes) -> int:
    """The size in a GetCheckpointRequest."""
    return parse(pb.GetCheckpointRequest, data).size


def encode_checkpoint(checkpoint: PublishedCheckpoint) -> bytes:
    """A GetCheckpointResponse."""
    message = pb.GetCheckpointResponse(note=checkpoint.note, size=checkpoint.size)
    return message.SerializeToString()


def decode_checkpoint(data: bytes) -> PublishedCheckpoint:
    """A GetCheckpointResponse."""
    message = parse(pb.GetCheckpointResponse, data)
    return PublishedCheckpoint(message.note, message.size)


def encode_entry_call(index: int) -> bytes:
    """A GetEntryRequest."""
    return pb.GetEntryRequest(index=index).SerializeToString()


def decode_entry_call(data: bytes) -> int:
    """The index in a GetEntryRequest."""
    return parse(pb.GetEntryRequest, data).index


def encode_entry(index: int, entry: bytes) -> bytes:
    """A GetEntryResponse."""
    return pb.GetEntryResponse(index=index, entry=entry).SerializeToString()


def decode_entry(data: bytes) -> tuple[int, bytes]:
    """Index and bytes of the entry in a GetEntryResponse."""
    message = parse(pb.GetEntryResponse, data)
    return message.index, message.entry


def encode_inclusion_call(index: int, tree_size: int = 0) -> bytes:
    """A GetInclusionProofRequest; tree size 0 is that of the latest checkpoint."""
    return pb.GetInclusionProofRequest(index=index, tree_size=tree_size).SerializeToString()


def decode_inclusion_call(data: bytes) -> tuple[int, int]:
    """Index and tree size of a GetInclusionProofRequest."""
    message = parse(pb.GetInclusionProofRequest, data)
    return message.index, message.tree_size


def encode_inclusion(proof: InclusionProof) -> bytes:
    """A GetInclusionProofResponse."""
    return pb.GetInclusionProofResponse(
        index=proof.index, tree_size=proof.tree_size, hashes=proof.hashes
    ).SerializeToString()


def decode_inclusion(data: bytes) -> InclusionProof:
    """A GetInclusionProofResponse."""
    message = parse(pb.GetInclusionProofResponse, data)
    return InclusionProof(message.index, message.tree_size, tuple(message.hashes))


def encode_consistency_call(first_size: int, second_size: int = 0) -> bytes:
    """A GetConsistencyProofRequest; second size 0 is that of the latest checkpoint."""
    message = pb.GetConsistencyProofRequest(first_size=first_size, second_size=second_size)
    return message.SerializeToString()


def decode_consistency_call(data: bytes) -> tuple[int, int]:
    """First and second size of a GetConsistencyProofRequest."""
    message = parse(pb.GetConsistencyProofRequest, data)
    return message.first_size, message.second_size


def encode_consistency(proof: ConsistencyProof) -> bytes:
    """A GetConsistencyProofResponse."""
    return pb.GetConsistencyProofResponse(
        first_size=proof.first_size, second_size=proof.second_size, hashes=proof.hashes
    ).SerializeToString()


def decode_consistency(data: bytes) -> ConsistencyProof:
    """A GetConsistencyProofResponse."""
    message = parse(pb.GetConsistencyProofResponse, data)
    return ConsistencyProof(message.first_size, message.second_size, tuple(message.hashes))


def encode_receipt_call(request_id: bytes, event: int | None = None) -> bytes:
    """A GetReceiptRequest; the id's 32 bytes, and which event of a bundle."""
    return pb.GetReceiptRequest(request_id=request_id, event=event).SerializeToString()


def decode_receipt_call(data: bytes) -> tuple[bytes, int | None]:
    """Request id and event of a GetReceiptRequest."""
    message = parse(pb.GetReceiptRequest, data)
    return message.request_id, message.event if message.HasField("event") else None


def encode_receipt(receipt: RequestReceipt) -> bytes:
    """A GetReceiptResponse."""
    message = pb.GetReceiptResponse(entry=receipt.entry, proof=receipt.proof, index=receipt.index)
    if (bundle := receipt.bundle) is not None:
        message.bundle.CopyFrom(
            pb.BundleMembership(
                index=bundle.index, entry=bundle.entry, inclusion=bundle.inclusion, path=bundle.path
            )
        )
    return message.SerializeToString()


def decode_receipt(data: bytes) -> RequestReceipt:
    """A GetReceiptResponse."""
    message = parse(pb.GetReceiptResponse, data)
    bundle = None
    if message.HasField("bundle"):
        found = message.bundle
        bundle = BundleMembership(
            found.index, found.entry, tuple(found.inclusion), tuple(found.path)
        )
    return RequestReceipt(message.entry, message.proof, message.index, bundle)


def encode_request_status_call(request_id: bytes) -> bytes:
    """A GetRequestStatusRequest; the id's 32 bytes."""
    return pb.GetRequestStatusRequest(request_id=request_id).SerializeToString()


def decode_request_status_call(data: bytes) -> bytes:
    """The request id in a GetRequestStatusRequest."""
    return parse(pb.GetRequestStatusRequest, data).request_id


def encode_request_status(status: RequestStatus) -> bytes:
    """A GetRequestStatusResponse."""
    return pb.GetRequestStatusResponse(
        state=int(status.state),  # type: ignore[arg-type]  # protobuf's stubs want their own enum
        index=status.index,
        entry=status.entry,
        receipt_ready=status.receipt_ready,
        applied_time_ms=status.applied_time_ms,
    ).SerializeToString()


def decode_request_status(data: bytes) -> RequestStatus:
    """A GetRequestStatusResponse."""
    message = parse(pb.GetRequestStatusResponse, data)
    try:
        state = RequestState(message.state)
    except ValueError:
        raise Problem("frame_malformed", f"request state {message.state} is not known") from None
    return RequestStatus(
        state=state,
        index=message.index,
        entry=message.entry,
        receipt_ready=message.receipt_ready,
        applied_time_ms=message.applied_time_ms,
    )


def encode_tile_call(path: str) -> bytes:
    """A GetTileRequest."""
    return pb.GetTileRequest(path=path).SerializeToString()


def decode_tile_call(data: bytes) -> str:
    """The path in a GetTileRequest."""
    return parse(pb.GetTileRequest, data).path


def encode_tile(content: bytes) -> bytes:
    """A GetTileResponse."""
    return pb.GetTileResponse(content=content).SerializeToString()


def decode_tile(data: bytes) -> bytes:
    """The content in a GetTileResponse."""
    return parse(pb.GetTileResponse, data).content


def encode_status_call() -> bytes:
    """A GetStatusRequest."""
    return pb.GetStatusRequest().SerializeToString()


def decode_status_call(data: bytes) -> None:
    """A GetStatusRequest, which says nothing."""
    parse(pb.GetStatusRequest, data)


def encode_status(status: LedgerStatus) -> bytes:
    """A GetStatusResponse."""
    return pb.GetStatusResponse(
        ledger=status.ledger,
        height=status.height,
        size=status.size,
        root=status.root,
        checkpoint_size=status.checkpoint_size,
        replicas_connected=status.replicas_connected,
        subjects=status.subjects,
        duplicates=status.duplicates,
        applied_time_ms=status.applied_time_ms,
    ).SerializeToString()


def decode_status(data: bytes) -> LedgerStatus:
    """A GetStatusResponse."""
    message = parse(pb.GetStatusResponse, data)
    return LedgerStatus(
        ledger=message.ledger,
        height=message.height,
        size=message.size,
        root=message.root,
        checkpoint_size=message.checkpoint_size,
        replicas_connected=message.replicas_connected,
        subjects=message.subjects,
        duplicates=message.duplicates,
        applied_time_ms=message.applied_time_ms,
    )
