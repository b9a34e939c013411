"""Rows that nothing else vouches for carry a check of their own.

Most of what the store holds can be held against something: entries against the Merkle root, tiles
against entries, records against commitments, checkpoints against signatures. A block's time, where
the ledger stands, and which vault slot is its own cannot, so a changed bit there would be believed.
Their values end with eight bytes of BLAKE2b over table, key and value. That finds damage, and not
whoever can write the file: for that there are the checkpoints that others keep.
"""

import hashlib
from typing import Final

from heptad_ledger.errors import StoreDamagedError

CHECK_BYTES: Final = 8


def with_check(table: bytes, key: bytes, value: bytes) -> bytes:
    """The value as it is stored; `table` has at most 16 bytes."""
    return value + _check(table, key, value)


def without_check(table: bytes, key: bytes, stored: bytes) -> bytes:
    """The value that was stored. Raises: StoreDamagedError."""
    value, check = stored[:-CHECK_BYTES], stored[-CHECK_BYTES:]
    if check != _check(table, key, value):
        raise StoreDamagedError(f"{table.decode()}: the row {key.hex()} was altered")
    return value


def _check(table: bytes, key: bytes, value: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=CHECK_BYTES, person=table)
    digest.update(len(key).to_bytes(4, "big"))
    digest.update(key)
    digest.update(value)
    return digest.digest()
