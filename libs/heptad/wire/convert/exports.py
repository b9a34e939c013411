"""Messages of `heptad.privacy.v1.PrivacyService` that hand out data, from bytes to values and back.

All `decode_…` raise Problem `frame_malformed`.
"""

from typing import Final

from heptad.model.exporting import (
    ExportBegun,
    ExportCall,
    ExportChunk,
    ExportPart,
    OfficersExport,
    OpenedReceipt,
    OpenReceipt,
    SubjectsExport,
)
from heptad.model.problems import Problem
from heptad.wire.convert.ledger import decode_receipt, encode_receipt
from heptad.wire.convert.parsing import parse
from heptad.wire.ledger.v1 import ledger_pb2
from heptad.wire.privacy.v1 import privacy_pb2 as pb

SERVICE: Final = "heptad.privacy.v1.PrivacyService"


def encode_export_call(call: ExportCall) -> bytes:
    """An ExportRequest."""
    if isinstance(call, SubjectsExport):
        return pb.ExportRequest(subject_jws=call.jws).SerializeToString()
    officer = pb.OfficersExport(
        subject_id=call.subject_id,
        reason=call.reason,
        ground=call.ground,
        from_index=call.from_index,
    )
    return pb.ExportRequest(officer=officer).SerializeToString()


def decode_export_call(data: bytes) -> ExportCall:
    """An ExportRequest."""
    message = parse(pb.ExportRequest, data)
    which = message.WhichOneof("word")
    if which == "subject_jws":
        return SubjectsExport(message.subject_jws)
    if which == "officer":
        asked = message.officer
        return OfficersExport(asked.subject_id, asked.reason, asked.ground, asked.from_index)
    raise Problem("frame_malformed", "an export on nobody's word")


def encode_export_part(part: ExportPart) -> bytes:
    """An ExportResponse."""
    if isinstance(part, ExportChunk):
        chunk = pb.ExportChunk(data=part.data, done=part.done, total=part.total)
        return pb.ExportResponse(chunk=chunk).SerializeToString()
    begun = pb.ExportBegun(
        subject_id=part.subject_id, entries=part.entries, own_index=part.own_index
    )
    return pb.ExportResponse(begun=begun).SerializeToString()


def decode_export_part(data: bytes) -> ExportPart:
    """An ExportResponse."""
    message = parse(pb.ExportResponse, data)
    which = message.WhichOneof("part")
    if which == "chunk":
        return ExportChunk(message.chunk.data, message.chunk.done, message.chunk.total)
    if which == "begun":
        begun = message.begun
        return ExportBegun(begun.subject_id, begun.entries, begun.own_index)
    raise Problem("frame_malformed", "a part of an export that says nothing")


def encode_open_receipt_call(call: OpenReceipt) -> bytes:
    """An OpenReceiptRequest."""
    return pb.OpenReceiptRequest(
        subject_jws=call.jws, request_id=call.request_id, event=call.event
    ).SerializeToString()


def decode_open_receipt_call(data: bytes) -> OpenReceipt:
    """An OpenReceiptRequest."""
    message = parse(pb.OpenReceiptRequest, data)
    event = message.event if message.HasField("event") else None
    return OpenReceipt(message.subject_jws, message.request_id, event)


def encode_opened_receipt(opened: OpenedReceipt) -> bytes:
    """An OpenReceiptResponse."""
    receipt = ledger_pb2.GetReceiptResponse.FromString(encode_receipt(opened.receipt))
    return pb.OpenReceiptResponse(
        receipt=receipt, payload=opened.payload, witness=opened.witness
    ).SerializeToString()


def decode_opened_receipt(data: bytes) -> OpenedReceipt:
    """An OpenReceiptResponse."""
    message = parse(pb.OpenReceiptResponse, data)
    receipt = decode_receipt(message.receipt.SerializeToString())
    return OpenedReceipt(receipt, message.payload, message.witness)
