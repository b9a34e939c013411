"""Sealed records: the private, deletable half of what the ledger keeps.

    on the wire   version u8 | routing key id u32be | nonce 24 | routing, encrypted 56
                  | nonce 24 | ciphertext
    in the store  version u8 | lease id XOR mask 16 | nonce 24 | ciphertext

The routing header (slot, lease, request) is encrypted apart from the record, under a key that
replicas do not have, so that they cannot link one person's records; the ledger opens it once and
drops it. The plaintext of a record is witness ‖ payload, and the whole public entry is associated
data of both boxes: a record moved to another entry does not open.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from heptad.crypto import aead
from heptad.crypto.derivation import (
    LEASE_ID_BYTES,
    REQUEST_REF_BYTES,
    lease_key,
    lease_mask,
    subject_index_key,
)
from heptad.crypto.errors import SealBrokenError

WITNESS_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32
SEALED_VERSION: Final = 1

_COMMITMENT: Final = b"heptad/v1/commitment\0"
_ROUTING_BYTES: Final = 8 + LEASE_ID_BYTES + REQUEST_REF_BYTES
_ROUTING_NONCE_AT: Final = 5
_ROUTING_AT: Final = _ROUTING_NONCE_AT + aead.NONCE_BYTES
_RECORD_NONCE_AT: Final = _ROUTING_AT + _ROUTING_BYTES + aead.TAG_BYTES
_RECORD_AT: Final = _RECORD_NONCE_AT + aead.NONCE_BYTES
_STORED_NONCE_AT: Final = 1 + LEASE_ID_BYTES
_STORED_RECORD_AT: Final = _STORED_NONCE_AT + aead.NONCE_BYTES
_RECORD_BYTES_MIN: Final = WITNESS_BYTES + aead.TAG_BYTES

NO_REQUEST_REF: Final = bytes(REQUEST_REF_BYTES)
"""The request reference of a record that is no request of its own: an event of a bundle."""

SEALED_OVERHEAD_BYTES: Final = _RECORD_AT + _RECORD_BYTES_MIN
"""A sealed record is this much longer than its payload."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What the ledger must know to file a record, and nobody else.

    `key_ref` is the subject's vault slot (u64), `lease_id` 16 bytes, `request_ref` 16 bytes.
    """

    key_ref: int
    lease_id: bytes
    request_ref: bytes


@dataclass(frozen=True, slots=True)
class RoutingKey:
    """A key for routing headers: its number (u32, never reused) and its 32 bytes."""

    key_id: int
    key: bytes

    def __repr__(self) -> str:
        return f"RoutingKey(key_id={self.key_id})"


@dataclass(frozen=True, slots=True)
class Opened:
    """A record's plaintext: the commitment's witness (32 bytes) and the payload as received."""

    witness: bytes
    payload: bytes

    def __repr__(self) -> str:
        return f"Opened(payload of {len(self.payload)} B)"


def new_witness(entropy: Callable[[int], bytes] = os.urandom) -> bytes:
    """32 fresh random bytes; one witness must never serve two records."""
    return entropy(WITNESS_BYTES)


def commitment(*, witness: bytes, payload: bytes) -> bytes:
    """The 32 bytes that bind an entry to its payload and say nothing about it."""
    if len(witness) != WITNESS_BYTES:
        raise ValueError(f"a witness has {WITNESS_BYTES} bytes, not {len(witness)}")
    return hashlib.sha256(_COMMITMENT + witness + payload).digest()


def seal_record(
    *,
    entry: bytes,
    witness: bytes,
    payload: bytes,
    lease: bytes,
    routing: Routing,
    routing_key: RoutingKey,
    entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """The sealed half of `entry`, ready for a batch.

    `lease` is the 32-byte lease key that belongs to `routing.lease_id`; `witness` has 32 bytes.
    `entropy(n)` returns n random bytes for the nonces.
    """
    if len(witness) != WITNESS_BYTES:
        raise ValueError(f"a witness has {WITNESS_BYTES} bytes, not {len(witness)}")
    nonces = entropy(2 * aead.NONCE_BYTES)
    routing_nonce, record_nonce = nonces[: aead.NONCE_BYTES], nonces[aead.NONCE_BYTES :]
    hidden = aead.encrypt(
        key=routing_key.key,
        nonce=routing_nonce,
        plaintext=_pack_routing(routing),
        associated=entry,
    )
    ciphertext = aead.encrypt(
        key=lease, nonce=record_nonce, plaintext=witness + payload, associated=entry
    )
    head = SEALED_VERSION.to_bytes(1, "big") + routing_key.key_id.to_bytes(4, "big")
    return b"".join((head, routing_nonce, hidden, record_nonce, ciphertext))


def routing_key_id(sealed: bytes) -> int:
    """The number of the routing key that hides this record's routing header.

    Raises: SealBrokenError for bytes that are no sealed record.
    """
    if len(sealed) < SEALED_OVERHEAD_BYTES or sealed[0] != SEALED_VERSION:
        raise SealBrokenError(f"{len(sealed)} bytes are no sealed record of version 1")
    return int.from_bytes(sealed[1:_ROUTING_NONCE_AT], "big")


def open_routing(sealed: bytes, *, entry: bytes, routing_key: bytes) -> Routing:
    """The routing header of a sealed record. Raises: SealBrokenError."""
    routing_key_id(sealed)
    plain = aead.decrypt(
        key=routing_key,
        nonce=sealed[_ROUTING_NONCE_AT:_ROUTING_AT],
        ciphertext=sealed[_ROUTING_AT:_RECORD_NONCE_AT],
        associated=entry,
    )
    return Routing(int.from_bytes(plain[:8], "big"), plain[8:24], plain[24:])


def open_record(sealed: bytes, *, entry: bytes, lease: bytes) -> Opened:
    """Witness and payload of a sealed record as it came. Raises: SealBrokenError."""
    routing_key_id(sealed)
    nonce = sealed[_RECORD_NONCE_AT:_RECORD_AT]
    return _open(nonce, sealed[_RECORD_AT:], entry, lease)


def to_stored(sealed: bytes, *, lease_id: bytes, index_key: bytes, entry_index: int) -> bytes:
    """The record as the ledger keeps it: without routing, its lease id masked.

    `lease_id` comes from the opened routing header, `index_key` is the subject's.
    """
    mask = lease_mask(index_key=index_key, entry_index=entry_index)
    return sealed[:1] + _xor(lease_id, mask) + sealed[_RECORD_NONCE_AT:]


def open_stored(stored: bytes, *, entry: bytes, entry_index: int, slot_key: bytes) -> Opened:
    """Witness and payload of a stored record, for who may have the slot key.

    Raises: SealBrokenError, also when the record belongs to another subject or entry.
    """
    if len(stored) < _STORED_RECORD_AT + _RECORD_BYTES_MIN or stored[0] != SEALED_VERSION:
        raise SealBrokenError(f"{len(stored)} bytes are no stored record of version 1")
    mask = lease_mask(index_key=subject_index_key(slot_key), entry_index=entry_index)
    lease_id = _xor(stored[1:_STORED_NONCE_AT], mask)
    lease = lease_key(slot_key=slot_key, lease_id=lease_id)
    nonce = stored[_STORED_NONCE_AT:_STORED_RECORD_AT]
    return _open(nonce, stored[_STORED_RECORD_AT:], entry, lease)


def _open(nonce: bytes, ciphertext: bytes, entry: bytes, lease: bytes) -> Opened:
    plain = aead.decrypt(key=lease, nonce=nonce, ciphertext=ciphertext, associated=entry)
    return Opened(plain[:WITNESS_BYTES], plain[WITNESS_BYTES:])


def _pack_routing(routing: Routing) -> bytes:
    if len(routing.lease_id) != LEASE_ID_BYTES or len(routing.request_ref) != REQUEST_REF_BYTES:
        raise ValueError("lease id and request ref have 16 bytes each")
    return routing.key_ref.to_bytes(8, "big") + routing.lease_id + routing.request_ref


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
