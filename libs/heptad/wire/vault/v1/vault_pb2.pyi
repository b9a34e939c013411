from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseRequest(_message.Message):
    __slots__ = ("id", "lease_subjects", "reserve_slots", "look_up_request", "return_leases")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    RESERVE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    LOOK_UP_REQUEST_FIELD_NUMBER: _ClassVar[int]
    RETURN_LEASES_FIELD_NUMBER: _ClassVar[int]
    id: int
    lease_subjects: LeaseSubjects
    reserve_slots: ReserveSlots
    look_up_request: LookUpRequest
    return_leases: ReturnLeases
    def __init__(self, id: _Optional[int] = ..., lease_subjects: _Optional[_Union[LeaseSubjects, _Mapping]] = ..., reserve_slots: _Optional[_Union[ReserveSlots, _Mapping]] = ..., look_up_request: _Optional[_Union[LookUpRequest, _Mapping]] = ..., return_leases: _Optional[_Union[ReturnLeases, _Mapping]] = ...) -> None: ...

class LeaseSubjects(_message.Message):
    __slots__ = ("subject_ids", "wait_ms", "registering", "sealing", "proved_size_min")
    SUBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    REGISTERING_FIELD_NUMBER: _ClassVar[int]
    SEALING_FIELD_NUMBER: _ClassVar[int]
    PROVED_SIZE_MIN_FIELD_NUMBER: _ClassVar[int]
    subject_ids: _containers.RepeatedScalarFieldContainer[str]
    wait_ms: int
    registering: bool
    sealing: bool
    proved_size_min: int
    def __init__(self, subject_ids: _Optional[_Iterable[str]] = ..., wait_ms: _Optional[int] = ..., registering: _Optional[bool] = ..., sealing: _Optional[bool] = ..., proved_size_min: _Optional[int] = ...) -> None: ...

class ReserveSlots(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class LookUpRequest(_message.Message):
    __slots__ = ("request_id", "subject_id", "applied_size_min")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    APPLIED_SIZE_MIN_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    subject_id: str
    applied_size_min: int
    def __init__(self, request_id: _Optional[bytes] = ..., subject_id: _Optional[str] = ..., applied_size_min: _Optional[int] = ...) -> None: ...

class ReturnLeases(_message.Message):
    __slots__ = ("lease_ids",)
    LEASE_IDS_FIELD_NUMBER: _ClassVar[int]
    lease_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, lease_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("id", "cell_keys", "leases", "slots", "request_found", "revoked", "refusal", "lent_elsewhere")
    ID_FIELD_NUMBER: _ClassVar[int]
    CELL_KEYS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FOUND_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    LENT_ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    id: int
    cell_keys: CellKeys
    leases: Leases
    slots: Slots
    request_found: RequestFound
    revoked: Revoked
    refusal: VaultRefusal
    lent_elsewhere: LentElsewhere
    def __init__(self, id: _Optional[int] = ..., cell_keys: _Optional[_Union[CellKeys, _Mapping]] = ..., leases: _Optional[_Union[Leases, _Mapping]] = ..., slots: _Optional[_Union[Slots, _Mapping]] = ..., request_found: _Optional[_Union[RequestFound, _Mapping]] = ..., revoked: _Optional[_Union[Revoked, _Mapping]] = ..., refusal: _Optional[_Union[VaultRefusal, _Mapping]] = ..., lent_elsewhere: _Optional[_Union[LentElsewhere, _Mapping]] = ...) -> None: ...

class CellKeys(_message.Message):
    __slots__ = ("index_key", "routing_key_id", "routing_key")
    INDEX_KEY_FIELD_NUMBER: _ClassVar[int]
    ROUTING_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTING_KEY_FIELD_NUMBER: _ClassVar[int]
    index_key: bytes
    routing_key_id: int
    routing_key: bytes
    def __init__(self, index_key: _Optional[bytes] = ..., routing_key_id: _Optional[int] = ..., routing_key: _Optional[bytes] = ...) -> None: ...

class SubjectKey(_message.Message):
    __slots__ = ("kid", "revoked", "index", "entry", "payload", "witness", "proof", "revocation")
    KID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    kid: str
    revoked: bool
    index: int
    entry: bytes
    payload: bytes
    witness: bytes
    proof: bytes
    revocation: EntryEvidence
    def __init__(self, kid: _Optional[str] = ..., revoked: _Optional[bool] = ..., index: _Optional[int] = ..., entry: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., witness: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., revocation: _Optional[_Union[EntryEvidence, _Mapping]] = ...) -> None: ...

class EntryEvidence(_message.Message):
    __slots__ = ("index", "entry", "payload", "witness", "proof")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITNESS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    payload: bytes
    witness: bytes
    proof: bytes
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., witness: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class SubjectLease(_message.Message):
    __slots__ = ("subject_id", "key_ref", "lease_id", "lease_key", "ttl_ms", "keys", "refused_code", "applied_size")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_REF_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_KEY_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_CODE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_SIZE_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    key_ref: int
    lease_id: bytes
    lease_key: bytes
    ttl_ms: int
    keys: _containers.RepeatedCompositeFieldContainer[SubjectKey]
    refused_code: str
    applied_size: int
    def __init__(self, subject_id: _Optional[str] = ..., key_ref: _Optional[int] = ..., lease_id: _Optional[bytes] = ..., lease_key: _Optional[bytes] = ..., ttl_ms: _Optional[int] = ..., keys: _Optional[_Iterable[_Union[SubjectKey, _Mapping]]] = ..., refused_code: _Optional[str] = ..., applied_size: _Optional[int] = ...) -> None: ...

class Leases(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[SubjectLease]
    def __init__(self, leases: _Optional[_Iterable[_Union[SubjectLease, _Mapping]]] = ...) -> None: ...

class SlotLease(_message.Message):
    __slots__ = ("key_ref", "lease_id", "lease_key")
    KEY_REF_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_KEY_FIELD_NUMBER: _ClassVar[int]
    key_ref: int
    lease_id: bytes
    lease_key: bytes
    def __init__(self, key_ref: _Optional[int] = ..., lease_id: _Optional[bytes] = ..., lease_key: _Optional[bytes] = ...) -> None: ...

class Slots(_message.Message):
    __slots__ = ("slots", "ttl_ms")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[SlotLease]
    ttl_ms: int
    def __init__(self, slots: _Optional[_Iterable[_Union[SlotLease, _Mapping]]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class RequestFound(_message.Message):
    __slots__ = ("found", "index", "claims_digest", "entry", "subject_id")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    found: bool
    index: int
    claims_digest: bytes
    entry: bytes
    subject_id: str
    def __init__(self, found: _Optional[bool] = ..., index: _Optional[int] = ..., claims_digest: _Optional[bytes] = ..., entry: _Optional[bytes] = ..., subject_id: _Optional[str] = ...) -> None: ...

class Revoked(_message.Message):
    __slots__ = ("subject_ids", "erased")
    SUBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    subject_ids: _containers.RepeatedScalarFieldContainer[str]
    erased: bool
    def __init__(self, subject_ids: _Optional[_Iterable[str]] = ..., erased: _Optional[bool] = ...) -> None: ...

class LentElsewhere(_message.Message):
    __slots__ = ("subject_ids", "look_up_ms")
    SUBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    LOOK_UP_MS_FIELD_NUMBER: _ClassVar[int]
    subject_ids: _containers.RepeatedScalarFieldContainer[str]
    look_up_ms: int
    def __init__(self, subject_ids: _Optional[_Iterable[str]] = ..., look_up_ms: _Optional[int] = ...) -> None: ...

class VaultRefusal(_message.Message):
    __slots__ = ("code", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...
