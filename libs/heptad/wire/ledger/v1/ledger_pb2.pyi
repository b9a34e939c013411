from heptad.wire.entry.v1 import entry_pb2 as _entry_pb2
from heptad.wire.validator.v1 import validator_pb2 as _validator_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Order(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_UNSPECIFIED: _ClassVar[Order]
    ORDER_ASCENDING: _ClassVar[Order]
    ORDER_DESCENDING: _ClassVar[Order]
ORDER_UNSPECIFIED: Order
ORDER_ASCENDING: Order
ORDER_DESCENDING: Order

class GetCheckpointRequest(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("note", "size")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    note: bytes
    size: int
    def __init__(self, note: _Optional[bytes] = ..., size: _Optional[int] = ...) -> None: ...

class GetEntryRequest(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetEntryResponse(_message.Message):
    __slots__ = ("index", "entry")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ...) -> None: ...

class EntryFilter(_message.Message):
    __slots__ = ("start_index", "end_index", "from_ms", "until_ms", "service", "kinds", "action", "outcome", "validator")
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    END_INDEX_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    start_index: int
    end_index: int
    from_ms: int
    until_ms: int
    service: str
    kinds: _containers.RepeatedScalarFieldContainer[_entry_pb2.Kind]
    action: str
    outcome: _entry_pb2.Outcome
    validator: int
    def __init__(self, start_index: _Optional[int] = ..., end_index: _Optional[int] = ..., from_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., service: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_entry_pb2.Kind, str]]] = ..., action: _Optional[str] = ..., outcome: _Optional[_Union[_entry_pb2.Outcome, str]] = ..., validator: _Optional[int] = ...) -> None: ...

class ListEntriesRequest(_message.Message):
    __slots__ = ("start_index", "page_size", "filter", "order", "page_token")
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    start_index: int
    page_size: int
    filter: EntryFilter
    order: Order
    page_token: str
    def __init__(self, start_index: _Optional[int] = ..., page_size: _Optional[int] = ..., filter: _Optional[_Union[EntryFilter, _Mapping]] = ..., order: _Optional[_Union[Order, str]] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEntriesResponse(_message.Message):
    __slots__ = ("start_index", "entries", "next_index", "indexes", "next_page_token", "checkpoint_size", "cost")
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    start_index: int
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    next_index: int
    indexes: _containers.RepeatedScalarFieldContainer[int]
    next_page_token: str
    checkpoint_size: int
    cost: int
    def __init__(self, start_index: _Optional[int] = ..., entries: _Optional[_Iterable[bytes]] = ..., next_index: _Optional[int] = ..., indexes: _Optional[_Iterable[int]] = ..., next_page_token: _Optional[str] = ..., checkpoint_size: _Optional[int] = ..., cost: _Optional[int] = ...) -> None: ...

class CountEntriesRequest(_message.Message):
    __slots__ = ("filter", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: EntryFilter
    page_token: str
    def __init__(self, filter: _Optional[_Union[EntryFilter, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

class CountEntriesResponse(_message.Message):
    __slots__ = ("count", "next_page_token", "checkpoint_size", "cost")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    count: int
    next_page_token: str
    checkpoint_size: int
    cost: int
    def __init__(self, count: _Optional[int] = ..., next_page_token: _Optional[str] = ..., checkpoint_size: _Optional[int] = ..., cost: _Optional[int] = ...) -> None: ...

class WatchEntriesRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: EntryFilter
    def __init__(self, filter: _Optional[_Union[EntryFilter, _Mapping]] = ...) -> None: ...

class WatchEntriesResponse(_message.Message):
    __slots__ = ("indexes", "entries", "next_index", "checkpoint_size", "cost")
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    indexes: _containers.RepeatedScalarFieldContainer[int]
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    next_index: int
    checkpoint_size: int
    cost: int
    def __init__(self, indexes: _Optional[_Iterable[int]] = ..., entries: _Optional[_Iterable[bytes]] = ..., next_index: _Optional[int] = ..., checkpoint_size: _Optional[int] = ..., cost: _Optional[int] = ...) -> None: ...

class GetTotalsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTotalsResponse(_message.Message):
    __slots__ = ("size", "kinds", "services", "service_count")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SERVICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    size: int
    kinds: _containers.RepeatedCompositeFieldContainer[KindTotal]
    services: _containers.RepeatedCompositeFieldContainer[ServiceTotal]
    service_count: int
    def __init__(self, size: _Optional[int] = ..., kinds: _Optional[_Iterable[_Union[KindTotal, _Mapping]]] = ..., services: _Optional[_Iterable[_Union[ServiceTotal, _Mapping]]] = ..., service_count: _Optional[int] = ...) -> None: ...

class KindTotal(_message.Message):
    __slots__ = ("kind", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: _entry_pb2.Kind
    count: int
    def __init__(self, kind: _Optional[_Union[_entry_pb2.Kind, str]] = ..., count: _Optional[int] = ...) -> None: ...

class ServiceTotal(_message.Message):
    __slots__ = ("service", "count")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    service: str
    count: int
    def __init__(self, service: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("page_size", "order", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    order: Order
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., order: _Optional[_Union[Order, str]] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("sizes", "next_page_token")
    SIZES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.RepeatedScalarFieldContainer[int]
    next_page_token: str
    def __init__(self, sizes: _Optional[_Iterable[int]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetInclusionProofRequest(_message.Message):
    __slots__ = ("index", "tree_size")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    index: int
    tree_size: int
    def __init__(self, index: _Optional[int] = ..., tree_size: _Optional[int] = ...) -> None: ...

class GetInclusionProofResponse(_message.Message):
    __slots__ = ("index", "tree_size", "hashes")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    index: int
    tree_size: int
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., tree_size: _Optional[int] = ..., hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetConsistencyProofRequest(_message.Message):
    __slots__ = ("first_size", "second_size")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ...) -> None: ...

class GetConsistencyProofResponse(_message.Message):
    __slots__ = ("first_size", "second_size", "hashes")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ..., hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetReceiptRequest(_message.Message):
    __slots__ = ("request_id", "event")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    event: int
    def __init__(self, request_id: _Optional[bytes] = ..., event: _Optional[int] = ...) -> None: ...

class GetReceiptResponse(_message.Message):
    __slots__ = ("entry", "proof", "index", "bundle")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    entry: bytes
    proof: bytes
    index: int
    bundle: BundleMembership
    def __init__(self, entry: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., index: _Optional[int] = ..., bundle: _Optional[_Union[BundleMembership, _Mapping]] = ...) -> None: ...

class BundleMembership(_message.Message):
    __slots__ = ("index", "entry", "inclusion", "path")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    inclusion: _containers.RepeatedScalarFieldContainer[bytes]
    path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., inclusion: _Optional[_Iterable[bytes]] = ..., path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetRequestStatusRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class GetRequestStatusResponse(_message.Message):
    __slots__ = ("state", "index", "entry", "receipt_ready", "applied_time_ms")
    STATE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_READY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    state: _validator_pb2.RequestState
    index: int
    entry: bytes
    receipt_ready: bool
    applied_time_ms: int
    def __init__(self, state: _Optional[_Union[_validator_pb2.RequestState, str]] = ..., index: _Optional[int] = ..., entry: _Optional[bytes] = ..., receipt_ready: _Optional[bool] = ..., applied_time_ms: _Optional[int] = ...) -> None: ...

class GetTileRequest(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class GetTileResponse(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    def __init__(self, content: _Optional[bytes] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("ledger", "height", "size", "root", "checkpoint_size", "replicas_connected", "subjects", "duplicates", "applied_time_ms")
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ledger: int
    height: int
    size: int
    root: bytes
    checkpoint_size: int
    replicas_connected: int
    subjects: int
    duplicates: int
    applied_time_ms: int
    def __init__(self, ledger: _Optional[int] = ..., height: _Optional[int] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., checkpoint_size: _Optional[int] = ..., replicas_connected: _Optional[int] = ..., subjects: _Optional[int] = ..., duplicates: _Optional[int] = ..., applied_time_ms: _Optional[int] = ...) -> None: ...
