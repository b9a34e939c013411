"""Puts a validator together: the one place where its parts learn of each other.

Nothing here decides anything. Limits that all members share come from the cell, paces and bounds of
this process from its own configuration.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from heptad.crypto.verifier import BatchVerifier
from heptad.model.ids import ValidatorNumber
from heptad.model.lending import LentElsewhere
from heptad.runtime.attestation import attestation_keys, attestation_keys_in_use
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.group import member_number
from heptad.runtime.service_keys import service_keys
from heptad.runtime.service_kind import Context
from heptad.runtime.vkeys import cell_policy
from heptad_validator.admission import Admission, Queues
from heptad_validator.bundles import BundleRules, Bundles
from heptad_validator.clock import CheckedClock, Clock
from heptad_validator.dispatching.batching import Batcher, BatchLimits
from heptad_validator.dispatching.clock_watch import ClockWatch
from heptad_validator.dispatching.dispatcher import Bounds, Dispatcher
from heptad_validator.dispatching.group_watch import GroupWatch
from heptad_validator.dispatching.incarnation import Life
from heptad_validator.dispatching.replica_links import ReplicaLink
from heptad_validator.dispatching.submission import Submission
from heptad_validator.heartbeat import Heartbeat
from heptad_validator.lending.desk import Home, LeaseDesk
from heptad_validator.lending.evidence import EvidenceVerifier
from heptad_validator.lending.leases import LeaseBook
from heptad_validator.lending.look_ups import LookUps
from heptad_validator.lending.revoking import take_back
from heptad_validator.lending.slots import SlotStock
from heptad_validator.lending.vault_link import VaultLink
from heptad_validator.measures import ValidatorMeasures
from heptad_validator.memory.limits import ServiceLimits, SubjectLimits
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.parts import Parts, Rules
from heptad_validator.private_records import (
    RECORDS_PER_MINUTE_MAX,
    PrivateLimits,
    PrivateRecords,
)
from heptad_validator.recording import Recorder
from heptad_validator.registration import Registrar
from heptad_validator.statements import Statements
from heptad_validator.tracing import RequestTraces
from heptad_validator.waiting import CommitWaits, LeaseQueue

VAULT_MESSAGE_BYTES_MAX: Final = 16 << 20
"""An answer with 256 leases and their proofs is about 1 MiB."""

LEASE_WAIT_S_MAX: Final = 2.5
LEASE_WAITS_MAX: Final = 10_000
RECENT_ANSWERS_MAX: Final = 50_000

CLOCK_SHARE_MS: Final = 500
"""Of each second by which clocks may differ half a second is the clients', half is ours."""

CHUNK: Final = 128
CHUNK_ON_ONE_CORE: Final = 64
"""Below the size from which the verifier asks for a second thread."""


@dataclass(frozen=True, slots=True)
class Validator:
    """A validator, put together and not yet started."""

    parts: Parts
    verifier: BatchVerifier
    vault: VaultLink
    links: tuple[ReplicaLink, ...]
    group: GroupWatch
    clock: CheckedClock
    clock_watch: ClockWatch
    admission: Admission
    registrar: Registrar
    bundles: Bundles
    statements: Statements
    private_records: PrivateRecords
    heartbeat: Heartbeat


def put_together(context: Context[ValidatorConfig], *, life: Life, own: Clock) -> Validator:
    """The validator of `context`, in this life. Raises: ConfigInvalidError."""
    cell, config = context.cell, context.config
    rules, home = rules_of(cell, config), _home(context)
    clock = CheckedClock(own, off_ms_max=cell.limits.clock_skew_s_max * CLOCK_SHARE_MS)
    measures = ValidatorMeasures(metrics=context.metrics, log=context.log)
    recorder = Recorder(validator=ValidatorNumber(context.number))
    book = LeaseBook(leases_max=config.leases_max)
    window = ReplayWindow(entries_max=config.replay_entries_max)
    submission = _submission(context, life)
    dispatcher = _dispatcher(context, submission, clock, measures)
    dispatcher.on_committed = window.committed
    vault, desk = _vault_and_desk(context, book, recorder, home, clock)
    look_ups = LookUps(vault=vault, policy=rules.policy)
    vault.on_lent_elsewhere = partial(_follow_others, look_ups, clock)
    parts = Parts(
        rules=rules,
        home=home,
        clock=clock,
        window=window,
        recent=RecentAnswers(period_ms=config.answer_cache_ms, size_max=RECENT_ANSWERS_MAX),
        limits=SubjectLimits(per_minute_max=cell.limits.subject_requests_per_minute_max),
        book=book,
        desk=desk,
        slots=SlotStock(vault=vault, clock=clock, lease_s_max=home.lease_s_max),
        look_ups=look_ups,
        recorder=recorder,
        dispatcher=dispatcher,
    )
    vault.on_revoked = partial(take_back, parts=parts, vault=vault)
    links = _links(context, submission, dispatcher)
    group = GroupWatch(links, quorum=cell.quorum)
    dispatcher.shortage = lambda: group.shortage
    verifier = BatchVerifier()
    admission = Admission(parts, verifier=verifier, queues=_queues(config))
    registrar = Registrar(parts, admission=admission)
    bundles = _bundles(context, parts, admission)
    return Validator(
        parts=parts,
        verifier=verifier,
        vault=vault,
        links=links,
        group=group,
        clock=clock,
        clock_watch=ClockWatch(links, clock=clock, fault_count=cell.fault_count, log=context.log),
        admission=admission,
        registrar=registrar,
        bundles=bundles,
        statements=Statements(clock=clock, window=window, recorder=recorder, dispatcher=dispatcher),
        private_records=_private_records(cell, parts, admission),
        heartbeat=Heartbeat(
            parts,
            admission=admission,
            registrar=registrar,
            bundles=bundles,
            vault=vault,
            measures=measures,
        ),
    )


def rules_of(cell: Cell, config: ValidatorConfig) -> Rules:
    """What this cell asks of requests."""
    return Rules(
        origin=cell.origin,
        cell_code=cell.code,
        request_bytes_max=cell.limits.request_bytes_max,
        skew_s_max=cell.limits.clock_skew_s_max,
        lifetime_s_max=cell.limits.request_lifetime_s_max,
        policy={service.id: frozenset(service.actions) for service in cell.services},
        open_registration=cell.open_registration,
        chunk=CHUNK if config.verify_threads > 1 else CHUNK_ON_ONE_CORE,
    )


def batch_limits_of(cell: Cell, config: ValidatorConfig) -> BatchLimits:
    """When a batch closes: the cell's limits are hard, the validator's own are wishes."""
    return BatchLimits(
        records_max=cell.limits.batch_records_max,
        bytes_target=config.batch_bytes_target,
        bytes_max=cell.limits.batch_bytes_max,
        age_s_max=config.batch_age_ms_max / 1000,
        age_loaded_s_max=config.batch_age_loaded_ms_max / 1000,
    )


def _bundles(context: Context[ValidatorConfig], parts: Parts, admission: Admission) -> Bundles:
    cell, config = context.cell, context.config
    rules = BundleRules(
        keys=service_keys(cell),
        batch_records_max=cell.limits.batch_records_max,
        batch_bytes_max=cell.limits.batch_bytes_max,
        commit_wait_s=config.commit_wait_ms_max / 1000,
    )
    limits = ServiceLimits(per_minute_max=cell.limits.service_events_per_minute_max)
    return Bundles(parts, admission=admission, rules=rules, limits=limits)


def _private_records(cell: Cell, parts: Parts, admission: Admission) -> PrivateRecords:
    return PrivateRecords(
        parts,
        admission=admission,
        keys=attestation_keys_in_use(cell),
        limits=PrivateLimits(per_minute_max=RECORDS_PER_MINUTE_MAX),
    )


def _home(context: Context[ValidatorConfig]) -> Home:
    cell = context.cell
    return Home(
        number=context.number,
        validators=tuple(member_number(member.id) for member in cell.validators),
        lease_s_max=cell.limits.lease_s_max,
    )


def _queues(config: ValidatorConfig) -> Queues:
    return Queues(
        for_lease=LeaseQueue(count_max=LEASE_WAITS_MAX, wait_s_max=LEASE_WAIT_S_MAX),
        for_commit=CommitWaits(wait_s_max=config.commit_wait_ms_max / 1000),
    )


def _submission(context: Context[ValidatorConfig], life: Life) -> Submission:
    return Submission(
        validator=ValidatorNumber(context.number),
        origin=context.cell.origin,
        incarnation=life.incarnation,
        fault_count=context.cell.fault_count,
        resend_s=context.config.batch_resend_ms / 1000,
        sign=life.batch_key.sign,
    )


def _dispatcher(
    context: Context[ValidatorConfig],
    submission: Submission,
    clock: Clock,
    measures: ValidatorMeasures,
) -> Dispatcher:
    config = context.config
    return Dispatcher(
        batcher=Batcher(batch_limits_of(context.cell, config)),
        submission=submission,
        bounds=Bounds(
            batches_outstanding_max=config.batches_outstanding_max,
            records_max=config.requests_in_flight_max,
            stuck_s=config.commit_wait_ms_max / 1000,
        ),
        fault_count=context.cell.fault_count,
        clock=clock,
        measures=measures,
        log=context.log,
        traces=RequestTraces(context.tracer),
    )


def _links(
    context: Context[ValidatorConfig], submission: Submission, dispatcher: Dispatcher
) -> tuple[ReplicaLink, ...]:
    return tuple(
        ReplicaLink(
            replica_id=replica.id,
            channel=context.open_channel(replica.id),
            submission=submission,
            received=dispatcher.received,
        )
        for replica in context.cell.replicas
    )


def _follow_others(look_ups: LookUps, clock: Clock, lent: LentElsewhere) -> None:
    look_ups.follow_others(lent, now_s=clock.now_ms() // 1000)


def _vault_and_desk(
    context: Context[ValidatorConfig],
    book: LeaseBook,
    recorder: Recorder,
    home: Home,
    clock: Clock,
) -> tuple[VaultLink, LeaseDesk]:
    cell = context.cell

    vault = VaultLink(
        channel=context.open_channel(cell.ledger.id, message_bytes_max=VAULT_MESSAGE_BYTES_MAX),
        on_keys=recorder.use,
    )
    evidence = EvidenceVerifier(
        origin=cell.origin,
        cell_code=cell.code,
        policy=cell_policy(cell),
        keys_max=context.config.leases_max,
        attestation_keys=attestation_keys(cell),
    )
    desk = LeaseDesk(
        book=book, vault=vault, evidence=evidence, home=home, clock=clock, log=context.log
    )
    vault.on_connected = desk.poke
    return vault, desk
