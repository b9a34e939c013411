"""Sealing many records at once: what `sealing.seal_record` does, without its overhead.

A bundle brings up to 999 records in one call. `seal_record` costs 9 µs for a short one, of which
libsodium takes three: the rest are checks, buffers and calls to the system for entropy. Here the
entropy is drawn once, and libsodium is called directly for each of the two boxes. Tests open every
record with the plain functions.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # C, without stubs

from heptad.crypto.aead import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from heptad.crypto.derivation import LEASE_ID_BYTES, REQUEST_REF_BYTES
from heptad.crypto.sealing import SEALED_VERSION, WITNESS_BYTES, RoutingKey

_ROUTING_BYTES: Final = 8 + LEASE_ID_BYTES + REQUEST_REF_BYTES
_HIDDEN_BYTES: Final = _ROUTING_BYTES + TAG_BYTES
_BOTH_NONCES_BYTES: Final = 2 * NONCE_BYTES


class Unsealed(NamedTuple):
    """A record to be sealed.

    `entry` is its public half, `plain` is witness ‖ payload. `routing` is slot as u64be ‖ lease id
    (16 bytes) ‖ request reference (16 bytes), `lease` the 32-byte key of that lease.
    """

    entry: bytes
    plain: bytes
    routing: bytes
    lease: bytes


def seal_records(
    records: Sequence[Unsealed],
    *,
    routing_key: RoutingKey,
    entropy: Callable[[int], bytes] = os.urandom,
) -> list[bytes]:
    """The sealed halves, in order. Raises: ValueError for lengths that are not these."""
    _check(records, routing_key)
    nonces = entropy(_BOTH_NONCES_BYTES * len(records))
    head = SEALED_VERSION.to_bytes(1, "big") + routing_key.key_id.to_bytes(4, "big")
    hidden = ffi.new("unsigned char[]", _HIDDEN_BYTES)
    hidden_bytes = ffi.buffer(hidden, _HIDDEN_BYTES)
    longest = max((len(record.plain) for record in records), default=0)
    output = ffi.new("unsigned char[]", longest + TAG_BYTES)
    content = ffi.buffer(output, longest + TAG_BYTES)
    nothing, encrypt = ffi.NULL, lib.crypto_aead_xchacha20poly1305_ietf_encrypt
    key = routing_key.key
    sealed: list[bytes] = []
    at = 0
    for entry, plain, routing, lease in records:
        middle, end = at + NONCE_BYTES, at + _BOTH_NONCES_BYTES
        routing_nonce, record_nonce = nonces[at:middle], nonces[middle:end]
        at = end
        encrypt(
            hidden, nothing, routing, _ROUTING_BYTES, entry, len(entry),
            nothing, routing_nonce, key,
        )  # fmt: skip
        encrypt(output, nothing, plain, len(plain), entry, len(entry), nothing, record_nonce, lease)
        ciphertext = content[: len(plain) + TAG_BYTES]
        sealed.append(b"".join((head, routing_nonce, hidden_bytes[:], record_nonce, ciphertext)))
    return sealed


def _check(records: Iterable[Unsealed], routing_key: RoutingKey) -> None:
    """C checks no lengths: every one that it relies on is checked here."""
    if len(routing_key.key) != KEY_BYTES:
        raise ValueError(f"a routing key of {len(routing_key.key)} bytes, not {KEY_BYTES}")
    for record in records:
        if (
            len(record.lease) != KEY_BYTES
            or len(record.routing) != _ROUTING_BYTES
            or len(record.plain) < WITNESS_BYTES
        ):
            raise ValueError("a record with a lease, routing or witness of another length")
