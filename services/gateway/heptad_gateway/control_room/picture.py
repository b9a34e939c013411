"""The picture of a cell, computed from what its members export: pure, so that tests can draw any.

It says less than Prometheus knows, and says it in words: what state each member is in, and what
somebody has to look at, with the runbook's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from heptad.observability.exposition import Exposition
from heptad_gateway.control_room.rates import Span

CHECKPOINT_AGE_S_MAX: Final = 60.0
DISK_FREE_PART_MIN: Final = 0.1
ERRORS_PART_MAX: Final = 0.01
REQUESTS_MIN: Final = 20.0
"""Of fewer requests nothing is concluded: one slow or failed one is no rate."""

LATENCY_S_MAX: Final = 0.1
LEDGER_LAG_BLOCKS_MAX: Final = 500
CLOCK_OFFSET_S_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody has to look at; `runbook` is the name of a page in docs/runbooks."""

    severity: str
    text: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What the picture has to know beforehand: the ids of those that are watched.

    `members` are all but the replicas, the gateway first, which always sees itself.
    """

    gateway: str
    replicas: tuple[str, ...]
    members: tuple[str, ...]
    ledger: str

    @property
    def quorum(self) -> int:
        """n - f."""
        return len(self.replicas) - (len(self.replicas) - 1) // 3


def draw(cell: Cell, *, recent: Span, longer: Span, unix_s: float) -> dict[str, object]:
    """The picture as it goes out: `recent` gives rates, `longer` latencies, time is Unix time."""
    replicas = [_replica(cell, name, recent) for name in cell.replicas]
    traffic = _traffic(cell.gateway, recent, longer)
    ledger = _ledger(cell, recent, unix_s)
    members = [_member(name, recent) for name in cell.members]
    alerts = [
        *_alerts(cell, replicas, members, recent, unix_s),
        *_traffic_alerts(cell.gateway, traffic, longer),
    ]
    return {
        "time_ms": int(unix_s * 1000),
        "verdict": _verdict(alerts),
        "alerts": [asdict(alert) for alert in alerts],
        "quorum": cell.quorum,
        "quantum_safe": _quantum_safe(recent),
        "traffic": traffic,
        "replicas": replicas,
        "members": members,
        "ledger": ledger,
    }


def _quantum_safe(span: Span) -> dict[str, int]:
    """At how many listeners, of those that tell, the key exchange withstands quantum computers."""
    told = [
        value
        for page in span.after.pages.values()
        if page is not None and (value := page.value("tls_quantum_safe")) is not None
    ]
    return {"yes": sum(value == 1 for value in told), "of": len(told)}


def _verdict(alerts: Sequence[Alert]) -> str:
    if any(alert.severity == "critical" for alert in alerts):
        return "trouble"
    return "attention" if alerts else "well"


def _traffic(gateway: str, recent: Span, longer: Span) -> dict[str, object]:
    page = recent.after.pages.get(gateway)
    rates = {
        status: recent.rate(gateway, "http_requests_total", status=status)
        for status in (page.by("status", "http_requests_total") if page else ())
    }
    codes = page.by("code", "heptad_refusals_total") if page else {}
    durations = "http_request_duration_seconds"
    return {
        "requests_per_s": sum(rates.values(), 0.0),
        "errors_per_s": sum(
            (rate for status, rate in rates.items() if status.startswith("5")), 0.0
        ),
        "statuses_per_s": rates,
        "p50_s": longer.quantile(gateway, durations, 0.50),
        "p95_s": longer.quantile(gateway, durations, 0.95),
        "p99_s": longer.quantile(gateway, durations, 0.99),
        "connections": page.value("http_connections_active") if page else None,
        "watches": page.value("http_watches_active") if page else None,
        "in_flight": page.value("http_requests_in_flight") if page else None,
        "refusals_per_min": {
            code: 60 * rate
            for code in codes
            if (rate := longer.rate(gateway, "heptad_refusals_total", code=code)) > 0
        },
    }


def _member(name: str, span: Span) -> dict[str, object]:
    page = span.after.pages.get(name)
    return {"id": name, "state": _state(page), **_usage(name, page, span)}


def _replica(cell: Cell, name: str, span: Span) -> dict[str, object]:
    page = span.after.pages.get(name)
    ledger = span.after.pages.get(cell.ledger)
    return {
        "id": name,
        "state": _state(page),
        "leads": bool(page and page.value("consensus_is_leader")),
        "round": page.value("consensus_round") if page else None,
        "success": page.value("byzantine_consensus_success_rate") if page else None,
        "timeouts_per_min": 60 * span.rate(name, "consensus_timeouts_total"),
        "rounds_behind": _behind(cell, name, span),
        "cosignatures_per_min": 60
        * span.rate(cell.ledger, "ledger_cosignatures_total", replica=name, verdict="good"),
        "cosignatures_refused": sum(
            ledger.total("ledger_cosignatures_total", replica=name, verdict=verdict)
            for verdict in ("bad", "wrong_root")
        )
        if ledger
        else 0.0,
        **_usage(name, page, span),
    }


def _state(page: Exposition | None) -> str:
    if page is None:
        return "silent"
    if page.value("consensus_follows_only"):
        return "follows only"
    if not page.value("heptad_ready"):
        return "not ready"
    return "catching up" if page.value("consensus_catching_up") else "ready"


def _behind(cell: Cell, name: str, span: Span) -> float | None:
    """How many rounds it is behind the replica that is furthest."""
    rounds = {
        each: page.value("consensus_round")
        for each in cell.replicas
        if (page := span.after.pages.get(each)) is not None
    }
    own = rounds.get(name)
    return None if own is None else max(value or 0.0 for value in rounds.values()) - own


def _usage(name: str, page: Exposition | None, span: Span) -> dict[str, object]:
    if page is None:
        return {"cpu": None, "memory_bytes": None, "disk_free": None, "version": None}
    free, size = page.value("data_free_bytes"), page.value("data_size_bytes")
    versions = page.samples("heptad_build_info")
    return {
        "cpu": span.rate(name, "process_cpu_seconds_total"),
        "memory_bytes": page.value("process_resident_memory_bytes"),
        "disk_free": free / size if free is not None and size else None,
        "version": versions[0].labels.get("version") if versions else None,
    }


def _ledger(cell: Cell, span: Span, unix_s: float) -> dict[str, object]:
    page = span.after.pages.get(cell.ledger)
    if page is None:
        return {}
    checkpoint_s = page.value("ledger_checkpoint_time_seconds")
    return {
        "log_size": page.value("ledger_log_size"),
        "published_size": page.value("ledger_published_size"),
        "static_size": page.value("ledger_static_size"),
        "entries_per_s": _growth(cell.ledger, span),
        "checkpoint_age_s": max(unix_s - checkpoint_s, 0.0) if checkpoint_s else None,
        "cosignatures": page.value("ledger_checkpoint_cosignatures"),
        "lag_blocks": _median(list(page.by("replica", "ledger_lag_blocks").values())),
        "subjects": page.value("ledger_subjects"),
        "leases": page.value("vault_leases_active"),
        "erasures": page.by("state", "ledger_erasures_total"),
    }


def _growth(ledger: str, span: Span) -> float:
    pages = span.pages_of(ledger)
    if pages is None or span.before is span.after:
        return 0.0
    before, after = (page.value("ledger_log_size") or 0.0 for page in pages)
    return max(after - before, 0.0) / span.seconds


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _alerts(
    cell: Cell,
    replicas: Sequence[Mapping[str, object]],
    members: Sequence[Mapping[str, object]],
    span: Span,
    unix_s: float,
) -> Iterator[Alert]:
    ready = sum(row["state"] in ("ready", "catching up") for row in replicas)
    if replicas and ready < cell.quorum:
        text = f"{ready} of {len(replicas)} replicas are ready: nothing can be recorded"
        yield Alert("critical", text, "HeptadQuorumLost")
    elif ready == cell.quorum and ready < len(replicas):
        text = f"{ready} of {len(replicas)} replicas are ready: not one more may fail"
        yield Alert("critical", text, "HeptadQuorumAtRisk")
    for row in (*replicas, *members):
        yield from _member_alerts(row)
    for name, page in span.after.pages.items():
        if page is not None:
            yield from _alarms_of(name, page)
    page = span.after.pages.get(cell.ledger)
    if page is not None:
        yield from _ledger_alerts(page, unix_s)


def _member_alerts(row: Mapping[str, object]) -> Iterator[Alert]:
    match row["state"]:
        case "silent":
            yield Alert("warning", f"{row['id']} does not answer", "HeptadMemberDown")
        case "not ready":
            yield Alert("warning", f"{row['id']} is not ready", "HeptadMemberNotReady")
        case "follows only":
            text = f"{row['id']} has lost its safety record and signs nothing"
            yield Alert("critical", text, "HeptadReplicaFollowsOnly")
    free = row["disk_free"]
    if isinstance(free, float) and free < DISK_FREE_PART_MIN:
        text = f"{free:.0%} of the disk of {row['id']} is free"
        yield Alert("warning", text, "HeptadDiskFilling")


def _alarms_of(name: str, page: Exposition) -> Iterator[Alert]:
    if page.value("ledger_store_full"):
        yield Alert("critical", f"{name} cannot write for want of room", "HeptadStoreFull")
    if keys := page.value("ledger_backup_keys_overdue"):
        text = f"{keys:.0f} backup keys should have been destroyed"
        yield Alert("critical", text, "HeptadBackupKeyOverdue")
    if page.value("tls_quantum_safe") == 0:
        text = f"{name} wants a key exchange that quantum computers may break"
        yield Alert("warning", text, "HeptadQuantumUnsafe")
    offset_s = page.value("validator_clock_offset_seconds") or 0.0
    if abs(offset_s) > CLOCK_OFFSET_S_MAX:
        yield Alert("warning", f"the clock of {name} is off by {offset_s:+.1f} s", "HeptadClockOff")
    accused = {s.labels.get("accused", "") for s in page.samples("consensus_equivocations_total")}
    for who in sorted(accused):
        text = f"{name} holds a proof that {who} broke the protocol"
        yield Alert("critical", text, "HeptadEquivocation")


def _ledger_alerts(page: Exposition, unix_s: float) -> Iterator[Alert]:
    lag = _median(list(page.by("replica", "ledger_lag_blocks").values())) or 0.0
    if lag > LEDGER_LAG_BLOCKS_MAX:
        yield Alert("warning", f"the ledger is {lag:.0f} blocks behind", "HeptadLedgerBehind")
    size, published = page.value("ledger_log_size"), page.value("ledger_published_size")
    age_s = unix_s - (page.value("ledger_checkpoint_time_seconds") or 0.0)
    if size and published and size > published and age_s > CHECKPOINT_AGE_S_MAX:
        text = f"{size - published:.0f} entries wait for a checkpoint"
        yield Alert("critical", text, "HeptadCheckpointStale")


def _traffic_alerts(gateway: str, traffic: Mapping[str, object], longer: Span) -> Iterator[Alert]:
    requests, errors, p99_s = (
        traffic[name] for name in ("requests_per_s", "errors_per_s", "p99_s")
    )
    assert isinstance(requests, float)
    assert isinstance(errors, float)
    if longer.rate(gateway, "http_requests_total") * longer.seconds < REQUESTS_MIN:
        return
    if errors > ERRORS_PART_MAX * requests:
        text = f"{errors / requests:.1%} of requests fail"
        yield Alert("critical", text, "HeptadErrorRateHigh")
    if isinstance(p99_s, float) and p99_s > LATENCY_S_MAX:
        text = f"the slowest hundredth of requests takes {1000 * p99_s:.0f} ms"
        yield Alert("warning", text, "HeptadLatencyHigh")
