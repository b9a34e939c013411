from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class PeerStreamRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class PeerStreamResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class SubmitBatchesRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class SubmitBatchesResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("replica", "epoch", "round", "high_qc_round", "leader", "height", "log_size", "log_root", "cosigned_size", "batches_pending", "peers_connected", "timeouts", "rounds_certified", "catching_up", "follower", "leaders_failed", "time_ms")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    HIGH_QC_ROUND_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    LOG_SIZE_FIELD_NUMBER: _ClassVar[int]
    LOG_ROOT_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PENDING_FIELD_NUMBER: _ClassVar[int]
    PEERS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_CERTIFIED_FIELD_NUMBER: _ClassVar[int]
    CATCHING_UP_FIELD_NUMBER: _ClassVar[int]
    FOLLOWER_FIELD_NUMBER: _ClassVar[int]
    LEADERS_FAILED_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    replica: int
    epoch: int
    round: int
    high_qc_round: int
    leader: int
    height: int
    log_size: int
    log_root: bytes
    cosigned_size: int
    batches_pending: int
    peers_connected: int
    timeouts: int
    rounds_certified: int
    catching_up: bool
    follower: bool
    leaders_failed: _containers.RepeatedScalarFieldContainer[int]
    time_ms: int
    def __init__(self, replica: _Optional[int] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., high_qc_round: _Optional[int] = ..., leader: _Optional[int] = ..., height: _Optional[int] = ..., log_size: _Optional[int] = ..., log_root: _Optional[bytes] = ..., cosigned_size: _Optional[int] = ..., batches_pending: _Optional[int] = ..., peers_connected: _Optional[int] = ..., timeouts: _Optional[int] = ..., rounds_certified: _Optional[int] = ..., catching_up: _Optional[bool] = ..., follower: _Optional[bool] = ..., leaders_failed: _Optional[_Iterable[int]] = ..., time_ms: _Optional[int] = ...) -> None: ...
