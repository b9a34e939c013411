from heptad.wire.ledger.v1 import ledger_pb2 as _ledger_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErasureGround(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_GROUND_UNSPECIFIED: _ClassVar[ErasureGround]
    ERASURE_GROUND_NO_LONGER_NEEDED: _ClassVar[ErasureGround]
    ERASURE_GROUND_CONSENT_WITHDRAWN: _ClassVar[ErasureGround]
    ERASURE_GROUND_OBJECTION: _ClassVar[ErasureGround]
    ERASURE_GROUND_UNLAWFUL_PROCESSING: _ClassVar[ErasureGround]
    ERASURE_GROUND_ERASURE_REQUIRED_BY_LAW: _ClassVar[ErasureGround]
    ERASURE_GROUND_OFFERED_TO_A_CHILD: _ClassVar[ErasureGround]

class RefusalGround(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_GROUND_UNSPECIFIED: _ClassVar[RefusalGround]
    REFUSAL_GROUND_FREE_EXPRESSION: _ClassVar[RefusalGround]
    REFUSAL_GROUND_LEGAL_OBLIGATION: _ClassVar[RefusalGround]
    REFUSAL_GROUND_PUBLIC_TASK: _ClassVar[RefusalGround]
    REFUSAL_GROUND_PUBLIC_HEALTH: _ClassVar[RefusalGround]
    REFUSAL_GROUND_ARCHIVING: _ClassVar[RefusalGround]
    REFUSAL_GROUND_LEGAL_HOLD: _ClassVar[RefusalGround]
    REFUSAL_GROUND_NO_GROUND: _ClassVar[RefusalGround]
    REFUSAL_GROUND_EXCESSIVE: _ClassVar[RefusalGround]

class ErasureState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_STATE_UNSPECIFIED: _ClassVar[ErasureState]
    ERASURE_STATE_RECEIVED: _ClassVar[ErasureState]
    ERASURE_STATE_ORDERED: _ClassVar[ErasureState]
    ERASURE_STATE_ERASED: _ClassVar[ErasureState]
    ERASURE_STATE_REFUSED: _ClassVar[ErasureState]

class OrderedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDERED_BY_UNSPECIFIED: _ClassVar[OrderedBy]
    ORDERED_BY_SUBJECT: _ClassVar[OrderedBy]
    ORDERED_BY_OFFICER: _ClassVar[OrderedBy]
ERASURE_GROUND_UNSPECIFIED: ErasureGround
ERASURE_GROUND_NO_LONGER_NEEDED: ErasureGround
ERASURE_GROUND_CONSENT_WITHDRAWN: ErasureGround
ERASURE_GROUND_OBJECTION: ErasureGround
ERASURE_GROUND_UNLAWFUL_PROCESSING: ErasureGround
ERASURE_GROUND_ERASURE_REQUIRED_BY_LAW: ErasureGround
ERASURE_GROUND_OFFERED_TO_A_CHILD: ErasureGround
REFUSAL_GROUND_UNSPECIFIED: RefusalGround
REFUSAL_GROUND_FREE_EXPRESSION: RefusalGround
REFUSAL_GROUND_LEGAL_OBLIGATION: RefusalGround
REFUSAL_GROUND_PUBLIC_TASK: RefusalGround
REFUSAL_GROUND_PUBLIC_HEALTH: RefusalGround
REFUSAL_GROUND_ARCHIVING: RefusalGround
REFUSAL_GROUND_LEGAL_HOLD: RefusalGround
REFUSAL_GROUND_NO_GROUND: RefusalGround
REFUSAL_GROUND_EXCESSIVE: RefusalGround
ERASURE_STATE_UNSPECIFIED: ErasureState
ERASURE_STATE_RECEIVED: ErasureState
ERASURE_STATE_ORDERED: ErasureState
ERASURE_STATE_ERASED: ErasureState
ERASURE_STATE_REFUSED: ErasureState
ORDERED_BY_UNSPECIFIED: OrderedBy
ORDERED_BY_SUBJECT: OrderedBy
ORDERED_BY_OFFICER: OrderedBy

class OrderErasureRequest(_message.Message):
    __slots__ = ("subject_ids", "ground", "reason")
    SUBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject_ids: _containers.RepeatedScalarFieldContainer[str]
    ground: ErasureGround
    reason: str
    def __init__(self, subject_ids: _Optional[_Iterable[str]] = ..., ground: _Optional[_Union[ErasureGround, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class OrderErasureResponse(_message.Message):
    __slots__ = ("ordered",)
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    ordered: _containers.RepeatedCompositeFieldContainer[Ordered]
    def __init__(self, ordered: _Optional[_Iterable[_Union[Ordered, _Mapping]]] = ...) -> None: ...

class Ordered(_message.Message):
    __slots__ = ("subject_id", "request_id", "refused_code")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_CODE_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    request_id: bytes
    refused_code: str
    def __init__(self, subject_id: _Optional[str] = ..., request_id: _Optional[bytes] = ..., refused_code: _Optional[str] = ...) -> None: ...

class RefuseErasureRequest(_message.Message):
    __slots__ = ("subject_id", "ground", "reason")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    ground: RefusalGround
    reason: str
    def __init__(self, subject_id: _Optional[str] = ..., ground: _Optional[_Union[RefusalGround, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RefuseErasureResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class SetHoldRequest(_message.Message):
    __slots__ = ("subject_id", "ground", "reason")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    ground: RefusalGround
    reason: str
    def __init__(self, subject_id: _Optional[str] = ..., ground: _Optional[_Union[RefusalGround, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class SetHoldResponse(_message.Message):
    __slots__ = ("holds",)
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    def __init__(self, holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ...) -> None: ...

class LiftHoldRequest(_message.Message):
    __slots__ = ("subject_id", "ground", "reason")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    ground: RefusalGround
    reason: str
    def __init__(self, subject_id: _Optional[str] = ..., ground: _Optional[_Union[RefusalGround, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class LiftHoldResponse(_message.Message):
    __slots__ = ("holds",)
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    def __init__(self, holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("jws",)
    JWS_FIELD_NUMBER: _ClassVar[int]
    jws: bytes
    def __init__(self, jws: _Optional[bytes] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ListedKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[ListedKey, _Mapping]]] = ...) -> None: ...

class ListedKey(_message.Message):
    __slots__ = ("kid", "index", "added_ms", "revoked_index", "revoked_ms")
    KID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADDED_MS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_INDEX_FIELD_NUMBER: _ClassVar[int]
    REVOKED_MS_FIELD_NUMBER: _ClassVar[int]
    kid: str
    index: int
    added_ms: int
    revoked_index: int
    revoked_ms: int
    def __init__(self, kid: _Optional[str] = ..., index: _Optional[int] = ..., added_ms: _Optional[int] = ..., revoked_index: _Optional[int] = ..., revoked_ms: _Optional[int] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("subject_id", "kid", "reason")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    kid: str
    reason: str
    def __init__(self, subject_id: _Optional[str] = ..., kid: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeKeyResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("ground", "since_ms")
    GROUND_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    ground: RefusalGround
    since_ms: int
    def __init__(self, ground: _Optional[_Union[RefusalGround, str]] = ..., since_ms: _Optional[int] = ...) -> None: ...

class GetErasureRequest(_message.Message):
    __slots__ = ("request_id", "subject_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    subject_id: str
    def __init__(self, request_id: _Optional[bytes] = ..., subject_id: _Optional[str] = ...) -> None: ...

class GetErasureResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("request_id", "state", "ordered_by", "ground", "received_at_ms", "decide_by_ms", "order_index", "refusal_index", "refusal_ground", "certificate", "subject_id", "holds", "salt")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ORDERED_BY_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDE_BY_MS_FIELD_NUMBER: _ClassVar[int]
    ORDER_INDEX_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_INDEX_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_GROUND_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    state: ErasureState
    ordered_by: OrderedBy
    ground: ErasureGround
    received_at_ms: int
    decide_by_ms: int
    order_index: int
    refusal_index: int
    refusal_ground: RefusalGround
    certificate: CertificateParts
    subject_id: str
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    salt: bytes
    def __init__(self, request_id: _Optional[bytes] = ..., state: _Optional[_Union[ErasureState, str]] = ..., ordered_by: _Optional[_Union[OrderedBy, str]] = ..., ground: _Optional[_Union[ErasureGround, str]] = ..., received_at_ms: _Optional[int] = ..., decide_by_ms: _Optional[int] = ..., order_index: _Optional[int] = ..., refusal_index: _Optional[int] = ..., refusal_ground: _Optional[_Union[RefusalGround, str]] = ..., certificate: _Optional[_Union[CertificateParts, _Mapping]] = ..., subject_id: _Optional[str] = ..., holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ..., salt: _Optional[bytes] = ...) -> None: ...

class CertificateParts(_message.Message):
    __slots__ = ("index", "entry", "proof", "order_entry", "order_inclusion")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    ORDER_ENTRY_FIELD_NUMBER: _ClassVar[int]
    ORDER_INCLUSION_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    proof: bytes
    order_entry: bytes
    order_inclusion: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., order_entry: _Optional[bytes] = ..., order_inclusion: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ListErasuresRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListErasuresResponse(_message.Message):
    __slots__ = ("erasures", "next_page_token")
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[Erasure]
    next_page_token: str
    def __init__(self, erasures: _Optional[_Iterable[_Union[Erasure, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("subject_jws", "officer")
    SUBJECT_JWS_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    subject_jws: bytes
    officer: OfficersExport
    def __init__(self, subject_jws: _Optional[bytes] = ..., officer: _Optional[_Union[OfficersExport, _Mapping]] = ...) -> None: ...

class OfficersExport(_message.Message):
    __slots__ = ("subject_id", "reason", "ground", "from_index")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    FROM_INDEX_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    reason: str
    ground: str
    from_index: int
    def __init__(self, subject_id: _Optional[str] = ..., reason: _Optional[str] = ..., ground: _Optional[str] = ..., from_index: _Optional[int] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("begun", "chunk")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    begun: ExportBegun
    chunk: ExportChunk
    def __init__(self, begun: _Optional[_Union[ExportBegun, _Mapping]] = ..., chunk: _Optional[_Union[ExportChunk, _Mapping]] = ...) -> None: ...

class ExportBegun(_message.Message):
    __slots__ = ("subject_id", "entries", "own_index")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    OWN_INDEX_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    entries: int
    own_index: int
    def __init__(self, subject_id: _Optional[str] = ..., entries: _Optional[int] = ..., own_index: _Optional[int] = ...) -> None: ...

class ExportChunk(_message.Message):
    __slots__ = ("data", "done", "total")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    done: int
    total: int
    def __init__(self, data: _Optional[bytes] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class OpenReceiptRequest(_message.Message):
    __slots__ = ("subject_jws", "request_id", "event")
    SUBJECT_JWS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    subject_jws: bytes
    request_id: bytes
    event: int
    def __init__(self, subject_jws: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., event: _Optional[int] = ...) -> None: ...

class OpenReceiptResponse(_message.Message):
    __slots__ = ("receipt", "payload", "witness")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    receipt: _ledger_pb2.GetReceiptResponse
    payload: bytes
    witness: bytes
    def __init__(self, receipt: _Optional[_Union[_ledger_pb2.GetReceiptResponse, _Mapping]] = ..., payload: _Optional[bytes] = ..., witness: _Optional[bytes] = ...) -> None: ...
