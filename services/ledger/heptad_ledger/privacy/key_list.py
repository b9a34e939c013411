"""A subject's own keys, told to the subject: which are active, since when, and which ended.

Asked by a signed request that is not recorded, since nobody reads anything about anybody else. A
copy of it shows the same once more to who has seen it already, for as long as it is fresh.
"""

from heptad.crypto.registry_rows import KeyRow
from heptad.model.listed_keys import ListedKey
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.privacy.authority import Authority
from heptad_ledger.store import LogStore, Snapshot


class KeyList:
    """Answers from the registry as it is applied."""

    def __init__(self, *, store: LogStore, authority: Authority) -> None:
        self._store = store
        self._authority = authority

    def keys_of(self, jws: bytes) -> tuple[ListedKey, ...]:
        """All keys of the subject that signed `jws`, in the order in which they came.

        Raises: Problem.
        """
        subject = self._authority.listing_keys(jws)
        with self._store.snapshot() as snapshot:
            return tuple(_listed(snapshot, row) for row in subject.keys)


def _listed(snapshot: Snapshot, row: KeyRow) -> ListedKey:
    return ListedKey(
        kid=row.kid,
        index=row.index,
        added_ms=_time_ms(snapshot, row.index),
        revoked_index=row.revoked_at,
        revoked_ms=None if row.revoked_at is None else _time_ms(snapshot, row.revoked_at),
    )


def _time_ms(snapshot: Snapshot, index: int) -> int:
    return decode_entry(snapshot.entry(index)).time_ms
