"""Tells of backup keys that should be gone: a certificate has named their day as a promise.

The ledger does not destroy them by itself: their files lie apart from it, often where it cannot
reach them. It says so in its log, once for each key, in a metric and in `heptad status`.
"""

from pathlib import Path

from heptad.observability.logs import EventLog
from heptad_ledger.backup.key_book import overdue
from heptad_ledger.errors import KeyBookError


class OverdueKeys:
    """What the last look at the book of backup keys has found."""

    def __init__(self, data: Path, log: EventLog) -> None:
        self._data = data
        self._log = log
        self._told: frozenset[str] = frozenset()
        self.count = 0
        self.note = ""

    def look(self, *, now_ms: int) -> None:
        """Read the book. One that cannot be read counts as one key that is overdue."""
        try:
            rows = overdue(self._data, now_ms=now_ms)
        except KeyBookError as error:
            self.count, self.note = 1, f"the book of backup keys cannot be read: {error}"
            self._log.failure("backup_key_book_unreadable", error)
            return
        self.count = len(rows)
        self.note = f"{len(rows)} backup key(s) overdue: heptad ledger backup-keys" if rows else ""
        for row in rows:
            if row.id not in self._told:
                self._log.error("backup_key_overdue", id=row.id, expired_ms=row.expires_ms)
        self._told = frozenset(row.id for row in rows)
