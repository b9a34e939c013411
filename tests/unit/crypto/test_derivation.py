"""Derived keys: published BLAKE2b and HMAC behaviour, and no key equal to another."""

import hashlib
import hmac

import pytest

from heptad.crypto.derivation import (
    lease_key,
    lease_mask,
    request_ref,
    subject_index_key,
    subject_row_key,
)

KEY = bytes(range(32))
LEASE = bytes(range(16))


def test_the_derivations_are_what_the_specification_says() -> None:
    """Golden values: a change here makes every stored record unreadable."""
    assert lease_key(slot_key=KEY, lease_id=LEASE) == _blake(KEY, b"heptad/v1/lease", LEASE, 32)
    assert subject_index_key(KEY) == _blake(KEY, b"heptad/v1/index", b"", 32)
    assert subject_row_key(index_key=KEY, row=258) == _blake(
        KEY, b"heptad/v1/row", bytes(6) + b"\x01\x02", 16
    )
    assert lease_mask(index_key=KEY, entry_index=1) == _blake(
        KEY, b"heptad/v1/mask", bytes(7) + b"\x01", 16
    )
    assert (
        request_ref(cell_index_key=KEY, request_id="abc")
        == hmac.new(KEY, b"abc", hashlib.sha256).digest()[:16]
    )


def _blake(key: bytes, person: bytes, message: bytes, size: int) -> bytes:
    state = hashlib.blake2b(key=key, person=person, digest_size=size)
    state.update(message)
    return state.digest()


def test_no_two_purposes_rows_or_keys_give_the_same_bytes() -> None:
    other = bytes(32)
    derived = [
        *(lease_key(slot_key=k, lease_id=i) for k in (KEY, other) for i in (LEASE, bytes(16))),
        *(subject_index_key(k) for k in (KEY, other)),
        *(subject_row_key(index_key=k, row=n) for k in (KEY, other) for n in range(50)),
        *(lease_mask(index_key=k, entry_index=n) for k in (KEY, other) for n in range(50)),
    ]

    assert len({value[:16] for value in derived}) == len(derived)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_a_bug(length: int) -> None:
    with pytest.raises(ValueError, match=f"not {length}"):
        subject_index_key(bytes(length))


def test_a_lease_id_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="not 15"):
        lease_key(slot_key=KEY, lease_id=bytes(15))
