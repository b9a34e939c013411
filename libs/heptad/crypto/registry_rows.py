"""Rows of the subject registry: how a ledger finds a subject's slot, and forgets it for good.

    row key   PRF(registry key, subject id), 16 bytes
    row       nonce 24 | slot u64be, encrypted under the registry key
              | nonce 24 | keys, encrypted under the subject's slot key
    keys      count u8, then for each: entry index u64be | revoked u8 | kid 43 (ASCII)
              then for each that is revoked: index of the revoking entry u64be

An erased subject's row is a *tombstone*: the eight bytes "erased/1" and the digest of its request,
32 bytes. It says that the id was used, to whoever has the id, and leads it to the certificate.

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
ROW_KEYS_MAX: Final = 255

_ROW_KEY: Final = b"heptad/v1/regkey"
_SLOT: Final = b"heptad/v1/regslt"
_KEYS: Final = b"heptad/v1/subkey"
_SLOT_BYTES: Final = 8
_SLOT_BOX_AT: Final = aead.NONCE_BYTES
_KEYS_AT: Final = _SLOT_BOX_AT + _SLOT_BYTES + aead.TAG_BYTES
_KEYS_BOX_AT: Final = _KEYS_AT + aead.NONCE_BYTES
_KID_CHARACTERS: Final = 43
_INDEX_BYTES: Final = 8
_TOMBSTONE: Final = b"erased/1"
_DIGEST_BYTES: Final = 32
_KEY_ROW_BYTES: Final = _INDEX_BYTES + 1 + _KID_CHARACTERS


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A subject's public key: its thumbprint, and the entries that added and revoked it."""

    kid: str
    index: int
    revoked_at: int | None = None

    @property
    def revoked(self) -> bool:
        """Whether it may sign nothing any more."""
        return self.revoked_at is not None

    @property
    def changed_at(self) -> int:
        """Index of the last entry that concerns it."""
        return self.index if self.revoked_at is None else self.revoked_at


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
    assert len(keys) <= ROW_KEYS_MAX, len(keys)
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
        plaintext=_pack_keys(keys),
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


def tombstone(digest: bytes) -> bytes:
    """The row of an erased subject, by the 32-byte digest of the request that it was erased for."""
    assert len(digest) == _DIGEST_BYTES, len(digest)
    return _TOMBSTONE + digest


def tombstone_digest(row: bytes) -> bytes | None:
    """The digest in a tombstone; None for the row of a subject that lives, which is longer."""
    is_tombstone = len(row) == len(_TOMBSTONE) + _DIGEST_BYTES and row.startswith(_TOMBSTONE)
    return row[len(_TOMBSTONE) :] if is_tombstone else None


def open_keys(row: bytes, *, slot_key: bytes, subject_id: str) -> tuple[KeyRow, ...]:
    """The subject's public keys, in the order in which they were added. Raises: SealBrokenError."""
    plain = aead.decrypt(
        key=_derive(slot_key, _KEYS, b"", aead.KEY_BYTES),
        nonce=row[_KEYS_AT:_KEYS_BOX_AT],
        ciphertext=row[_KEYS_BOX_AT:],
        associated=subject_id.encode(),
    )
    return _unpack_keys(plain)


def _pack_keys(keys: Sequence[KeyRow]) -> bytes:
    parts = [bytes((len(keys),))]
    for row in keys:
        kid = row.kid.encode("ascii")
        assert len(kid) == _KID_CHARACTERS, len(kid)
        parts.append(row.index.to_bytes(_INDEX_BYTES, "big") + bytes((row.revoked,)) + kid)
    revoked = [row.revoked_at for row in keys if row.revoked_at is not None]
    return b"".join(parts) + b"".join(index.to_bytes(_INDEX_BYTES, "big") for index in revoked)


def _unpack_keys(plain: bytes) -> tuple[KeyRow, ...]:
    """What `_pack_keys` packed. Raises: SealBrokenError."""
    end = 1 + plain[0] * _KEY_ROW_BYTES
    rows = [plain[start : start + _KEY_ROW_BYTES] for start in range(1, end, _KEY_ROW_BYTES)]
    revoked_count = sum(bool(row[_INDEX_BYTES]) for row in rows if len(row) == _KEY_ROW_BYTES)
    if len(plain) != end + revoked_count * _INDEX_BYTES:
        raise SealBrokenError(f"{len(plain)} bytes hold no {plain[0]} keys")
    revoked_at = (_index(plain, end + n * _INDEX_BYTES) for n in range(revoked_count))
    return tuple(
        KeyRow(
            kid=row[_INDEX_BYTES + 1 :].decode("ascii"),
            index=_index(row, 0),
            revoked_at=next(revoked_at) if row[_INDEX_BYTES] else None,
        )
        for row in rows
    )


def _index(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + _INDEX_BYTES], "big")


def _derive(key: bytes, purpose: bytes, message: bytes, length: int) -> bytes:
    """Keyed BLAKE2b, kept apart by its personalisation, as in `heptad.crypto.derivation`."""
    return hashlib.blake2b(message, key=key, person=purpose, digest_size=length).digest()
