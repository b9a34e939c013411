"""Every metric of Heptad: name, unit, labels, and what it tells.

Names are Prometheus names as they are scraped: the unit stands in the name, counters end in
`_total`. Dashboards and alerts hold on to them, so a name is never changed, only retired. No label
holds anything about a person, and each label has few values: a subject, a request id or an address
is never one.

Beside these every process exports `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_open_fds` and `process_start_time_seconds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Kind(Enum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the catalogue. `buckets` are upper bounds in the metric's unit (histograms)."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
_RECORDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_BYTES: Final = tuple(float(1 << power) for power in range(10, 21))


def _counter(name: str, help_text: str, *labels: str, unit: str = "1") -> Metric:
    return Metric(name, Kind.COUNTER, unit, help_text, labels)


def _gauge(name: str, help_text: str, *labels: str, unit: str = "1") -> Metric:
    return Metric(name, Kind.GAUGE, unit, help_text, labels)


def _latency(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, "s", help_text, labels, _LATENCY_S)


# Gateway.
HTTP_REQUESTS_TOTAL: Final = _counter(
    "http_requests_total", "HTTP requests answered.", "route", "method", "status"
)
HTTP_REQUEST_DURATION_SECONDS: Final = _latency(
    "http_request_duration_seconds", "Time from an HTTP request's head to its answer.", "route"
)
HTTP_CONNECTIONS_ACTIVE: Final = _gauge("http_connections_active", "Open HTTP connections.")
HTTP_WATCHES_ACTIVE: Final = _gauge("http_watches_active", "Open streams of entries.")
HTTP_SCANS_ACTIVE: Final = _gauge(
    "http_scans_active",
    "Lists and counts whose filter takes reading: under way, or in line for that.",
)
HTTP_ENTRIES_READ_TOTAL: Final = _counter(
    "http_entries_read_total",
    "What the ledger's answers have cost and clients were charged, in entries read (about 1 µs).",
)
HTTP_REQUESTS_IN_FLIGHT: Final = _gauge("http_requests_in_flight", "HTTP requests under way.")
REFUSALS_TOTAL: Final = _counter(
    "heptad_refusals_total", "Requests refused, by the code of the error table.", "code"
)

# gRPC, in every service.
GRPC_CALLS_TOTAL: Final = _counter(
    "grpc_calls_total", "gRPC calls ended, by outcome (ok, cancelled or a code).", "method", "code"
)
GRPC_CALL_DURATION_SECONDS: Final = _latency(
    "grpc_call_duration_seconds", "Duration of gRPC calls; of streams, their life.", "method"
)
GRPC_CALLS_ACTIVE: Final = _gauge("grpc_calls_active", "gRPC calls and streams open.", "method")
PEER_CONNECTED: Final = _gauge("peer_connected", "1 while the stream to a peer is open.", "peer")
PEER_RECONNECTS_TOTAL: Final = _counter(
    "peer_reconnects_total", "Streams to a peer that broke and were opened anew.", "peer"
)

# Validator.
REQUESTS_ADMITTED_TOTAL: Final = _counter(
    "validator_requests_admitted_total", "Requests that passed stage 1.", "algorithm"
)
EVENTS_ADMITTED_TOTAL: Final = _counter(
    "validator_events_admitted_total", "Events of service bundles that were admitted."
)
REQUESTS_REPLAYED_TOTAL: Final = _counter(
    "validator_requests_replayed_total", "Requests answered with the stored result."
)
REQUESTS_IN_FLIGHT: Final = _gauge(
    "validator_requests_in_flight", "Requests admitted and not yet answered."
)
COMMIT_LATENCY_SECONDS: Final = _latency(
    "validator_commit_latency_seconds", "Time from a batch's sending to its commit."
)
BATCH_RECORDS: Final = Metric(
    "validator_batch_records", Kind.HISTOGRAM, "1", "Records in a batch.", (), _RECORDS
)
BATCH_BYTES: Final = Metric(
    "validator_batch_bytes", Kind.HISTOGRAM, "By", "Bytes of a batch.", (), _BYTES
)
BATCHES_OUTSTANDING: Final = _gauge(
    "validator_batches_outstanding", "Batches sent and not yet committed."
)
BATCHES_RESENT_TOTAL: Final = _counter(
    "validator_batches_resent_total", "Batches sent again since their commit did not come."
)
REQUESTS_WAITING: Final = _gauge(
    "validator_requests_waiting",
    "Requests that wait for their subject's lease, or for the ledger's word on a replay.",
)
CLOCK_OFFSET_SECONDS: Final = Metric(
    "validator_clock_offset_seconds",
    Kind.GAUGE,
    "s",
    "By how much this machine's wall clock is ahead of the replicas' clocks (their median).",
)
LEASES_HELD: Final = _gauge("validator_leases_held", "Leases of subject keys held in memory.")

# Replica.
CONSENSUS_SUCCESS_RATE: Final = _gauge(
    "byzantine_consensus_success_rate",
    "Rounds that ended with a quorum certificate, of the last 1,000 rounds; 1 while idle.",
)
CONSENSUS_ROUND: Final = _gauge("consensus_round", "Current round.")
CONSENSUS_LEADER: Final = _gauge("consensus_leader", "Number of the current round's leader.")
CONSENSUS_IS_LEADER: Final = _gauge("consensus_is_leader", "1 while this replica leads.")
CONSENSUS_LEADER_FAILED: Final = _gauge(
    "consensus_leader_failed",
    "1 for a replica that failed to lead and has not ended a term since, by the committed chain.",
    "leader",
)
ROUNDS_TOTAL: Final = _counter(
    "consensus_rounds_total", "Rounds entered, by what ended the one before.", "certificate"
)
TIMEOUTS_TOTAL: Final = _counter("consensus_timeouts_total", "Time-outs that this replica signed.")
BLOCKS_COMMITTED_TOTAL: Final = _counter("consensus_blocks_committed_total", "Blocks committed.")
ENTRIES_COMMITTED_TOTAL: Final = _counter(
    "consensus_entries_committed_total", "Log entries committed."
)
BATCHES_PENDING: Final = _gauge("consensus_batches_pending", "Batches that wait for a proposal.")
BATCH_BYTES_PENDING: Final = _gauge(
    "consensus_pending_bytes", "Bytes of batches that wait for a proposal.", unit="By"
)
MESSAGES_REFUSED_TOTAL: Final = _counter(
    "consensus_messages_refused_total", "Messages of peers refused, by reason.", "reason"
)
COSIGNATURES_TOTAL: Final = _counter("consensus_cosignatures_total", "Log heads cosigned.")
EQUIVOCATIONS_TOTAL: Final = _counter(
    "consensus_equivocations_total",
    "Proofs of misbehaviour that this service has verified, one for each charge.",
    "accused",
    "offence",
)
EVIDENCE_COMMITTED_TOTAL: Final = _counter(
    "consensus_evidence_committed_total",
    "Proofs of misbehaviour that became an entry of the log.",
    "accused",
    "offence",
)
FOLLOWS_ONLY: Final = _gauge(
    "consensus_follows_only",
    "1 while this replica signs nothing, because it has lost its safety record.",
)
CATCHING_UP: Final = _gauge("consensus_catching_up", "1 while missed blocks are being fetched.")
STRANDED: Final = _gauge(
    "consensus_stranded",
    "1 while no other replica gives the next block that is missing here, or leads on past it.",
)
JUMPS_TOTAL: Final = _counter(
    "consensus_jumps_total", "Times that blocks were skipped because nobody holds them any more."
)
CHARGES_PROVEN: Final = _gauge(
    "consensus_charges_proven", "Charges of misbehaviour of which the log holds a proof."
)

# Ledger.
LEDGER_LOG_SIZE: Final = _gauge("ledger_log_size", "Entries applied.")
LEDGER_PUBLISHED_SIZE: Final = _gauge("ledger_published_size", "Size of the last checkpoint.")
LEDGER_LAG_BLOCKS: Final = _gauge(
    "ledger_lag_blocks", "Committed blocks that are not applied yet.", "replica"
)
LEDGER_CHECKPOINT_TIME_SECONDS: Final = _gauge(
    "ledger_checkpoint_time_seconds", "Unix time of the last checkpoint.", unit="s"
)
LEDGER_COSIGNATURES_TOTAL: Final = _counter(
    "ledger_cosignatures_total",
    "Cosignatures received, by replica and verdict.",
    "replica",
    "verdict",
)
LEDGER_CHECKPOINT_COSIGNATURES: Final = _gauge(
    "ledger_checkpoint_cosignatures", "Cosignatures on the last checkpoint."
)
LEDGER_FRAMES_REFUSED_TOTAL: Final = _counter(
    "ledger_frames_refused_total", "Times that a replica was caught sending wrong.", "replica"
)
LEDGER_APPLY_SECONDS: Final = _latency(
    "ledger_apply_seconds", "Time to apply one wave of committed blocks."
)
LEDGER_DUPLICATES_TOTAL: Final = _counter(
    "ledger_duplicates_total", "Entries found to be later copies of a request."
)
LEDGER_UNFILED_TOTAL: Final = _counter(
    "ledger_unfiled_total", "Sealed records that could not be filed; their leaves stay."
)
LEDGER_STORE_FULL: Final = _gauge(
    "ledger_store_full", "1 while nothing new can be written for want of room, else 0."
)
LEDGER_BACKUP_KEYS_OVERDUE: Final = _gauge(
    "ledger_backup_keys_overdue", "Backup keys whose day has come and that are not destroyed."
)
LEDGER_ERASURES_TOTAL: Final = _counter(
    "ledger_erasures_total",
    "Erasures that have come to a state: received, ordered, erased, refused.",
    "state",
)
LEDGER_ERASURES_OPEN: Final = _gauge(
    "ledger_erasures_open", "Erasures that the ledger is at work on, by state.", "state"
)
LEDGER_ERASURE_UNDECIDED_AGE: Final = _gauge(
    "ledger_erasure_undecided_age_seconds",
    "How long the oldest request for an erasure that nobody has decided has been here; 0: none is.",
)
LEDGER_WATCHES_ACTIVE: Final = _gauge("ledger_watches_active", "Open watches of entries.")
LEDGER_SCANS_ACTIVE: Final = _gauge(
    "ledger_scans_active", "Lists and counts under way that read much."
)
LEDGER_ENTRIES_READ_TOTAL: Final = _counter(
    "ledger_entries_read_total",
    "What lists, counts and watches have cost, in entries read (about 1 µs each).",
)
LEDGER_SUBJECTS: Final = _gauge("ledger_subjects", "Registered subjects.")
LEDGER_STATIC_SIZE: Final = _gauge(
    "ledger_static_size", "Size of the checkpoint in the folder of static files."
)
LEDGER_STATIC_FAILURES_TOTAL: Final = _counter(
    "ledger_static_failures_total", "Times that the folder of static files could not be written."
)
VAULT_ROUTING_KEY_TIME_SECONDS: Final = _gauge(
    "vault_routing_key_time_seconds", "When the current routing key was made, in Unix seconds."
)
VAULT_LEASES_ACTIVE: Final = _gauge("vault_leases_active", "Leases given out and not run out.")

# The auditor's daemon.
AUDIT_VERIFIED_SIZE: Final = _gauge(
    "audit_verified_size", "Entries of the log that were hashed up to a cosigned root."
)
AUDIT_CHECKPOINT_TIME_SECONDS: Final = _gauge(
    "audit_checkpoint_time_seconds",
    "Unix time at which a quorum had cosigned the newest checkpoint; its age is time() minus this.",
    unit="s",
)
AUDIT_ENTRIES_TOTAL: Final = _counter("audit_entries_total", "Entries read, hashed and compared.")
AUDIT_RECHECKED_BUNDLES_TOTAL: Final = _counter(
    "audit_rechecked_bundles_total", "Bundles read again and proved, with the tiles above them."
)
AUDIT_RECHECK_ROUNDS_TOTAL: Final = _counter(
    "audit_recheck_rounds_total", "Times that all of the log was walked round and read again."
)
AUDIT_PROVED_SINCE_TIME_SECONDS: Final = _gauge(
    "audit_proved_since_time_seconds",
    "Unix time since which every bundle and tile of the log was read and proved; 0 before that.",
    unit="s",
)
AUDIT_ALARMS_TOTAL: Final = _counter(
    "audit_alarms_total", "Alarms, each once however often it is seen, by kind.", "kind"
)
AUDIT_ALARMS_OPEN: Final = _gauge("audit_alarms_open", "Alarms that the last look raised.")
AUDIT_SOURCE_ERRORS_TOTAL: Final = _counter(
    "audit_source_errors_total", "Looks for which the log could not be reached or read."
)
AUDIT_SOURCE_UP: Final = _gauge("audit_source_up", "1 if the log could be read the last time.")
AUDIT_LAST_SUCCESS_TIME_SECONDS: Final = _gauge(
    "audit_last_success_time_seconds", "Unix time of the last look without an alarm.", unit="s"
)
AUDIT_UNCOMPARED: Final = _gauge(
    "audit_uncompared", "Other auditors and copies that the last look could not compare with."
)

# Every service.
READY: Final = _gauge("heptad_ready", "1 while the service's health is SERVING.")
BUILD_INFO: Final = _gauge("heptad_build_info", "Always 1.", "version", "cell", "role", "id")
TLS_QUANTUM_SAFE: Final = _gauge(
    "tls_quantum_safe",
    "1 if the gRPC listener wants a key exchange that withstands quantum computers, 0 if not.",
)
DATA_FREE_BYTES: Final = _gauge(
    "data_free_bytes", "Free bytes of the disk that the service's data lie on.", unit="By"
)
DATA_SIZE_BYTES: Final = _gauge("data_size_bytes", "Size of that disk in bytes.", unit="By")
TRACE_SPANS_TOTAL: Final = _counter(
    "trace_spans_total",
    "Spans of traces, by where they were to go (file, collector) and what became of them: exported,"
    " dropped (the queue was full), failed.",
    "sink",
    "fate",
)
TRACES_REFUSED_TOTAL: Final = _counter(
    "traces_refused_total", "Sampled traces that came over the limit and were served without spans."
)
EVENT_LOOP_LAG_SECONDS: Final = _gauge(
    "event_loop_lag_seconds", "How late the event loop ran a timer, the last time.", unit="s"
)


CATALOGUE: Final[Mapping[str, Metric]] = MappingProxyType(
    {metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)}
)
