"""Rows of the subject registry: how a ledger finds a subject's slot, and forgets it for good.

    row key   PRF(registry key, subject id), 16 bytes
    row       nonce 24 | slot u64be, encrypted under the registry key
              | nonce 24 | keys, encrypted under the subject's slot key
    keys      count u8, then for each: entry index u64be | revoked u8 | kid 43 (ASCII)

The slot must be found before the subject's key is, so it is hidden under a key of the ledger alone;
which entries are the subject's is hidden under the subject's own key, and is gone with it, even
from pages that a database has only marked as free. What stays readable, to whoever has the ledger's
live keys *and* knows the subject's id, is that this subject had this slot, which the public entry
that orders an erasure says of itself.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heptad.crypto import aead
from heptad.crypto.errors import SealBrokenError

ROW_KEY_BYTES: Final = 16
KEYS_MAX: Final = 255

_ROW_KEY: Final = b"heptad/v1/regkey"
_SLOT: Final = b"heptad/v1/regslt"
_KEYS: Final = b"heptad/v1/subkey"
_SLOT_BYTES: Final = 8
_SLOT_BOX_AT: Final = aead.NONCE_BYTES
_KEYS_AT: Final = _SLOT_BOX_AT + _SLOT_BYTES + aead.TAG_BYTES
_KEYS_BOX_AT: Final = _KEYS_AT + aead.NONCE_BYTES
_KID_CHARACTERS: Final = 43
_KEY_ROW_BYTES: Final = 8 + 1 + _KID_CHARACTERS


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A subject's public key: its thumbprint, the entry that added it, whether it was revoked."""

    kid: str
    index: int
    revoked: bool


def registry_row_key(*, registry_key: bytes, subject_id: str) -> bytes:
    """The 16 bytes under which a subject's row stands."""
    return _derive(registry_key, _ROW_KEY, subject_id.encode(), ROW_KEY_BYTES)


def seal_row(
    *,
    registry_key: bytes,
    slot_key: bytes,
    subject_id: str,
    slot: int,
    keys: Sequence[KeyRow],
    entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """A subject's row; both keys have 32 bytes, `entropy(n)` returns n random bytes."""
    assert len(keys) <= KEYS_MAX, len(keys)
    nonces = entropy(2 * aead.NONCE_BYTES)
    slot_nonce, keys_nonce = nonces[: aead.NONCE_BYTES], nonces[aead.NONCE_BYTES :]
    hidden_slot = aead.encrypt(
        key=_derive(registry_key, _SLOT, b"", aead.KEY_BYTES),
        nonce=slot_nonce,
        plaintext=slot.to_bytes(_SLOT_BYTES, "big"),
        associated=subject_id.encode(),
    )
    hidden_keys = aead.encrypt(
        key=_derive(slot_key, _KEYS, b"", aead.KEY_BYTES),
        nonce=keys_nonce,
        plaintext=bytes((len(keys),)) + b"".join(map(_pack, keys)),
        associated=subject_id.encode(),
    )
    return b"".join((slot_nonce, hidden_slot, keys_nonce, hidden_keys))


def open_slot(row: bytes, *, registry_key: bytes, subject_id: str) -> int:
    """The subject's slot. Raises: SealBrokenError."""
    plain = aead.decrypt(
        key=_derive(registry_key, _SLOT, b"", aead.KEY_BYTES),
        nonce=row[:_SLOT_BOX_AT],
        ciphertext=row[_SLOT_BOX_AT:_KEYS_AT],
        associated=subject_id.encode(),
    )
    return int.from_bytes(plain, "big")


def open_keys(row: bytes, *, slot_key: bytes, subject_id: str) -> tuple[KeyRow, ...]:
    """The subject's public keys, in the order in which they were added. Raises: SealBrokenError."""
    plain = aead.decrypt(
        key=_derive(slot_key, _KEYS, b"", aead.KEY_BYTES),
        nonce=row[_KEYS_AT:_KEYS_BOX_AT],
        ciphertext=row[_KEYS_BOX_AT:],
        associated=subject_id.encode(),
    )
    if len(plain) != 1 + plain[0] * _KEY_ROW_BYTES:
        raise SealBrokenError(f"{len(plain)} bytes hold no {plain[0]} keys")
    starts = range(1, len(plain), _KEY_ROW_BYTES)
    return tuple(_unpack(plain[start : start + _KEY_ROW_BYTES]) for start in starts)


def _pack(row: KeyRow) -> bytes:
    kid = row.kid.encode("ascii")
    assert len(kid) == _KID_CHARACTERS, len(kid)
    return row.index.to_bytes(8, "big") + bytes((row.revoked,)) + kid


def _unpack(data: bytes) -> KeyRow:
    return KeyRow(data[9:].decode("ascii"), int.from_bytes(data[:8], "big"), bool(data[8]))


def _derive(key: bytes, purpose: bytes, message: bytes, length: int) -> bytes:
    """Keyed BLAKE2b, kept apart by its personalisation, as in `heptad.crypto.derivation`."""
    return hashlib.blake2b(message, key=key, person=purpose, digest_size=length).digest()
