"""The validator's door: `heptad.validator.v1.ValidatorService`.

Handlers work on bytes and values; what cannot be read is refused here with `frame_malformed`. Roles
were checked by the guard in front, by the table `ROLES`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import grpc

from heptad.crypto.bundles import Bundle
from heptad.crypto.requests import parse_request
from heptad.model.answers import (
    PendingRequest,
    Recorded,
    RequestState,
    SubmitItem,
    ValidatorStatus,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Role
from heptad.runtime.telemetry import trace_of_call
from heptad.wire.convert import validator as wire
from heptad_validator.admission import Admission
from heptad_validator.bundles import BundleCall, Bundles
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.private_records import PrivateRecords
from heptad_validator.registration import Registrar
from heptad_validator.sinks import ManyAnswers, OneAnswer
from heptad_validator.statements import Statements

_SENDERS: Final = frozenset({Role.GATEWAY, Role.SERVICE})

ROLES: Final[Mapping[str, frozenset[Role]]] = {
    f"/{wire.SERVICE}/Submit": _SENDERS,
    f"/{wire.SERVICE}/SubmitStream": _SENDERS,
    f"/{wire.SERVICE}/SubmitBundle": _SENDERS,
    f"/{wire.SERVICE}/RegisterSubject": _SENDERS,
    f"/{wire.SERVICE}/RecordStatement": frozenset({Role.LEDGER}),
    f"/{wire.SERVICE}/RecordPrivate": frozenset({Role.LEDGER}),
    f"/{wire.SERVICE}/GetPendingRequest": _SENDERS | {Role.OPERATOR},
    f"/{wire.SERVICE}/GetStatus": frozenset({Role.GATEWAY, Role.OPERATOR}),
}

ITEMS_MAX: Final = 1_000
MESSAGE_BYTES_MAX: Final = 1 << 20
REQUEST_ID_BYTES: Final = 32

PATIENCE_S_MAX: Final = 9.0
"""How long a call is kept waiting, whatever its deadline."""

ANSWER_MARGIN_S: Final = 0.1
"""Left of a caller's deadline for the answer's way back."""


class ValidatorDoor:
    """Serves the RPCs; what is behind it knows nothing of gRPC."""

    def __init__(
        self,
        *,
        admission: Admission,
        registrar: Registrar,
        bundles: Bundles,
        statements: Statements,
        private_records: PrivateRecords,
        window: ReplayWindow,
        require_fenced: Callable[[], None],
        read_status: Callable[[], ValidatorStatus],
        stream_items_max: int,
    ) -> None:
        """`stream_items_max` is how many items of one stream may be in flight."""
        self._admission = admission
        self._registrar = registrar
        self._bundles = bundles
        self._statements = statements
        self._private_records = private_records
        self._window = window
        self._require_fenced = require_fenced
        self._read_status = read_status
        self._stream_items_max = stream_items_max

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handlers to a server. They take and return bytes."""
        unary = grpc.unary_unary_rpc_method_handler
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Submit": unary(self._submit),
            "SubmitStream": grpc.stream_stream_rpc_method_handler(self._submit_stream),
            "SubmitBundle": unary(self._submit_bundle),
            "RegisterSubject": unary(self._register_subject),
            "RecordStatement": unary(self._record_statement),
            "RecordPrivate": unary(self._record_private),
            "GetPendingRequest": unary(self._get_pending_request),
            "GetStatus": unary(self._get_status),
        }
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    async def _submit(self, data: bytes, context: Context) -> bytes:
        item = wire.decode_submit(data)
        if trace := _trace_of(context):
            item = item._replace(trace=trace)
        patience_s = _patience_s(context)
        sink = OneAnswer()
        await self._admission.submit((item,), sink)
        recorded = await sink.answer(timeout_s=patience_s)
        if recorded is None:
            # The caller's time is over before ours: if it is admitted, it is told so.
            recorded = self._admitted(item.jws, sink)
        if recorded is None:
            raise Problem("deadline_exceeded", f"no answer within {patience_s:.1f} s")
        return wire.encode_submitted(recorded)

    def _admitted(self, jws: bytes, sink: OneAnswer) -> Recorded | None:
        """How the request stands whose commit `sink` waits for; None while it is being checked."""
        request = parse_request(jws)
        ticket = self._window.find(request_hash(iss=request.iss, jti=request.jti))
        return None if ticket is None else ticket.standing_for(sink)

    async def _submit_stream(self, _requests: object, context: Context) -> None:
        # The first sign of life: a hung process keeps its connections, and takes streams on them.
        await context.send_initial_metadata(())
        sink = ManyAnswers(in_flight_max=self._stream_items_max)
        writer = asyncio.create_task(_write_answers(context, sink))
        try:
            while isinstance(data := await context.read(), bytes):
                items = wire.decode_items(data)
                sink.announce(len(items))
                await self._submit_items(items, len(data), sink)
                await sink.room()
            sink.close()
            await writer
        finally:
            writer.cancel()

    async def _submit_items(
        self, items: list[SubmitItem], byte_count: int, sink: ManyAnswers
    ) -> None:
        if len(items) <= ITEMS_MAX and byte_count <= MESSAGE_BYTES_MAX:
            await self._admission.submit(items, sink)
            return
        detail = f"{len(items)} requests in {byte_count} bytes"
        problem = Problem("batch_too_large", detail)
        for item in items:
            sink.refused(item.id, problem)

    async def _submit_bundle(self, data: bytes, context: Context) -> bytes:
        if len(data) > MESSAGE_BYTES_MAX:
            detail = f"a bundle of {len(data)} bytes; the limit is {MESSAGE_BYTES_MAX}"
            raise Problem("bundle_too_large", detail)
        statement, events, wait = wire.decode_bundle(data)
        trace, traces = _trace_of(context), self._admission.traces
        call = BundleCall(Bundle(statement, tuple(events)), RecentAnswers.key(data), wait, trace)
        with traces.following(trace):
            answer = await self._bundles.submit(
                call, caller=peer_identity(context), patience_s=_patience_s(context)
            )
        if trace and answer.recorded.replayed:
            traces.replayed(trace)
        return wire.encode_bundle_recorded(answer)

    async def _register_subject(self, data: bytes, context: Context) -> bytes:
        trace, traces = _trace_of(context), self._admission.traces
        with traces.following(trace):
            registered = await self._registrar.register(
                wire.decode_register(data),
                caller=peer_identity(context),
                patience_s=_patience_s(context),
                trace=trace,
            )
        if trace and registered.recorded.replayed:
            traces.replayed(trace)
        return wire.encode_registered(registered)

    async def _record_statement(self, data: bytes, context: Context) -> bytes:
        kind, statement = wire.decode_statement(data)
        self._admission.require_open()
        index = await self._statements.record(
            kind, statement, caller=peer_identity(context), patience_s=_patience_s(context)
        )
        return wire.encode_stated(index)

    async def _record_private(self, data: bytes, context: Context) -> bytes:
        index = await self._private_records.record(
            wire.decode_private(data),
            caller=peer_identity(context),
            patience_s=_patience_s(context),
        )
        return wire.encode_private_recorded(index)

    async def _get_pending_request(self, data: bytes, _context: Context) -> bytes:
        request_id = wire.decode_pending_call(data)
        if len(request_id) != REQUEST_ID_BYTES:
            detail = f"a request id has {REQUEST_ID_BYTES} bytes, not {len(request_id)}"
            raise Problem("parameter_invalid", detail, field="request_id")
        ticket = self._window.find(request_id)
        if ticket is None:
            self._require_fenced()
            return wire.encode_pending(PendingRequest(RequestState.UNKNOWN, 0, 0))
        return wire.encode_pending(PendingRequest(ticket.state, ticket.index, ticket.exp_s))

    async def _get_status(self, _data: bytes, _context: Context) -> bytes:
        return wire.encode_status(self._read_status())


async def _write_answers(context: Context, sink: ManyAnswers) -> None:
    """Write what the sink has, until it is closed or the stream is gone."""
    while messages := await sink.take():
        for message in messages:
            await context.write(message)


def _trace_of(context: Context) -> bytes:
    """The packed context of a call that is traced; mostly empty."""
    trace = trace_of_call(context)
    return b"" if trace is None else trace.packed


def _patience_s(context: Context) -> float:
    """How long to work on a call: a little less than its caller waits."""
    remaining_s = context.time_remaining()
    if remaining_s is None:
        return PATIENCE_S_MAX
    return min(max(remaining_s - ANSWER_MARGIN_S, 0.0), PATIENCE_S_MAX)
