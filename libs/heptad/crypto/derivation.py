"""Keys and masks derived from a vault key.

A validator never sees a subject's slot key: it gets a lease key, derived from the slot key and the
lease's id, which is worthless for any other lease. What links a subject's rows in the ledger is
derived from the slot key too, so leftover database pages say nothing once the slot is erased.

Everything but `request_ref` is BLAKE2b keyed with a 32-byte key, separated by its personalisation
string, which is one call of the standard library (0.8 µs).
"""

import hashlib
import hmac
from typing import Final

KEY_BYTES: Final = 32
LEASE_ID_BYTES: Final = 16
REQUEST_REF_BYTES: Final = 16
ROW_KEY_BYTES: Final = 16

_LEASE: Final = b"heptad/v1/lease"
_INDEX: Final = b"heptad/v1/index"
_SALT: Final = b"heptad/v1/salt"
ROW_PURPOSE: Final = b"heptad/v1/row"
MASK_PURPOSE: Final = b"heptad/v1/mask"


def lease_key(*, slot_key: bytes, lease_id: bytes) -> bytes:
    """The 32-byte key that seals records under one lease (`lease_id`: 16 bytes)."""
    if len(lease_id) != LEASE_ID_BYTES:
        raise ValueError(f"a lease id has {LEASE_ID_BYTES} bytes, not {len(lease_id)}")
    return _derive(slot_key, _LEASE, lease_id, KEY_BYTES)


def subject_index_key(slot_key: bytes) -> bytes:
    """The 32-byte key under which a subject's rows are found; it stays within the ledger."""
    return _derive(slot_key, _INDEX, b"", KEY_BYTES)


def subject_row_key(*, index_key: bytes, row: int) -> bytes:
    """The 16-byte database key of a subject's row number `row` (0, 1, 2 …) in `by_subject`."""
    return _derive(index_key, ROW_PURPOSE, row.to_bytes(8, "big"), ROW_KEY_BYTES)


def lease_mask(*, index_key: bytes, entry_index: int) -> bytes:
    """16 bytes that hide a stored record's lease id: stored is lease id XOR mask.

    Many records share a lease; unmasked, their lease id would link them for ever.
    """
    return _derive(index_key, MASK_PURPOSE, entry_index.to_bytes(8, "big"), LEASE_ID_BYTES)


def request_ref(*, cell_index_key: bytes, request_id: str) -> bytes:
    """The 16 bytes that stand for a request in `by_request`: HMAC-SHA256 over its id's text."""
    mac = hmac.digest(cell_index_key, request_id.encode("ascii"), "sha256")
    return mac[:REQUEST_REF_BYTES]


def erasure_salt(*, cell_index_key: bytes, request_hash: bytes) -> bytes:
    """The 32 bytes that make an erasure's digests unguessable: `heptad.model.erasure`.

    The same for the same request, so that a ledger rebuilt from the log knows it again.
    """
    return _derive(cell_index_key, _SALT, request_hash, KEY_BYTES)


def _derive(key: bytes, purpose: bytes, message: bytes, length: int) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return hashlib.blake2b(message, key=key, person=purpose, digest_size=length).digest()
