"""What proves a subject's key to a validator: the entry, what it commits to, and its inclusion.

A proof is under whatever checkpoint was the latest when it was made, and stays as good for ever
since a log only grows; so it is made once for each entry and kept for a while. Validators remember
what they have verified, too, so after the first lease none of this costs anything.
"""

from typing import Final

from heptad.crypto.sealing import open_stored
from heptad.model.lending import SubjectKey
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

    def keys_of(self, subject: Subject, snapshot: Snapshot) -> tuple[SubjectKey, ...]:
        """The subject's keys with their proofs; all of them are under the latest checkpoint.

        Raises: StoreDamagedError if a registering record is gone.
        """
        return tuple(
            self._key(row.kid, row.index, row.revoked, subject.slot_key, snapshot)
            for row in subject.keys
        )

    def _key(
        self, kid: str, index: int, revoked: bool, slot_key: bytes, snapshot: Snapshot
    ) -> SubjectKey:
        entry, stored = snapshot.entry(index), snapshot.sealed(index)
        if stored is None:
            raise StoreDamagedError(f"entry {index} registers a key, and its record is gone")
        opened = open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
        return SubjectKey(
            kid=kid,
            revoked=revoked,
            index=index,
            entry=entry,
            payload=opened.payload,
            witness=opened.witness,
            proof=self._proof(index),
        )

    def _proof(self, index: int) -> bytes:
        proof = self._proofs.get(index)
        if proof is None:
            proof = self._proofs[index] = self._reads.latest_proof_file(index)
            while len(self._proofs) > PROOFS_KEPT_MAX:
                del self._proofs[next(iter(self._proofs))]
        return proof
