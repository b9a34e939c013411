"""Filing fast gives what the plain functions give, and forged records open nothing."""

import os

from hypothesis import given
from hypothesis import strategies as st

from heptad.crypto.derivation import subject_row_key
from heptad.crypto.filing import open_routing_box, open_routings, routing_box, stored_row
from heptad.crypto.sealing import Routing, RoutingKey, seal_record, to_stored

KEY = RoutingKey(7, b"\x07" * 32)
KEYS = {b"\0\0\0\x07": KEY.key}


def sealed_under(key, *, entry, slot=5, payload=b"payload"):
    return seal_record(
        entry=entry,
        witness=b"\x01" * 32,
        payload=payload,
        lease=b"\x02" * 32,
        routing=Routing(slot, b"\x03" * 16, b"\x04" * 16),
        routing_key=key,
    )


@given(slot=st.integers(0, 2**64 - 1), entry=st.binary(max_size=200))
def test_a_routing_header_opens_to_what_was_sealed(slot, entry):
    sealed = sealed_under(KEY, entry=entry, slot=slot)
    expected = (slot.to_bytes(8, "big"), b"\x03" * 16, b"\x04" * 16)
    assert open_routings([(entry, sealed)], routing_keys=KEYS) == [expected]


def test_each_record_of_many_is_judged_by_itself():
    good = sealed_under(KEY, entry=b"entry")
    records = [
        (b"entry", good),
        (b"other entry", good),
        (b"entry", sealed_under(RoutingKey(8, KEY.key), entry=b"entry")),
        (b"entry", sealed_under(RoutingKey(7, os.urandom(32)), entry=b"entry")),
        (b"entry", b"\x02" + good[1:]),
        (b"entry", good[:40]),
        (b"entry", b""),
        (b"entry", good),
    ]
    opened = open_routings(records, routing_keys=KEYS)
    assert [fields is not None for fields in opened] == [True, *[False] * 6, True]


@given(
    index=st.integers(0, 2**64 - 1),
    row=st.integers(0, 2**64 - 1),
    index_key=st.binary(min_size=32, max_size=32),
)
def test_a_stored_row_is_what_the_plain_functions_make(index, row, index_key):
    sealed = sealed_under(KEY, entry=b"entry")
    stored, row_key = stored_row(
        sealed,
        lease_id=b"\x03" * 16,
        index_key=index_key,
        packed_index=index.to_bytes(8, "big"),
        packed_row=row.to_bytes(8, "big"),
    )
    assert stored == to_stored(
        sealed, lease_id=b"\x03" * 16, index_key=index_key, entry_index=index
    )
    assert row_key == subject_row_key(index_key=index_key, row=row)


def test_a_kept_routing_header_opens_with_its_entry_and_key_only():
    box = routing_box(sealed_under(KEY, entry=b"entry", payload=b"long" * 99))
    opened = open_routing_box(box, entry=b"entry", routing_keys=KEYS)
    assert opened == ((5).to_bytes(8, "big"), b"\x03" * 16, b"\x04" * 16)
    assert open_routing_box(box, entry=b"other", routing_keys=KEYS) is None
    assert open_routing_box(box, entry=b"entry", routing_keys={}) is None
