"""The ledger's numbers that are read when somebody scrapes."""

from collections.abc import Callable

from heptad.observability import catalogue
from heptad.observability.metrics import Metrics
from heptad_ledger.backup.overdue import OverdueKeys
from heptad_ledger.lending.loans import LoanBook
from heptad_ledger.parts import Parts
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.watching import Watches


def export_measures(
    metrics: Metrics,
    parts: Parts,
    *,
    is_store_full: Callable[[], bool],
    overdue_keys: OverdueKeys,
    queries: EntryQueries,
    watches: Watches,
    loans: LoanBook,
    now_s: Callable[[], float],
) -> None:
    """Let the gauges read what is there; `now_s` is the clock of the loans."""
    store, routing_key = parts.store, parts.vault.current_routing_key

    def count_leases() -> int:
        loans.sweep(now_s())
        return len(loans)

    numbers: dict[catalogue.Metric, Callable[[], float]] = {
        catalogue.LEDGER_LOG_SIZE: lambda: store.state.size,
        catalogue.LEDGER_SUBJECTS: lambda: store.state.subjects,
        catalogue.LEDGER_DUPLICATES_TOTAL: lambda: store.state.duplicates,
        catalogue.LEDGER_UNFILED_TOTAL: lambda: store.state.unfiled,
        catalogue.LEDGER_STORE_FULL: is_store_full,
        catalogue.LEDGER_BACKUP_KEYS_OVERDUE: lambda: overdue_keys.count,
        catalogue.LEDGER_WATCHES_ACTIVE: lambda: watches.count,
        catalogue.LEDGER_SCANS_ACTIVE: lambda: queries.turns.scan_count,
        catalogue.LEDGER_ENTRIES_READ_TOTAL: lambda: queries.cost_total,
        catalogue.VAULT_LEASES_ACTIVE: count_leases,
        catalogue.VAULT_ROUTING_KEY_TIME_SECONDS: lambda: routing_key().created_ms / 1000,
    }
    for metric, number in numbers.items():
        _read(metrics, metric, number)


def _read(metrics: Metrics, metric: catalogue.Metric, number: Callable[[], float]) -> None:
    metrics.read(metric, lambda: {(): float(number())})
