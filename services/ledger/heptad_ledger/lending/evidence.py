"""What proves a subject's keys to a validator: the entries, what they commit to, their inclusion.

A key that was added later is proved by the keys before it, and those by what has become of them. So
a lease carries all of a subject's keys, the revoked ones too, and the entries that revoked them.

A proof is under whatever checkpoint was the latest when it was made, and stays as good for ever
since a log only grows; so it is made once for each entry and kept for a while. Validators remember
what they have verified, too, so after the first lease none of this costs anything.
"""

from typing import Final

from heptad.crypto.registry_rows import KeyRow
from heptad.crypto.sealing import open_stored
from heptad.model.lending import EntryEvidence, SubjectKey
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.log_reads import LogReads
from heptad_ledger.registry import Subject
from heptad_ledger.store import Snapshot

PROOFS_KEPT_MAX: Final = 8_192
"""About 2.5 KB each."""


class Evidence:
    """Makes `SubjectKey`s."""

    def __init__(self, reads: LogReads) -> None:
        self._reads = reads
        self._proofs: dict[int, bytes] = {}

    def keys_of(
        self, subject: Subject, snapshot: Snapshot, *, proved_size: int
    ) -> tuple[SubjectKey, ...]:
        """The subject's keys with their proofs, as far as `proved_size` entries are published.

        A key beyond that cannot be proved yet and is left out; a revocation beyond counts already.
        Raises: StoreDamagedError if a record that brought or revoked a key is gone.
        """
        return tuple(
            self._key(row, subject.slot_key, snapshot, proved_size)
            for row in subject.keys
            if row.index < proved_size
        )

    def _key(
        self, row: KeyRow, slot_key: bytes, snapshot: Snapshot, proved_size: int
    ) -> SubjectKey:
        added = self._entry(row.index, slot_key, snapshot)
        revocation = None
        if row.revoked_at is not None and row.revoked_at < proved_size:
            revocation = self._entry(row.revoked_at, slot_key, snapshot)
        return SubjectKey(
            kid=row.kid,
            revoked=row.revoked,
            index=row.index,
            entry=added.entry,
            payload=added.payload,
            witness=added.witness,
            proof=added.proof,
            revocation=revocation,
        )

    def _entry(self, index: int, slot_key: bytes, snapshot: Snapshot) -> EntryEvidence:
        entry, stored = snapshot.entry(index), snapshot.sealed(index)
        if stored is None:
            raise StoreDamagedError(f"entry {index} changes a key, and its record is gone")
        opened = open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
        return EntryEvidence(index, entry, opened.payload, opened.witness, self._proof(index))

    def _proof(self, index: int) -> bytes:
        proof = self._proofs.get(index)
        if proof is None:
            proof = self._proofs[index] = self._reads.latest_proof_file(index)
            while len(self._proofs) > PROOFS_KEPT_MAX:
                del self._proofs[next(iter(self._proofs))]
        return proof
