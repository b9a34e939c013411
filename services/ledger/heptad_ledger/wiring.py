"""Puts a ledger together: the one place where its parts learn of each other."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from heptad.consensus.judging import Judge
from heptad.crypto import signatures
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.entry import Kind
from heptad.model.lending import CellKeys
from heptad.model.log_reads import LedgerStatus, PublishedCheckpoint
from heptad.observability import catalogue
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.channels import MESSAGE_BYTES_MAX, PEER_MESSAGE_BYTES_MAX
from heptad.runtime.config import LedgerConfig, cell_digest
from heptad.runtime.group import agreed_cell, member_index, member_number
from heptad.runtime.service_kind import Context, ServiceKind
from heptad.runtime.vkeys import cell_policy, witness_vkey
from heptad.wire.convert import ledger as ledger_wire
from heptad.wire.convert import privacy as privacy_wire
from heptad.wire.convert import vault as vault_wire
from heptad_ledger import service
from heptad_ledger.apply import Applied
from heptad_ledger.backup.overdue import OverdueKeys
from heptad_ledger.begun import mark_begun, require_may_begin
from heptad_ledger.duplicates import DuplicateReporter, recorder
from heptad_ledger.following.follower import Follower
from heptad_ledger.following.replica_link import ReplicaLink, link_over
from heptad_ledger.following.tracing import BlockTraces
from heptad_ledger.heads import Head
from heptad_ledger.lending import vault_door
from heptad_ledger.lending.desk import LendingDesk
from heptad_ledger.lending.elsewhere import elsewhere_book
from heptad_ledger.lending.evidence import Evidence
from heptad_ledger.lending.key_news import KeyNews, RevokedBook
from heptad_ledger.lending.loans import MARGIN_S, LoanBook
from heptad_ledger.lending.vault_door import VaultDoor
from heptad_ledger.log_reads import LogReads, StoreTiles
from heptad_ledger.measures import export_measures
from heptad_ledger.parts import Parts, open_parts
from heptad_ledger.policy_changes import PolicyChangeReporter
from heptad_ledger.privacy import access_door, accesses
from heptad_ledger.privacy import door as privacy_door
from heptad_ledger.privacy.access_door import AccessDoor
from heptad_ledger.privacy.accesses import AccessRecorder
from heptad_ledger.privacy.assembly import Log, make_exports
from heptad_ledger.privacy.decisions import make_decisions
from heptad_ledger.privacy.erasing import Erasing
from heptad_ledger.privacy.exporting import Exports
from heptad_ledger.publishing.contradictions import Contradiction, prove
from heptad_ledger.publishing.cosignatures import CosignatureBook
from heptad_ledger.publishing.kept import KEPT_FILE, Anchor, read_kept
from heptad_ledger.publishing.publisher import Publisher
from heptad_ledger.publishing.signers import log_signers
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.turns import Pace
from heptad_ledger.queries.watching import WATCHES_PER_CALLER_MAX, Watches
from heptad_ledger.routing_key_keeper import RoutingKeyKeeper
from heptad_ledger.routing_keys import RoutingKeyRotation
from heptad_ledger.service import LedgerDoor
from heptad_ledger.static.making import make_static_keeper
from heptad_ledger.watermark import Watermark


class LedgerService:
    """One ledger, from its files to its doors."""

    def __init__(self, context: Context[LedgerConfig]) -> None:
        self._context = context
        config = context.config
        self._parts = _opened(context)
        self._store = self._parts.store
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-writer")
        self._applied_size = Watermark(self._store.state.size)
        self._equivocations = context.metrics.counter(catalogue.EQUIVOCATIONS_TOTAL)
        self._traces = BlockTraces(context.tracer)
        self._publisher = self._make_publisher()
        self._follower = self._make_follower()
        self._channels: list[grpc.aio.Channel] = []
        self._publisher.on_forger = self._follower.forger
        self._links = self._replica_links()
        self._follower.watch(self._links)
        self._reads = LogReads(
            store=self._store,
            latest=lambda: self._publisher.latest,
            index_key=self._parts.vault.index_key,
            require_settled=self._require_settled,
        )
        self._queries = EntryQueries(
            store=self._store,
            latest=lambda: self._publisher.latest,
            page_size_max=config.page_records_max,
            pace=Pace(lambda: self._follower.is_filing),
        )
        self._watches = Watches(self._queries)
        self._loans = LoanBook(ttl_s=context.cell.limits.lease_s_max, now_s=time.monotonic())
        self._elsewhere = elsewhere_book(context.cell)
        self._validators = self._validator_channels()
        self._erasing = self._make_erasing()
        self._vault_door = VaultDoor(
            desk=self._make_desk(),
            cell_keys=self._cell_keys,
            revoked=RevokedBook(kept_s=self._loans.ttl_s + MARGIN_S),
            now_s=time.monotonic,
            on_fault=self._end_with,
            log=context.log,
        )
        self._key_news = KeyNews(self._vault_door.push_revoked)
        self._erasing.join(self._vault_door)
        self._overdue_keys = OverdueKeys(context.data, context.log)
        self._rotation = self._make_key_keeper()
        self._duplicates = self._make_duplicate_reporter()
        self._accesses = self._make_access_recorder()
        self._static = make_static_keeper(context, self._store)
        self._exports, self._access_door = self._make_exports()
        self._erasing.also_forget = self._exports.forget
        self._open_doors()
        self._export_metrics()

    # The process's life.

    async def start(self) -> None:
        """Begin to follow; reads are served from what is there already."""
        spawn = self._context.tasks.spawn
        spawn("apply", self._follower.run())
        spawn("stalls", self._follower.watch_for_stalls())
        spawn("acknowledge", self._follower.acknowledge(lambda: self._publisher.size.value))
        spawn("publish", self._publisher.run())
        spawn("duplicates", self._duplicates.run())
        spawn("policy changes", self._make_policy_change_reporter().run())
        spawn("routing keys", self._rotation.run())
        spawn("erasures", self._erasing.office.run())
        spawn("erasures owed", self._erasing.open())
        spawn("blocks of the erased", self._erasing.drop())
        if self._static is not None:
            spawn("static files", self._static.run())
        for link in self._links:
            spawn(f"follow {link.replica_id}", link.run())

    async def drain(self) -> None:
        """End the streams of validators and watchers; what is applied is durable at any moment."""
        self._watches.close()
        self._vault_door.close()

    async def stop(self) -> None:
        """End the wave that is under way, then close the files."""
        await self._context.tasks.close()
        await asyncio.gather(*(channel.close() for channel in self._channels))
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._exports.close)
        if self._static is not None:
            await self._static.stop()
        self._parts.close()

    # What happens.

    def _on_applied(self, applied: Applied) -> None:
        state = applied.state
        self._publisher.applied(applied.heads)
        self._applied_size.advance(state.size)
        self._key_news.applied(applied.changed_keys)
        if applied.duplicates or applied.stated:
            self._duplicates.has_news()
        if applied.erasures:
            self._erasing.office.has_news()

    def _on_published(self, checkpoint: PublishedCheckpoint) -> None:
        self._context.log.debug("checkpoint_published", size=checkpoint.size)
        self._traces.published(checkpoint.size)
        self._key_news.published(checkpoint.size)
        self._follower.has_news()
        self._watches.has_news()
        if self._static is not None:
            self._static.has_news()

    def _on_contradiction(self, contradiction: Contradiction) -> bool:
        """A replica has cosigned two histories: the proof goes to all replicas, who log it.

        False if it turns out that both heads are of our history.
        """
        evidence = prove(
            contradiction,
            member=member_index(contradiction.replica),
            origin=self._context.cell.origin,
            tiles=self._reads.tiles,
        )
        if evidence is None:
            return False
        Judge(agreed_cell(self._context.cell), signatures).require(evidence)
        accused, offence = evidence.charge.name, evidence.charge.offence.name.lower()
        self._equivocations.add(1, accused, offence)
        self._context.log.error("misbehaviour_proven", accused=accused, offence=offence)
        for link in self._links:
            link.accuse(evidence.encoded)
        return True

    def _end_with(self, fault: Exception) -> None:
        """End the process: what a failed commit has left, only opening the vault again can tell."""

        async def fail() -> None:
            raise fault

        self._context.tasks.spawn("vault", fail())

    # Construction.

    def _open_doors(self) -> None:
        server = self._context.server
        LedgerDoor(
            reads=self._reads,
            queries=self._queries,
            watches=self._watches,
            read_status=self._status,
        ).register(server)
        self._vault_door.register(server)
        self._access_door.register(server)
        make_decisions(
            self._parts,
            cell=self._context.cell,
            erasures=self._erasing.desk,
            reads=self._reads,
            accesses=self._accesses,
            applied_size=self._applied_size,
            require_settled=self._require_settled,
            metrics=self._context.metrics,
        ).register(server)

    def _make_exports(self) -> tuple[Exports, AccessDoor]:
        log = Log(
            reads=self._reads,
            latest=lambda: self._publisher.latest,
            published_size=self._publisher.size,
            catch_up=self._follower.catch_up,
            require_settled=self._require_settled,
        )
        return make_exports(
            self._context,
            self._parts,
            log=log,
            accesses=self._accesses,
            erasures=self._erasing.desk,
        )

    def _make_publisher(self) -> Publisher:
        context = self._context
        with self._store.snapshot() as snapshot:
            latest = snapshot.latest_checkpoint()
        book = CosignatureBook(
            origin=context.cell.origin,
            witnesses={r.id: witness_vkey(context.cell, r) for r in context.cell.replicas},
            quorum=context.cell.quorum,
            verify=signatures.verify,
            skew_s_max=context.config.cosignature_skew_s_max,
        )
        publisher = Publisher(
            store=self._store,
            book=book,
            anchor=self._make_anchor(),
            latest=latest,
            signers=log_signers(context.cell, context.keys),
            writer=self._writer,
            now_s=_now_s,
            log=context.log,
            metrics=context.metrics,
        )
        publisher.on_published = self._on_published
        publisher.on_contradiction = self._on_contradiction
        state = self._store.state
        publisher.applied([Head(state.size, state.edge.root(), state.time_ms)])
        return publisher

    def _make_follower(self) -> Follower:
        return Follower(
            ingest=self._parts.ingest,
            writer=self._writer,
            applied_height=self._store.state.height,
            fetch_bytes_max=self._context.config.fetch_bytes_max,
            on_applied=self._on_applied,
            on_cosignature=self._publisher.offer,
            log=self._context.log,
            metrics=self._context.metrics,
            traces=self._traces,
        )

    def _make_anchor(self) -> Anchor:
        kept = read_kept(self._context.data / KEPT_FILE, cell_policy(self._context.cell))
        return Anchor(kept, StoreTiles(self._store))

    def _replica_links(self) -> list[ReplicaLink]:
        return [
            link_over(
                self._open_channel(replica.id, message_bytes_max=PEER_MESSAGE_BYTES_MAX),
                replica.id,
                self._follower,
            )
            for replica in self._context.cell.replicas
        ]

    def _open_channel(
        self, member_id: str, *, message_bytes_max: int = MESSAGE_BYTES_MAX
    ) -> grpc.aio.Channel:
        channel = self._context.open_channel(member_id, message_bytes_max=message_bytes_max)
        self._channels.append(channel)
        return channel

    def _make_desk(self) -> LendingDesk:
        return LendingDesk(
            store=self._store,
            vault=self._parts.vault,
            registry=self._parts.registry,
            evidence=Evidence(self._reads),
            loans=self._loans,
            elsewhere=self._elsewhere,
            applied_size=self._applied_size,
            published_size=self._publisher.size,
            catch_up=self._follower.catch_up,
            now_s=time.monotonic,
            require_settled=self._require_settled,
        )

    def _make_erasing(self) -> Erasing:
        context = self._context
        return Erasing(
            self._parts,
            data=context.data,
            cell=context.cell,
            config=context.config,
            key=load_service_key(context.keys / KeyRole.ATTESTATION.file_name),
            channels=list(self._validators.values()),
            loans=self._loans,
            elsewhere=self._elsewhere,
            writer=self._writer,
            catch_up=self._follower.catch_up_anew,
            drop_until=self._follower.drop_until,
            log=context.log,
            metrics=context.metrics,
        )

    def _make_key_keeper(self) -> RoutingKeyKeeper:
        return RoutingKeyKeeper(
            RoutingKeyRotation(
                self._parts.vault, age_ms_max=self._context.config.routing_key_s_max * 1000
            ),
            erased_ms=self._erasing.last_erased_ms,
            news=self._erasing.keys_erased,
            catch_up=self._follower.catch_up,
            applied_ms=lambda: self._store.state.time_ms,
            on_rotated=self._vault_door.push_cell_keys,
            look=self._overdue_keys.look,
            log=self._context.log,
        )

    def _require_settled(self) -> None:
        """Raises: Problem `vault_unavailable` before a restored ledger has replayed erasures."""
        self._erasing.gate.require_open()

    def _validator_channels(self) -> dict[int, grpc.aio.Channel]:
        """By the validator's number."""
        return {
            member_number(validator.id): self._open_channel(validator.id)
            for validator in self._context.cell.validators
        }

    def _make_duplicate_reporter(self) -> DuplicateReporter:
        return DuplicateReporter(
            store=self._store,
            record=recorder(list(self._validators.values()), Kind.DUPLICATE),
            validator_count=len(self._validators),
            now_s=time.monotonic,
            log=self._context.log,
        )

    def _make_policy_change_reporter(self) -> PolicyChangeReporter:
        return PolicyChangeReporter(
            store=self._store,
            writer=self._writer,
            applied_size=self._applied_size,
            cell_sha256=cell_digest(self._context.home),
            record=recorder(list(self._validators.values()), Kind.POLICY_CHANGE),
            validator_count=len(self._validators),
            log=self._context.log,
        )

    def _make_access_recorder(self) -> AccessRecorder:
        context = self._context
        return AccessRecorder(
            store=self._store,
            index_key=self._parts.vault.index_key,
            record=accesses.recorder(self._validators),
            validators=tuple(self._validators),
            key=load_service_key(context.keys / KeyRole.ATTESTATION.file_name),
            ledger_id=context.cell.ledger.id,
            origin=context.cell.origin,
            now_s=_now_s,
            log=context.log,
        )

    def _cell_keys(self) -> CellKeys:
        vault = self._parts.vault
        routing = vault.current_routing_key().key
        return CellKeys(vault.index_key(), routing.key_id, routing.key)

    # How it is.

    def _status(self) -> LedgerStatus:
        state = self._store.state
        return LedgerStatus(
            ledger=self._context.number,
            height=state.height,
            size=state.size,
            root=state.edge.root(),
            checkpoint_size=self._publisher.size.value,
            replicas_connected=self._follower.connected_count,
            subjects=state.subjects,
            duplicates=state.duplicates,
            applied_time_ms=state.time_ms,
        )

    def _note(self) -> str:
        """What an operator should know of a ledger that is up; `heptad status` shows it."""
        if self._publisher.contradicted:
            return f"publishes nothing: {self._publisher.contradicted}"
        if self._is_store_full():
            return "store full: what is there is served, nothing new is written until there is room"
        size, kept_size = self._store.state.size, self._publisher.kept_size
        if size < kept_size:
            return f"publishes nothing yet: {size} entries, the kept checkpoint has {kept_size}"
        return self._erasing.gate.note or self._overdue_keys.note

    def _is_store_full(self) -> bool:
        return self._follower.is_store_full or self._publisher.is_store_full

    def _export_metrics(self) -> None:
        self._context.health.note = self._note
        export_measures(
            self._context.metrics,
            self._parts,
            is_store_full=self._is_store_full,
            overdue_keys=self._overdue_keys,
            queries=self._queries,
            watches=self._watches,
            loans=self._loans,
            now_s=time.monotonic,
        )


def _opened(context: Context[LedgerConfig]) -> Parts:
    """The ledger's files. Raises: StoreError; heptad.vault.errors.VaultFaultError."""
    require_may_begin(data=context.data, keys=context.keys)
    parts = open_parts(
        context.data,
        cell=agreed_cell(context.cell),
        cell_code=context.cell.code,
        config=context.config,
        now_ms=_now_ms(),
        attestation_keys=attestation_keys(context.cell),
    )
    mark_begun(data=context.data, keys=context.keys, log=context.log)
    return parts


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _now_s() -> int:
    return int(time.time())


async def build(context: Context[LedgerConfig]) -> LedgerService:
    """The hook of `heptad.runtime.service`."""
    return LedgerService(context)


KIND: Final = ServiceKind(
    config=LedgerConfig,
    build=build,
    roles={**service.ROLES, **vault_door.ROLES, **access_door.ROLES, **privacy_door.ROLES},
    services=(ledger_wire.SERVICE, vault_wire.SERVICE, privacy_wire.SERVICE),
    calls_max={
        service.WATCH: WATCHES_PER_CALLER_MAX,
        access_door.EXPORT: access_door.EXPORTS_PER_CALLER_MAX,
    },
)
