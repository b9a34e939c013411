from heptad.wire.entry.v1 import entry_pb2 as _entry_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Wait(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAIT_UNSPECIFIED: _ClassVar[Wait]
    WAIT_COMMITTED: _ClassVar[Wait]
    WAIT_ADMITTED: _ClassVar[Wait]

class RequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REQUEST_STATE_UNSPECIFIED: _ClassVar[RequestState]
    REQUEST_STATE_UNKNOWN: _ClassVar[RequestState]
    REQUEST_STATE_PENDING: _ClassVar[RequestState]
    REQUEST_STATE_COMMITTED: _ClassVar[RequestState]
    REQUEST_STATE_INVALID: _ClassVar[RequestState]
WAIT_UNSPECIFIED: Wait
WAIT_COMMITTED: Wait
WAIT_ADMITTED: Wait
REQUEST_STATE_UNSPECIFIED: RequestState
REQUEST_STATE_UNKNOWN: RequestState
REQUEST_STATE_PENDING: RequestState
REQUEST_STATE_COMMITTED: RequestState
REQUEST_STATE_INVALID: RequestState

class Refusal(_message.Message):
    __slots__ = ("code", "detail", "field", "retry_after_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    field: str
    retry_after_s: int
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_s: _Optional[int] = ...) -> None: ...

class Recorded(_message.Message):
    __slots__ = ("request_id", "state", "index", "outcome", "denied_code", "time_ms", "replayed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DENIED_CODE_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    state: RequestState
    index: int
    outcome: _entry_pb2.Outcome
    denied_code: str
    time_ms: int
    replayed: bool
    def __init__(self, request_id: _Optional[bytes] = ..., state: _Optional[_Union[RequestState, str]] = ..., index: _Optional[int] = ..., outcome: _Optional[_Union[_entry_pb2.Outcome, str]] = ..., denied_code: _Optional[str] = ..., time_ms: _Optional[int] = ..., replayed: _Optional[bool] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("jws", "wait")
    JWS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    jws: bytes
    wait: Wait
    def __init__(self, jws: _Optional[bytes] = ..., wait: _Optional[_Union[Wait, str]] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("recorded",)
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    recorded: Recorded
    def __init__(self, recorded: _Optional[_Union[Recorded, _Mapping]] = ...) -> None: ...

class SubmitItem(_message.Message):
    __slots__ = ("id", "jws", "wait")
    ID_FIELD_NUMBER: _ClassVar[int]
    JWS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    jws: bytes
    wait: Wait
    def __init__(self, id: _Optional[int] = ..., jws: _Optional[bytes] = ..., wait: _Optional[_Union[Wait, str]] = ...) -> None: ...

class TracedItem(_message.Message):
    __slots__ = ("id", "trace_context")
    ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    trace_context: bytes
    def __init__(self, id: _Optional[int] = ..., trace_context: _Optional[bytes] = ...) -> None: ...

class SubmitStreamRequest(_message.Message):
    __slots__ = ("items", "traced")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TRACED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SubmitItem]
    traced: _containers.RepeatedCompositeFieldContainer[TracedItem]
    def __init__(self, items: _Optional[_Iterable[_Union[SubmitItem, _Mapping]]] = ..., traced: _Optional[_Iterable[_Union[TracedItem, _Mapping]]] = ...) -> None: ...

class SubmitOutcome(_message.Message):
    __slots__ = ("id", "recorded", "refusal")
    ID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: int
    recorded: Recorded
    refusal: Refusal
    def __init__(self, id: _Optional[int] = ..., recorded: _Optional[_Union[Recorded, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class SubmitStreamResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[SubmitOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[SubmitOutcome, _Mapping]]] = ...) -> None: ...

class BundleEvent(_message.Message):
    __slots__ = ("subject", "action", "outcome", "time_ms", "witness", "payload")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    subject: str
    action: str
    outcome: _entry_pb2.Outcome
    time_ms: int
    witness: bytes
    payload: bytes
    def __init__(self, subject: _Optional[str] = ..., action: _Optional[str] = ..., outcome: _Optional[_Union[_entry_pb2.Outcome, str]] = ..., time_ms: _Optional[int] = ..., witness: _Optional[bytes] = ..., payload: _Optional[bytes] = ...) -> None: ...

class SubmitBundleRequest(_message.Message):
    __slots__ = ("statement", "events", "wait")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    events: _containers.RepeatedCompositeFieldContainer[BundleEvent]
    wait: Wait
    def __init__(self, statement: _Optional[bytes] = ..., events: _Optional[_Iterable[_Union[BundleEvent, _Mapping]]] = ..., wait: _Optional[_Union[Wait, str]] = ...) -> None: ...

class SubmitBundleResponse(_message.Message):
    __slots__ = ("recorded", "count")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    recorded: Recorded
    count: int
    def __init__(self, recorded: _Optional[_Union[Recorded, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class RegisterSubjectRequest(_message.Message):
    __slots__ = ("jws",)
    JWS_FIELD_NUMBER: _ClassVar[int]
    jws: bytes
    def __init__(self, jws: _Optional[bytes] = ...) -> None: ...

class RegisterSubjectResponse(_message.Message):
    __slots__ = ("subject_id", "kid", "recorded")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    kid: str
    recorded: Recorded
    def __init__(self, subject_id: _Optional[str] = ..., kid: _Optional[str] = ..., recorded: _Optional[_Union[Recorded, _Mapping]] = ...) -> None: ...

class RecordStatementRequest(_message.Message):
    __slots__ = ("kind", "statement")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    kind: _entry_pb2.Kind
    statement: bytes
    def __init__(self, kind: _Optional[_Union[_entry_pb2.Kind, str]] = ..., statement: _Optional[bytes] = ...) -> None: ...

class RecordStatementResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class RecordPrivateRequest(_message.Message):
    __slots__ = ("kind", "action", "subject_id", "payload")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    kind: _entry_pb2.Kind
    action: str
    subject_id: str
    payload: bytes
    def __init__(self, kind: _Optional[_Union[_entry_pb2.Kind, str]] = ..., action: _Optional[str] = ..., subject_id: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class RecordPrivateResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetPendingRequestRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class GetPendingRequestResponse(_message.Message):
    __slots__ = ("state", "index", "exp")
    STATE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EXP_FIELD_NUMBER: _ClassVar[int]
    state: RequestState
    index: int
    exp: int
    def __init__(self, state: _Optional[_Union[RequestState, str]] = ..., index: _Optional[int] = ..., exp: _Optional[int] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("validator", "incarnation", "sequence", "pending", "replicas_connected", "vault_connected", "leases", "trouble", "clock_off_ms")
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    VAULT_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFF_MS_FIELD_NUMBER: _ClassVar[int]
    validator: int
    incarnation: int
    sequence: int
    pending: int
    replicas_connected: int
    vault_connected: bool
    leases: int
    trouble: Refusal
    clock_off_ms: int
    def __init__(self, validator: _Optional[int] = ..., incarnation: _Optional[int] = ..., sequence: _Optional[int] = ..., pending: _Optional[int] = ..., replicas_connected: _Optional[int] = ..., vault_connected: _Optional[bool] = ..., leases: _Optional[int] = ..., trouble: _Optional[_Union[Refusal, _Mapping]] = ..., clock_off_ms: _Optional[int] = ...) -> None: ...
