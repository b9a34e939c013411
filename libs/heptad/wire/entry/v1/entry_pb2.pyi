from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_REQUEST: _ClassVar[Kind]
    KIND_DUPLICATE: _ClassVar[Kind]
    KIND_BUNDLE: _ClassVar[Kind]
    KIND_SUBJECT_REGISTERED: _ClassVar[Kind]
    KIND_KEY_ADDED: _ClassVar[Kind]
    KIND_KEY_REVOKED: _ClassVar[Kind]
    KIND_ACCESS: _ClassVar[Kind]
    KIND_ERASURE_ORDERED: _ClassVar[Kind]
    KIND_ERASED: _ClassVar[Kind]
    KIND_ERASURE_REFUSED: _ClassVar[Kind]
    KIND_EXPORT: _ClassVar[Kind]
    KIND_POLICY_CHANGE: _ClassVar[Kind]
    KIND_MEMBERSHIP_CHANGE: _ClassVar[Kind]
    KIND_MISBEHAVIOUR_EVIDENCE: _ClassVar[Kind]
    KIND_RECOVERY: _ClassVar[Kind]
    KIND_EVENT: _ClassVar[Kind]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_ALLOWED: _ClassVar[Outcome]
    OUTCOME_DENIED: _ClassVar[Outcome]
KIND_UNSPECIFIED: Kind
KIND_REQUEST: Kind
KIND_DUPLICATE: Kind
KIND_BUNDLE: Kind
KIND_SUBJECT_REGISTERED: Kind
KIND_KEY_ADDED: Kind
KIND_KEY_REVOKED: Kind
KIND_ACCESS: Kind
KIND_ERASURE_ORDERED: Kind
KIND_ERASED: Kind
KIND_ERASURE_REFUSED: Kind
KIND_EXPORT: Kind
KIND_POLICY_CHANGE: Kind
KIND_MEMBERSHIP_CHANGE: Kind
KIND_MISBEHAVIOUR_EVIDENCE: Kind
KIND_RECOVERY: Kind
KIND_EVENT: Kind
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_ALLOWED: Outcome
OUTCOME_DENIED: Outcome

class Entry(_message.Message):
    __slots__ = ("version", "kind", "service", "action", "outcome", "time_ms", "validator", "commitment", "statement")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: Kind
    service: str
    action: str
    outcome: Outcome
    time_ms: int
    validator: int
    commitment: bytes
    statement: bytes
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[_Union[Kind, str]] = ..., service: _Optional[str] = ..., action: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., time_ms: _Optional[int] = ..., validator: _Optional[int] = ..., commitment: _Optional[bytes] = ..., statement: _Optional[bytes] = ...) -> None: ...

class DuplicateStatement(_message.Message):
    __slots__ = ("index", "first_index")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    first_index: int
    def __init__(self, index: _Optional[int] = ..., first_index: _Optional[int] = ...) -> None: ...

class PolicyChangeStatement(_message.Message):
    __slots__ = ("cell_sha256", "previous_sha256")
    CELL_SHA256_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SHA256_FIELD_NUMBER: _ClassVar[int]
    cell_sha256: bytes
    previous_sha256: bytes
    def __init__(self, cell_sha256: _Optional[bytes] = ..., previous_sha256: _Optional[bytes] = ...) -> None: ...
