"""Carrying orders out: rows first, then the keys of all of them with one change of the root key.

    1 ordered   2 rows deleted   3 root key staged   4 path committed   5 old root key effaced

Each step is durable before the next begins, and each can be done again: after a crash the case is
still open, its rows are deleted as far as they are there, and the vault answers for a slot that is
erased already with the epoch of then. So going on after a crash is the ordinary way.

What was counted is written with the deletion, in one transaction, for afterwards nobody can count
it any more. Steps 6 and 7 belong to `heptad_ledger.privacy.office`, which knows the leases.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from heptad.crypto.derivation import subject_index_key
from heptad.vault.errors import SlotErasedError, SlotUnknownError
from heptad.vault.node_store import ErasedSlot
from heptad.vault.steps import OnStep, Step, unheard
from heptad.vault.tree import KeyTree
from heptad_ledger.filing import Filer, row_count
from heptad_ledger.privacy.deleting import ROWS_AT_ONCE_MAX, Deleter, Deletion
from heptad_ledger.privacy.rows import entries_of, subject_id_of
from heptad_ledger.store import LogStore, Snapshot
from heptad_ledger.store.edit import Edit
from heptad_ledger.store.erasure_rows import ErasureCase, Progress

GROUP_MAX: Final = 1_000
"""Slots erased with one change of the root key: some 40 ms, in which nothing is applied."""


PSEUDONYM_BYTES: Final = 32

LAST_ERASED: Final = "last_erased"
"""When the last group was carried out, Unix ms as u64be: the routing key of then has to go."""


class Eraser:
    """For the thread that writes to the store."""

    def __init__(
        self,
        *,
        store: LogStore,
        vault: KeyTree,
        filer: Filer,
        now_ms: Callable[[], int],
        on_step: OnStep = unheard,
        rows_at_once_max: int = ROWS_AT_ONCE_MAX,
    ) -> None:
        """`on_step` is told of steps 1 to 5."""
        self._store = store
        self._vault = vault
        self._filer = filer
        self._now_ms = now_ms
        self._on_step = on_step
        self._rows_at_once_max = rows_at_once_max
        self._deleter = Deleter(filer.registry, index_key=vault.index_key)
        vault.on_step = on_step

    def due(self) -> Sequence[ErasureCase]:
        """The next group of ordered cases whose keys are still here."""
        with self._store.snapshot() as snapshot:
            reader, after, group = snapshot.erasures, 0, []
            while cases := reader.to_do(after=after, count_max=GROUP_MAX):
                group += [case for case in cases if case.is_to_execute]
                after = cases[-1].number
                if len(group) >= GROUP_MAX:
                    break
        return group[:GROUP_MAX]

    def subject_ids(self, cases: Sequence[ErasureCase]) -> dict[int, str]:
        """Whose slots these are, as long as their keys and registrations are here."""
        found: dict[int, str] = {}
        with self._store.snapshot() as snapshot:
            for case in cases:
                slot_key = self._slot_key(case.slot)
                if slot_key is None or self._is_anothers(case, snapshot):
                    continue
                name = subject_id_of(self._filer.registry, snapshot, slot_key=slot_key)
                if name is not None:
                    found[case.slot] = name
        return found

    def execute(self, cases: Sequence[ErasureCase]) -> Sequence[ErasureCase]:
        """Carry these orders out; return the cases as they stand then.

        Raises: StoreError; heptad.vault.errors.VaultFaultError: then it is to be tried again, and
        nothing may be attested.
        """
        self._on_step(Step.ORDERED)
        known = self._meant(cases)
        self._delete_rows(self._with_rows(known))
        self._on_step(Step.ROWS_DELETED)
        erased = self._vault.erase([case.slot for case in known])
        return self._destroyed(cases, erased)

    def _meant(self, cases: Sequence[ErasureCase]) -> Sequence[ErasureCase]:
        """Those whose orders mean who has the slot in this vault.

        A vault that was made anew gives the same numbers to others. Whoever has registered behind
        an order is not meant by it, nor is a slot that was not given out.
        """
        meant = [case for case in cases if self._filer.was_given_out(case.slot)]
        with self._store.snapshot() as snapshot:
            return [case for case in meant if not self._is_anothers(case, snapshot)]

    def _is_anothers(self, case: ErasureCase, snapshot: Snapshot) -> bool:
        slot_key = self._slot_key(case.slot)
        if slot_key is None or case.order_index is None:
            return False
        registered_at = next(entries_of(snapshot, slot_key=slot_key), None)
        return registered_at is not None and registered_at > case.order_index

    def _slot_key(self, slot: int) -> bytes | None:
        try:
            return self._vault.lookup(slot)
        except (SlotErasedError, SlotUnknownError):
            return None

    # Rows.

    def delete_some(self, cases: Sequence[ErasureCase]) -> bool:
        """Delete rows in one transaction, if those that are left do not fit into one; else False.

        Of a person with a million records all of it takes minutes. Whoever calls this until it is
        False, and then `execute`, lets what waits be applied in between.
        Raises: StoreError.
        """
        waiting = self._with_rows(cases)
        if self._fits(waiting):
            return False
        self._delete_once(waiting)
        return True

    def _fits(self, cases: Sequence[ErasureCase]) -> bool:
        """Whether the rows of all of them may go in one transaction."""
        count = 0
        with self._store.snapshot() as snapshot:
            for case in cases:
                slot_key = self._slot_key(case.slot)
                if slot_key is not None:
                    count += row_count(snapshot, subject_index_key(slot_key))
                if count > self._rows_at_once_max:
                    return False
        return True

    def _with_rows(self, cases: Sequence[ErasureCase]) -> list[ErasureCase]:
        """Those whose rows are not all deleted."""
        with self._store.snapshot() as snapshot:
            now = [snapshot.erasures.case(case.number) or case for case in cases]
        return [case for case in self._meant(now) if case.progress is Progress.NONE]

    def _delete_rows(self, cases: Sequence[ErasureCase]) -> None:
        """Delete all rows of these cases' subjects, in transactions that are not too long."""
        waiting = list(cases)
        while waiting:
            self._delete_once(waiting)

    def _delete_once(self, waiting: list[ErasureCase]) -> None:
        """One transaction; takes from the list whose rows are all gone."""
        left, deletions = self._rows_at_once_max, list[Deletion]()
        with self._store.snapshot() as snapshot, self._store.editing() as edit:
            while waiting and left > 0:
                case = edit.cases.case(waiting[-1].number) or waiting[-1]
                slot_key = self._slot_key(case.slot)
                deletion = Deletion(is_last=True)
                if slot_key is not None:
                    deletion = self._deleter.deletions(
                        case, snapshot, slot_key=slot_key, rows_max=left
                    )
                deletions.append(deletion)
                edit.cases.put(self._deleted(case, deletion, edit))
                left -= max(1, len(deletion.sealed))
                if not deletion.is_last:
                    break
                waiting.pop()
            # All at once: rows of one wave that wait are written anew together.
            edit.delete_rows(
                by_subject=[key for each in deletions for key in each.by_subject],
                by_request=[key for each in deletions for key in each.by_request],
            )

    def _deleted(self, case: ErasureCase, deletion: Deletion, edit: Edit) -> ErasureCase:
        """Delete records and rows of the registry, and count all of it in the case."""
        rows = len(deletion.by_subject) + len(deletion.by_request)
        ciphertexts = edit.delete_sealed(deletion.sealed)
        rows += sum(edit.delete_subject(key) for key in deletion.registry)
        if deletion.tombstone is not None:
            row_key, row = deletion.tombstone
            rows += edit.delete_subject(row_key)
            edit.put_subject(row_key, row)
        return replace(
            case,
            ciphertexts=case.ciphertexts + ciphertexts,
            index_rows=case.index_rows + rows,
            # Of a request whose record nobody could file, nobody can be told a salt.
            pseudonym=case.pseudonym or os.urandom(PSEUDONYM_BYTES),
            progress=Progress.ROWS_DELETED if deletion.is_last else case.progress,
        )

    # Keys.

    def _destroyed(
        self, cases: Sequence[ErasureCase], erased: dict[int, ErasedSlot]
    ) -> Sequence[ErasureCase]:
        """Note what the vault says of each slot; there is nothing left that is to be closed."""
        now_ms, done = self._now_ms(), []
        with self._store.editing() as edit:
            for before in cases:
                case = edit.cases.case(before.number) or before
                row = erased.get(case.slot)
                if row is None:
                    case = replace(case, progress=Progress.ABSENT)
                else:
                    case = replace(
                        case,
                        progress=Progress.DESTROYED,
                        epoch=row.epoch,
                        root_hash=row.root_hash,
                        destroyed_ms=now_ms,
                    )
                edit.cases.put(case)
                done.append(case)
            edit.keep(LAST_ERASED, now_ms.to_bytes(8, "big"))
        for case in done:
            self._filer.closed.discard(case.slot)
        return done
