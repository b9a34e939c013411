"""Sealed records: who holds what can read what, and nobody can move or change a record."""

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.crypto import sealing
from heptad.crypto.derivation import lease_key, subject_index_key
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.sealing import Opened, Routing, RoutingKey

ENTRY = b"the public half of the record"
SLOT_KEY = bytes(range(32))
LEASE_ID = bytes(range(100, 116))
LEASE = lease_key(slot_key=SLOT_KEY, lease_id=LEASE_ID)
INDEX_KEY = subject_index_key(SLOT_KEY)
ROUTING = Routing(key_ref=2**63 + 5, lease_id=LEASE_ID, request_ref=bytes(range(16)))
ROUTING_KEY = RoutingKey(key_id=7, key=bytes(range(50, 82)))
WITNESS = bytes(range(200, 232))


@dataclass
class Counting:
    """Entropy that never repeats and needs no randomness."""

    count: int = 0

    def __call__(self, length: int) -> bytes:
        self.count += 1
        return hashlib.shake_128(b"%d" % self.count).digest(length)


def seal(payload: bytes = b"personal", entry: bytes = ENTRY) -> bytes:
    return sealing.seal_record(
        entry=entry,
        witness=WITNESS,
        payload=payload,
        lease=LEASE,
        routing=ROUTING,
        routing_key=ROUTING_KEY,
    )


@given(payload=st.binary(max_size=2_000))
def test_what_is_sealed_is_what_is_opened(payload: bytes) -> None:
    sealed = seal(payload)

    assert sealing.open_record(sealed, entry=ENTRY, lease=LEASE) == Opened(WITNESS, payload)
    assert len(sealed) == len(payload) + sealing.SEALED_OVERHEAD_BYTES


def test_the_ledger_opens_the_routing_alone() -> None:
    sealed = seal()

    assert sealing.routing_key_id(sealed) == 7
    assert sealing.open_routing(sealed, entry=ENTRY, routing_key=ROUTING_KEY.key) == ROUTING
    with pytest.raises(SealBrokenError):
        sealing.open_record(sealed, entry=ENTRY, lease=ROUTING_KEY.key)


def test_a_lease_does_not_open_the_routing() -> None:
    with pytest.raises(SealBrokenError):
        sealing.open_routing(seal(), entry=ENTRY, routing_key=LEASE)


def test_another_lease_of_the_same_subject_opens_nothing() -> None:
    other = lease_key(slot_key=SLOT_KEY, lease_id=bytes(16))

    with pytest.raises(SealBrokenError):
        sealing.open_record(seal(), entry=ENTRY, lease=other)


def test_a_record_moved_to_another_entry_does_not_open() -> None:
    sealed = seal()

    with pytest.raises(SealBrokenError):
        sealing.open_record(sealed, entry=ENTRY + b"!", lease=LEASE)
    with pytest.raises(SealBrokenError):
        sealing.open_routing(sealed, entry=ENTRY + b"!", routing_key=ROUTING_KEY.key)


@settings(max_examples=200)
@given(position=st.integers(0, sealing.SEALED_OVERHEAD_BYTES + 7), flip=st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, flip: int) -> None:
    changed = bytearray(seal())
    changed[position] ^= flip

    opened = 0
    for attempt in (_try_routing, _try_record):
        try:
            attempt(bytes(changed))
            opened += 1
        except SealBrokenError:
            continue
    key_id_changed = 1 <= position < 5
    assert opened == (2 if key_id_changed else 0 if position == 0 else 1)
    if key_id_changed:
        assert sealing.routing_key_id(bytes(changed)) != 7


def _try_routing(sealed: bytes) -> None:
    sealing.open_routing(sealed, entry=ENTRY, routing_key=ROUTING_KEY.key)


def _try_record(sealed: bytes) -> None:
    sealing.open_record(sealed, entry=ENTRY, lease=LEASE)


@given(junk=st.binary(max_size=400))
def test_no_bytes_whatever_crash_the_opening(junk: bytes) -> None:
    for attempt in (_try_routing, _try_record):
        with pytest.raises(SealBrokenError):
            attempt(junk)
    with pytest.raises(SealBrokenError):
        sealing.open_stored(junk, entry=ENTRY, entry_index=1, slot_key=SLOT_KEY)


def test_two_seals_of_one_record_share_no_bytes_but_version_and_key_number() -> None:
    first, second = seal(), seal()

    assert first[:5] == second[:5]
    assert not any(first[at : at + 8] == second[at : at + 8] for at in range(5, len(first) - 8))


def test_a_nonce_is_never_used_for_two_boxes() -> None:
    entropy = Counting()

    records = [
        sealing.seal_record(
            entry=ENTRY,
            witness=WITNESS,
            payload=b"x",
            lease=LEASE,
            routing=ROUTING,
            routing_key=ROUTING_KEY,
            entropy=entropy,
        )
        for _ in range(50)
    ]

    nonces = [record[5:29] for record in records] + [record[85:109] for record in records]
    assert len(set(nonces)) == 100


def _store(entry_index: int) -> bytes:
    return sealing.to_stored(
        seal(), lease_id=LEASE_ID, index_key=INDEX_KEY, entry_index=entry_index
    )


def test_a_stored_record_opens_with_the_slot_key_alone() -> None:
    opened = sealing.open_stored(_store(9), entry=ENTRY, entry_index=9, slot_key=SLOT_KEY)

    assert opened == Opened(WITNESS, b"personal")


def test_a_stored_record_opens_in_no_other_place_and_for_no_other_subject() -> None:
    stored = _store(9)

    for slot_key, index, entry in (
        (SLOT_KEY, 8, ENTRY),
        (bytes(32), 9, ENTRY),
        (SLOT_KEY, 9, ENTRY + b"!"),
    ):
        with pytest.raises(SealBrokenError):
            sealing.open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)


def test_stored_records_of_one_lease_share_no_bytes() -> None:
    """Otherwise the lease id would link a subject's records for ever."""
    masked = {_store(index)[1:17] for index in range(100)}

    assert len(masked) == 100
    assert LEASE_ID not in masked


def test_a_stored_record_holds_neither_slot_nor_request() -> None:
    stored = _store(9)

    assert ROUTING.request_ref not in stored
    assert ROUTING.key_ref.to_bytes(8, "big") not in stored


def test_the_commitment_is_the_hash_that_the_specification_names() -> None:
    expected = hashlib.sha256(b"heptad/v1/commitment\0" + WITNESS + b"payload").digest()

    assert sealing.commitment(witness=WITNESS, payload=b"payload") == expected


def test_payload_and_witness_cannot_trade_bytes() -> None:
    with pytest.raises(ValueError, match="not 33"):
        sealing.commitment(witness=WITNESS + b"p", payload=b"ayload")
    with pytest.raises(ValueError, match="not 31"):
        sealing.seal_record(
            entry=ENTRY,
            witness=WITNESS[1:],
            payload=b"",
            lease=LEASE,
            routing=ROUTING,
            routing_key=ROUTING_KEY,
        )


def test_secrets_do_not_show_themselves() -> None:
    assert "personal" not in repr(Opened(WITNESS, b"personal"))
    assert ROUTING_KEY.key.hex() not in repr(ROUTING_KEY)
    assert repr(ROUTING_KEY) == "RoutingKey(key_id=7)"


def test_witnesses_are_fresh() -> None:
    assert len({sealing.new_witness() for _ in range(100)}) == 100
