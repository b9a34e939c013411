"""Messages of `heptad.validator.v1.ValidatorService`, from bytes to values and back.

Both ends use these functions as (de)serialisers, so that neither sees a protobuf type. They read
bytes and not message objects, so that garbage becomes a refusal with a stable code at the door that
received it (`frame_malformed`), instead of a failure inside gRPC.
"""

from collections.abc import Iterable
from typing import Final

from heptad.model.access import PrivateRecord
from heptad.model.answers import (
    BundleRecorded,
    PendingRequest,
    Recorded,
    Registered,
    RequestState,
    SubmitItem,
    SubmitOutcome,
    ValidatorStatus,
    Wait,
)
from heptad.model.bundles import PrivateEvent
from heptad.model.entry import Kind, Outcome
from heptad.model.problems import PROBLEMS, Problem
from heptad.wire.convert.parsing import parse
from heptad.wire.streams import TRACE_BYTES
from heptad.wire.validator.v1 import validator_pb2 as pb

SERVICE: Final = "heptad.validator.v1.ValidatorService"

_ADMITTED: Final = pb.WAIT_ADMITTED
_EVENT_OUTCOMES: Final[dict[int, Outcome]] = {int(outcome): outcome for outcome in Outcome}
"""An outcome that is not known reads as NONE, which no event may have: its check names it."""


def encode_submit(jws: bytes, wait: Wait) -> bytes:
    """A SubmitRequest."""
    return pb.SubmitRequest(jws=jws, wait=int(wait)).SerializeToString()  # type: ignore[arg-type]  # protobuf wants its own enum


def decode_submit(data: bytes) -> SubmitItem:
    """A SubmitRequest, as an item of id 0. Raises: Problem `frame_malformed`."""
    message = parse(pb.SubmitRequest, data)
    return SubmitItem(0, message.jws, _wait(message.wait))


def encode_submitted(recorded: Recorded) -> bytes:
    """A SubmitResponse."""
    return pb.SubmitResponse(recorded=_recorded_message(recorded)).SerializeToString()


def decode_submitted(data: bytes) -> Recorded:
    """A SubmitResponse. Raises: Problem `frame_malformed`."""
    return _recorded(parse(pb.SubmitResponse, data).recorded)


def encode_items(items: Iterable[SubmitItem]) -> bytes:
    """A SubmitStreamRequest."""
    message = pb.SubmitStreamRequest()
    add = message.items.add
    for number, jws, wait, trace in items:
        add(id=number, jws=jws, wait=int(wait))
        if trace:
            message.traced.add(id=number, trace_context=trace)
    return message.SerializeToString()


def decode_items(data: bytes) -> list[SubmitItem]:
    """A SubmitStreamRequest. Raises: Problem `frame_malformed`."""
    message = parse(pb.SubmitStreamRequest, data)
    items = [SubmitItem(item.id, item.jws, _wait(item.wait)) for item in message.items]
    return _with_traces(items, message.traced) if message.traced else items


def _with_traces(items: list[SubmitItem], traced: Iterable[pb.TracedItem]) -> list[SubmitItem]:
    """The items with their traces; one of another length than a context's is none."""
    traces = {row.id: row.trace_context for row in traced if len(row.trace_context) == TRACE_BYTES}
    return [item._replace(trace=traces.get(item.id, b"")) for item in items]


class OutcomeWriter:
    """Gathers answers into one SubmitStreamResponse after the other."""

    __slots__ = ("_message", "count")

    def __init__(self) -> None:
        self._message = pb.SubmitStreamResponse()
        self.count = 0
        """How many answers have been gathered."""

    def add_recorded(
        self,
        number: int,
        *,
        request_id: bytes,
        state: RequestState,
        index: int,
        outcome: Outcome,
        denied_code: str,
        time_ms: int,
        replayed: bool,
    ) -> None:
        """Answer the item of that id with what was recorded; fields as in `Recorded`."""
        recorded = self._message.outcomes.add(id=number).recorded
        recorded.request_id = request_id
        recorded.state = state  # type: ignore[assignment]  # protobuf's stubs want their own enum
        recorded.index = index
        recorded.outcome = outcome  # type: ignore[assignment]
        recorded.time_ms = time_ms
        if denied_code:
            recorded.denied_code = denied_code
        if replayed:
            recorded.replayed = True
        self.count += 1

    def add_refusal(self, number: int, problem: Problem) -> None:
        """Answer the item of that id with a refusal."""
        self._message.outcomes.add(id=number, refusal=_refusal_message(problem))
        self.count += 1

    def take(self) -> bytes:
        """The message so far; the next answer begins a new one."""
        data = self._message.SerializeToString()
        self._message = pb.SubmitStreamResponse()
        self.count = 0
        return data


def decode_outcomes(data: bytes) -> list[SubmitOutcome]:
    """A SubmitStreamResponse. Raises: Problem `frame_malformed`."""
    return [_outcome(message) for message in parse(pb.SubmitStreamResponse, data).outcomes]


def encode_bundle(statement: bytes, events: Iterable[PrivateEvent], wait: Wait) -> bytes:
    """A SubmitBundleRequest."""
    message = pb.SubmitBundleRequest(statement=statement, wait=int(wait))  # type: ignore[arg-type]  # protobuf wants its own enum
    add = message.events.add
    for event in events:
        add(
            subject=event.subject,
            action=event.action,
            outcome=int(event.outcome),
            time_ms=event.time_ms,
            witness=event.witness,
            payload=event.payload,
        )
    return message.SerializeToString()


def decode_bundle(data: bytes) -> tuple[bytes, list[PrivateEvent], Wait]:
    """Statement and events of a SubmitBundleRequest.

    Raises: Problem `frame_malformed`.
    """
    message = parse(pb.SubmitBundleRequest, data)
    events = [
        PrivateEvent(
            event.subject,
            event.action,
            _EVENT_OUTCOMES.get(event.outcome, Outcome.NONE),
            event.time_ms,
            event.witness,
            event.payload,
        )
        for event in message.events
    ]
    return message.statement, events, _wait(message.wait)


def encode_bundle_recorded(answer: BundleRecorded) -> bytes:
    """A SubmitBundleResponse."""
    return pb.SubmitBundleResponse(
        recorded=_recorded_message(answer.recorded), count=answer.count
    ).SerializeToString()


def decode_bundle_recorded(data: bytes) -> BundleRecorded:
    """A SubmitBundleResponse. Raises: Problem `frame_malformed`."""
    message = parse(pb.SubmitBundleResponse, data)
    return BundleRecorded(_recorded(message.recorded), message.count)


def encode_register(jws: bytes) -> bytes:
    """A RegisterSubjectRequest."""
    return pb.RegisterSubjectRequest(jws=jws).SerializeToString()


def decode_register(data: bytes) -> bytes:
    """The JWS of a RegisterSubjectRequest. Raises: Problem `frame_malformed`."""
    return parse(pb.RegisterSubjectRequest, data).jws


def encode_registered(registered: Registered) -> bytes:
    """A RegisterSubjectResponse."""
    return pb.RegisterSubjectResponse(
        subject_id=registered.subject_id,
        kid=registered.kid,
        recorded=_recorded_message(registered.recorded),
    ).SerializeToString()


def decode_registered(data: bytes) -> Registered:
    """A RegisterSubjectResponse. Raises: Problem `frame_malformed`."""
    message = parse(pb.RegisterSubjectResponse, data)
    return Registered(message.subject_id, message.kid, _recorded(message.recorded))


def encode_statement(kind: Kind, statement: bytes) -> bytes:
    """A RecordStatementRequest."""
    number: int = int(kind)
    message = pb.RecordStatementRequest(kind=number, statement=statement)  # type: ignore[arg-type]  # protobuf wants its own enum
    return message.SerializeToString()


def decode_statement(data: bytes) -> tuple[Kind, bytes]:
    """Kind and statement of a RecordStatementRequest.

    Raises: Problem `frame_malformed`, `parameter_invalid` for a kind that is not known.
    """
    message = parse(pb.RecordStatementRequest, data)
    return _kind(message.kind), message.statement


def encode_stated(index: int) -> bytes:
    """A RecordStatementResponse; `index` is that of the entry in the log."""
    return pb.RecordStatementResponse(index=index).SerializeToString()


def decode_stated(data: bytes) -> int:
    """The index in a RecordStatementResponse. Raises: Problem `frame_malformed`."""
    return parse(pb.RecordStatementResponse, data).index


def encode_private(record: PrivateRecord) -> bytes:
    """A RecordPrivateRequest."""
    number: int = int(record.kind)
    return pb.RecordPrivateRequest(
        kind=number,  # type: ignore[arg-type]  # protobuf wants its own enum
        action=record.action,
        subject_id=record.subject_id,
        payload=record.payload,
    ).SerializeToString()


def decode_private(data: bytes) -> PrivateRecord:
    """A RecordPrivateRequest.

    Raises: Problem `frame_malformed`, `parameter_invalid` for a kind that is not known.
    """
    message = parse(pb.RecordPrivateRequest, data)
    return PrivateRecord(_kind(message.kind), message.action, message.subject_id, message.payload)


def encode_private_recorded(index: int) -> bytes:
    """A RecordPrivateResponse; `index` is that of the entry in the log."""
    return pb.RecordPrivateResponse(index=index).SerializeToString()


def decode_private_recorded(data: bytes) -> int:
    """The index in a RecordPrivateResponse. Raises: Problem `frame_malformed`."""
    return parse(pb.RecordPrivateResponse, data).index


def encode_pending_call(request_id: bytes) -> bytes:
    """A GetPendingRequestRequest; the id's 32 bytes."""
    return pb.GetPendingRequestRequest(request_id=request_id).SerializeToString()


def decode_pending_call(data: bytes) -> bytes:
    """The id in a GetPendingRequestRequest. Raises: Problem `frame_malformed`."""
    return parse(pb.GetPendingRequestRequest, data).request_id


def encode_pending(pending: PendingRequest) -> bytes:
    """A GetPendingRequestResponse."""
    return pb.GetPendingRequestResponse(
        state=int(pending.state),  # type: ignore[arg-type]  # protobuf wants its own enum
        index=pending.index,
        exp=pending.exp_s,
    ).SerializeToString()


def decode_pending(data: bytes) -> PendingRequest:
    """A GetPendingRequestResponse. Raises: Problem `frame_malformed`."""
    message = parse(pb.GetPendingRequestResponse, data)
    return PendingRequest(_state(message.state), message.index, message.exp)


def encode_status_call() -> bytes:
    """A GetStatusRequest."""
    return pb.GetStatusRequest().SerializeToString()


def encode_status(status: ValidatorStatus) -> bytes:
    """A GetStatusResponse."""
    return pb.GetStatusResponse(
        validator=status.validator,
        incarnation=status.incarnation,
        sequence=status.sequence,
        pending=status.pending,
        replicas_connected=status.replicas_connected,
        vault_connected=status.vault_connected,
        leases=status.leases,
        trouble=None if status.trouble is None else _refusal_message(status.trouble),
        clock_off_ms=status.clock_off_ms,
    ).SerializeToString()


def decode_status(data: bytes) -> ValidatorStatus:
    """A GetStatusResponse. Raises: Problem `frame_malformed`."""
    message = parse(pb.GetStatusResponse, data)
    return ValidatorStatus(
        validator=message.validator,
        incarnation=message.incarnation,
        sequence=message.sequence,
        pending=message.pending,
        replicas_connected=message.replicas_connected,
        vault_connected=message.vault_connected,
        leases=message.leases,
        trouble=_refusal(message.trouble) if message.HasField("trouble") else None,
        clock_off_ms=message.clock_off_ms,
    )


def _wait(number: int) -> Wait:
    return Wait.ADMITTED if number == _ADMITTED else Wait.COMMITTED


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise Problem("parameter_invalid", f"kind {number} is not known", field="kind") from None


def _state(number: int) -> RequestState:
    try:
        return RequestState(number)
    except ValueError:
        raise Problem("frame_malformed", f"request state {number} is not known") from None


def _recorded_message(recorded: Recorded) -> pb.Recorded:
    return pb.Recorded(
        request_id=recorded.request_id,
        state=int(recorded.state),  # type: ignore[arg-type]  # protobuf wants its own enum
        index=recorded.index,
        outcome=int(recorded.outcome),  # type: ignore[arg-type]  # protobuf wants its own enum
        denied_code=recorded.denied_code,
        time_ms=recorded.time_ms,
        replayed=recorded.replayed,
    )


def _recorded(message: pb.Recorded) -> Recorded:
    try:
        outcome = Outcome(message.outcome)
    except ValueError:
        raise Problem("frame_malformed", f"outcome {message.outcome} is not known") from None
    return Recorded(
        request_id=message.request_id,
        state=_state(message.state),
        index=message.index,
        outcome=outcome,
        denied_code=message.denied_code,
        time_ms=message.time_ms,
        replayed=message.replayed,
    )


def _refusal_message(problem: Problem) -> pb.Refusal:
    return pb.Refusal(
        code=problem.code,
        detail=problem.detail,
        field=problem.field,
        retry_after_s=problem.retry_after_s or 0,
    )


def _refusal(message: pb.Refusal) -> Problem:
    """The problem in a refusal; a code that this version does not know is `internal_error`."""
    code = message.code if message.code in PROBLEMS else "internal_error"
    retry_after_s = message.retry_after_s or None
    return Problem(code, message.detail, field=message.field, retry_after_s=retry_after_s)


def _outcome(message: pb.SubmitOutcome) -> SubmitOutcome:
    which = message.WhichOneof("result")
    if which == "recorded":
        return SubmitOutcome(message.id, _recorded(message.recorded))
    if which == "refusal":
        return SubmitOutcome(message.id, _refusal(message.refusal))
    raise Problem("frame_malformed", f"the outcome of item {message.id} says nothing")
