"""No private read, and no lease, before a restored ledger has carried out what it has missed.

A ledger that was restored from a backup, cloned from a public log, or begun anew over an old vault
may hold keys that were destroyed since: it owes those erasures. The orders are in the log, and the
log is at the replicas. So until it has applied what they have committed and has carried out every
order in it, nothing is read for anybody that leads to a person, and no key is lent. What is public
(entries, tiles, checkpoints) holds nothing that an erasure takes away, and is served.

If no replica holds the blocks that are missing, the gate stays shut: `heptad status` says so.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad_ledger.store import LogStore

OLD_VAULT: Final = "old_vault"
"""Kept when a log begins with a vault that has given slots out before."""

OWING: Final = ("restored", "cloned", OLD_VAULT)
"""Names of what is kept in a store that owes erasures."""

REPLAYED: Final = "replayed"
CATCH_UP_S: Final = 60.0


class ReplayGate:
    """Shut until `settle` has run, if the store owes anything."""

    def __init__(
        self,
        store: LogStore,
        *,
        catch_up: Callable[[float], Awaitable[bool]],
        carry_out: Callable[[], Awaitable[None]],
        keep: Callable[[str, bytes], Awaitable[None]],
        log: EventLog,
    ) -> None:
        """`catch_up` waits, so many seconds at most, until what is committed now is applied.
        `keep` keeps a value in the store, by the thread that writes to it.
        """
        self._store = store
        self._catch_up = catch_up
        self._carry_out = carry_out
        self._keep = keep
        self._log = log
        self._debt = _debt(store)
        self.is_open = not is_owing(store)

    def require_open(self) -> None:
        """Raises: Problem `vault_unavailable`."""
        if not self.is_open:
            raise Problem(
                "vault_unavailable",
                "this ledger was restored, and carries out first what was erased since",
                retry_after_s=1,
            )

    async def settle(self) -> None:
        """Catch up, carry out all orders, and open; returns once that is so.

        Raises: StoreError; heptad.vault.errors.VaultFaultError.
        """
        while not await self._catch_up(CATCH_UP_S):
            continue
        await self._carry_out()
        if self.is_open:
            return
        await self._keep(REPLAYED, self._debt)
        self.is_open = True
        self._log.info("erasures_replayed")

    @property
    def note(self) -> str:
        """For the operator."""
        if self.is_open:
            return ""
        return "serves nothing private yet: it was restored, and follows what was erased since"


def is_owing(store: LogStore) -> bool:
    """Whether the store has to replay erasures before anything private is read."""
    debt = _debt(store)
    return bool(debt) and store.kept(REPLAYED) != debt


def _debt(store: LogStore) -> bytes:
    """32 bytes that name what the store owes; empty if it owes nothing."""
    rows = [(name, store.kept(name)) for name in OWING]
    known = [name.encode() + b"\0" + value for name, value in rows if value is not None]
    return sha256(b"\0".join(known)).digest() if known else b""
