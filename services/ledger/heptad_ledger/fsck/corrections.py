"""What `--repair` writes: rows and files that follow from others, and nothing else.

Corrections are gathered while the check runs, because that is where the right content is known, and
are written only if everything that they follow from was found good. A repair is one transaction, so
a crash in the middle leaves the store as it was.
"""

from dataclasses import dataclass, field
from typing import Final

from heptad_ledger.errors import StoreFullError
from heptad_ledger.fsck.findings import Code
from heptad_ledger.store.environment import Environment
from heptad_ledger.store.totals import drop_totals, put_totals
from heptad_ledger.store.wave import Totals

ROWS_MAX: Final = 16_384
"""Rows of tables that one repair writes: 128 MB of tiles at most. For more, repair again."""

GROUND: Final = frozenset(
    {
        Code.PAGE_DAMAGED,
        Code.TABLE_DAMAGED,
        Code.STATE_DAMAGED,
        Code.ENTRIES_MISSING,
        Code.ENTRY_ALTERED,
        Code.ROOT_CONTRADICTED,
        Code.CHECKPOINT_CONTRADICTED,
    }
)
"""With any of these the entries themselves are in doubt, and nothing is made from them."""


@dataclass(slots=True)
class Corrections:
    """Rows to put, tables that hold rows too many, and totals, if they are wrong."""

    rows: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    left_out: int = 0
    extra: set[str] = field(default_factory=set)
    totals: Totals | None = None

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """A row is missing or wrong."""
        if len(self.rows) < ROWS_MAX:
            self.rows[table, key] = value
        else:
            self.left_out += 1

    def apply(self, environment: Environment, *, size: int) -> int:
        """Write them; return how many rows that were. Raises: StoreFullError, StoreDamagedError."""
        if not self.rows and self.totals is None:
            return 0
        with environment.writing() as transaction:
            for (table, key), value in self.rows.items():
                if not transaction.put(key, value, db=environment.table(table)):
                    raise StoreFullError(f"{table}: a row could not be put")
            if self.totals is not None:
                drop_totals(transaction, environment)
                put_totals(transaction, environment, self.totals, size=size)
        return len(self.rows) + (self.totals is not None)
