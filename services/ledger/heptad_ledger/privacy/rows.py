"""Which entries of the log are a subject's: told by its rows, for who has its slot's key."""

from collections.abc import Iterator
from itertools import count

from heptad.crypto.derivation import subject_index_key, subject_row_key
from heptad_ledger.store import Snapshot


def entries_of(snapshot: Snapshot, *, slot_key: bytes) -> Iterator[int]:
    """The indexes of a subject's entries, ascending; the first is its registration's.

    `slot_key` has 32 bytes. Rows are numbered from 0 without a gap, so the first that is missing is
    the end: about 5 µs each.
    """
    index_key = subject_index_key(slot_key)
    for row in count():
        index = snapshot.subject_row(subject_row_key(index_key=index_key, row=row))
        if index is None:
            return
        yield index
