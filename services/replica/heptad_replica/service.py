"""One member of the group, as a gRPC service: peers, validators and ledgers at its doors.

Everything that changes the replica goes through the driver's loop; the doors only queue events,
read the store and pass on what the loop has made durable.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import grpc

from heptad.consensus.events import EvidenceReceived
from heptad.consensus.facts import RECORD_LOST
from heptad.consensus.messages import MESSAGE_BYTES_MAX
from heptad.consensus.objects import CommittedBlock, Cosignature
from heptad.consensus.ready import BatchOutcome, Fact
from heptad.model.ids import Height, MemberIndex
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX
from heptad.runtime.config.replica import ReplicaConfig
from heptad.runtime.group import member_index
from heptad.runtime.identity import ALL_ROLES, Role
from heptad.runtime.service import Context, ServiceKind
from heptad.runtime.streams import add_frame_handlers
from heptad.wire.convert.replica import ReplicaStatus, to_status_response
from heptad.wire.replica.v1 import replica_pb2
from heptad.wire.streams import AppliedFrame
from heptad_replica.clock import Clock, GroupTime
from heptad_replica.followers import FollowerDoor
from heptad_replica.loop import DriverLoop, EventQueue
from heptad_replica.peer_door import PeerDoor
from heptad_replica.peers import PeerLink, PeerOutbox
from heptad_replica.reporting import Reporter, read_status
from heptad_replica.storage import PRUNE_BLOCKS_MAX
from heptad_replica.tracing import BatchTraces
from heptad_replica.validators import ValidatorDoor
from heptad_replica.wiring import build_driver, mark_started, open_store

SERVICE: Final = "heptad.replica.v1.ReplicaService"
ROLES: Final = {
    f"/{SERVICE}/PeerStream": frozenset({Role.REPLICA}),
    f"/{SERVICE}/SubmitBatches": frozenset({Role.VALIDATOR}),
    f"/{SERVICE}/Follow": frozenset({Role.LEDGER}),
    f"/{SERVICE}/GetStatus": ALL_ROLES,
}

CALLS_MAX: Final = {
    f"/{SERVICE}/PeerStream": 4,
    f"/{SERVICE}/SubmitBatches": 4,
    f"/{SERVICE}/Follow": 4,
    f"/{SERVICE}/GetStatus": 32,
}
"""A stream and those that linger half open after a break, for each caller."""

RECEIVED_BYTES_MAX: Final = MESSAGE_BYTES_MAX + (64 << 10)
"""The longest consensus message, in its frame. Only what is *sent* to ledgers is longer."""


VOTING: Final = f"{SERVICE}/Voting"
"""For the health service: whether this replica takes part, beyond serving what it holds."""

PRUNE_PAUSE_S: Final = 0.05
"""Between two short transactions of a prune that takes many."""

FOLLOWS: Final = "follows only: the safety record is lost, nothing is signed until it is re-keyed"


class ReplicaService:
    """The doors, the loop and what connects them; the `Sink` of the driver."""

    def __init__(self, context: Context[ReplicaConfig]) -> None:
        self._context = context
        self._store = open_store(context)
        self._reporter = Reporter(log=context.log, metrics=context.metrics)
        self._traces = BatchTraces(context.tracer)
        self._store.on_written = self._traces.written
        self._events = EventQueue()
        self._links = self._peer_links()
        self._outbox = PeerOutbox(self._links)
        self._driver = build_driver(context, store=self._store, outbox=self._outbox, sink=self)
        clock = Clock()
        self._loop = DriverLoop(driver=self._driver, clock=clock, events=self._events)
        self._group_time = GroupTime(clock, context.log)
        self._peers = PeerDoor(events=self._events)
        self._validators = ValidatorDoor(
            store=self._store,
            offer=self._events.offer,
            last_committed=self._driver.last_committed,
            has_room=self._has_room,
            traces=self._traces,
        )
        self._followers = FollowerDoor(
            store=self._store, applied=self._prune, accused=self._accused, traces=self._traces
        )
        self._applied = AppliedFrame(0, 0)
        self._is_pruning = False
        self._register()
        context.health.note = self._note

    # The process's life.

    async def start(self) -> None:
        """The first wave, then the links and the loop."""
        self._loop.start()
        mark_started(self._context)
        is_follower = self._driver.status().is_follower
        if is_follower:
            self._context.log.warning("replica_follows", reason=FOLLOWS)
        await self._context.health.set_part(VOTING, not is_follower)
        for link in self._links.values():
            self._context.tasks.spawn(f"peer {link.member}", link.run())
        self._context.tasks.spawn("loop", self._loop.run())

    async def drain(self) -> None:
        """Nothing to finish: what is not committed is held by validators and other replicas."""

    async def stop(self) -> None:
        """End the loop between two waves, then close the store."""
        self._loop.stop()
        await self._context.tasks.close()
        self._store.close()

    # The driver's sink.

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """See `heptad.consensus.ports.Sink`."""
        self._traces.committed(commits)
        self._validators.committed(commits)
        self._followers.committed(commits)
        self._reporter.committed(commits)
        self._reporter.led(self._driver.status().leaders_failed)

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """See `heptad.consensus.ports.Sink`."""
        self._traces.cosigned(cosignatures)
        self._followers.cosigned(cosignatures)
        self._reporter.cosigned(cosignatures)

    def answered(self, outcomes: Sequence[BatchOutcome]) -> None:
        """See `heptad.consensus.ports.Sink`."""
        self._traces.answered(outcomes)
        self._validators.answered(outcomes)

    def observed(self, facts: Sequence[Fact]) -> None:
        """See `heptad.consensus.ports.Sink`."""
        self._reporter.observed(facts)
        self._group_time.observed(facts)
        if any(fact.name == RECORD_LOST for fact in facts):
            stops = self._context.health.set_part(VOTING, serving=False)
            self._context.tasks.spawn("voting has ended", stops)

    # The doors.

    async def _get_status(self, _request: object, _context: object) -> ReplicaStatus:
        """How this replica is."""
        return self._status()

    def _peer_links(self) -> dict[MemberIndex, PeerLink]:
        context = self._context
        others = (replica.id for replica in context.cell.replicas if replica.id != context.name)
        return {
            member_index(other): PeerLink(
                member=member_index(other),
                channel=context.open_channel(other, message_bytes_max=PEER_MESSAGE_BYTES_MAX),
                offer=self._events.offer,
                queue_bytes_max=context.config.peer_queue_bytes_max,
            )
            for other in others
        }

    def _register(self) -> None:
        streams = {
            "PeerStream": self._peers.serve,
            "SubmitBatches": self._validators.serve,
            "Follow": self._followers.serve,
        }
        add_frame_handlers(self._context.server, service=SERVICE, handlers=streams)
        unary = grpc.unary_unary_rpc_method_handler(
            self._get_status,
            request_deserializer=replica_pb2.GetStatusRequest.FromString,
            response_serializer=to_status_response,
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {"GetStatus": unary})
        self._context.server.add_generic_rpc_handlers((handler,))
        read_status(
            self._context.metrics,
            status=self._driver.status,
            number=self._context.number,
            count=len(self._context.cell.replicas),
        )

    def _accused(self, evidence: bytes) -> None:
        """A ledger hands on a proof of misbehaviour."""
        self._events.offer(EvidenceReceived(evidence))

    def _has_room(self) -> bool:
        """False while the disk holds all that may wait for the ledger."""
        config = self._context.config
        return self._store.stored_bytes() < config.retention_bytes_max + config.backlog_bytes_max

    def _note(self) -> str:
        return FOLLOWS if self._driver.status().is_follower else ""

    def _prune(self, applied: AppliedFrame) -> None:
        """Drop the oldest blocks that the ledger has made durable and published.

        After an erasure there may be many: then a task goes on, a few at a time.
        """
        self._applied = applied
        if self._prune_some() == PRUNE_BLOCKS_MAX and not self._is_pruning:
            self._is_pruning = True
            self._context.tasks.spawn("prune", self._prune_on())

    def _prune_some(self) -> int:
        return self._store.prune(
            height_max=Height(self._applied.height),
            size_max=self._applied.published_size,
            retention_bytes=self._context.config.retention_bytes_max,
            drop_height=self._applied.drop_height,
        )

    async def _prune_on(self) -> None:
        try:
            is_more = True
            while is_more:
                await asyncio.sleep(PRUNE_PAUSE_S)
                is_more = self._prune_some() == PRUNE_BLOCKS_MAX
        finally:
            self._is_pruning = False

    def _status(self) -> ReplicaStatus:
        status = self._driver.status()
        return ReplicaStatus(
            replica=self._context.number,
            epoch=status.epoch,
            round=status.round,
            high_qc_round=status.high_qc_round,
            leader=0 if status.leader is None else status.leader + 1,
            height=status.committed_height,
            log_size=status.head.size,
            log_root=status.head.root,
            cosigned_size=0 if status.cosigned is None else status.cosigned.size,
            batches_pending=status.batches_pending,
            peers_connected=self._outbox.connected,
            timeouts=status.timeouts,
            rounds_certified=status.rounds_certified,
            catching_up=status.is_catching_up,
            follower=status.is_follower,
            leaders_failed=tuple(member + 1 for member in status.leaders_failed),
            time_ms=time.time_ns() // 1_000_000,
        )


async def build(context: Context[ReplicaConfig]) -> ReplicaService:
    """The hook of `heptad.runtime.service`."""
    return ReplicaService(context)


KIND: Final = ServiceKind(
    config=ReplicaConfig,
    build=build,
    roles=ROLES,
    services=(SERVICE,),
    message_bytes_max=PEER_MESSAGE_BYTES_MAX,
    receive_bytes_max=RECEIVED_BYTES_MAX,
    calls_max=CALLS_MAX,
)
