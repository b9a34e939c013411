"""Messages of `heptad.replica.v1` that are not hot: the status."""

from dataclasses import dataclass

from heptad.wire.convert.parsing import parse
from heptad.wire.replica.v1 import replica_pb2


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """How a replica is.

    `replica`, `leader` and `leaders_failed` count from 1; a leader of 0 is not known yet.
    `time_ms` is its machine's wall clock, in Unix ms.
    """

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
    leaders_failed: tuple[int, ...]
    time_ms: int


def to_status_response(status: ReplicaStatus) -> bytes:
    """A GetStatusResponse."""
    response = replica_pb2.GetStatusResponse(
        replica=status.replica,
        epoch=status.epoch,
        round=status.round,
        high_qc_round=status.high_qc_round,
        leader=status.leader,
        height=status.height,
        log_size=status.log_size,
        log_root=status.log_root,
        cosigned_size=status.cosigned_size,
        batches_pending=status.batches_pending,
        peers_connected=status.peers_connected,
        timeouts=status.timeouts,
        rounds_certified=status.rounds_certified,
        catching_up=status.catching_up,
        follower=status.follower,
        leaders_failed=status.leaders_failed,
        time_ms=status.time_ms,
    )
    return response.SerializeToString()


def from_status_response(data: bytes) -> ReplicaStatus:
    """The status in a GetStatusResponse. Raises: Problem `frame_malformed`."""
    response = parse(replica_pb2.GetStatusResponse, data)
    return ReplicaStatus(
        replica=response.replica,
        epoch=response.epoch,
        round=response.round,
        high_qc_round=response.high_qc_round,
        leader=response.leader,
        height=response.height,
        log_size=response.log_size,
        log_root=response.log_root,
        cosigned_size=response.cosigned_size,
        batches_pending=response.batches_pending,
        peers_connected=response.peers_connected,
        timeouts=response.timeouts,
        rounds_certified=response.rounds_certified,
        catching_up=response.catching_up,
        follower=response.follower,
        leaders_failed=tuple(response.leaders_failed),
        time_ms=response.time_ms,
    )
