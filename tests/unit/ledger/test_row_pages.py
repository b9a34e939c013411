"""Rows in pages are found like those of a dictionary, however they came and whoever chose them."""

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store import row_pages
from heptad_ledger.store.row_pages import (
    KEY_BYTES,
    ROW_BYTES,
    cut,
    delete_row,
    get_row,
    grown,
    put_rows,
    row_among,
)
from heptad_ledger.store.wave import pack_index

KEYS = st.integers(0, 60).map(lambda n: n.to_bytes(1, "big").ljust(KEY_BYTES, b"\0"))
"""Few, and close together: so they meet, and pages are divided where rows are dense."""


@pytest.fixture
def few_rows_a_page(monkeypatch):
    monkeypatch.setattr(row_pages, "PAGE_ROWS_MAX", 6)


@pytest.fixture
def cursor(tmp_path):
    with (
        lmdb.open(str(tmp_path), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
        transaction.cursor() as cursor,
    ):
        yield cursor


def pages_of(cursor):
    return [(bytes(key), bytes(page)) for key, page in cursor.iternext()] if cursor.first() else []


def assert_well_formed(pages, model):
    rows = [row for _, page in pages for row in cut(page)]
    assert sorted(rows) == sorted(key + index for key, index in model.items())
    assert len(rows) == len(set(rows))
    before = b""
    for lowest, page in pages:
        assert lowest == min(cut(page))[:KEY_BYTES]
        assert lowest > before
        assert len(page) <= row_pages.PAGE_ROWS_MAX * ROW_BYTES
        before = max(cut(page))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.sets(KEYS, max_size=25)), max_size=12))
def test_look_ups_and_deletions_are_those_of_a_dictionary(tmp_path_factory, steps):
    before, row_pages.PAGE_ROWS_MAX = row_pages.PAGE_ROWS_MAX, 6
    folder = tmp_path_factory.mktemp("pages")
    with (
        lmdb.open(str(folder), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
        transaction.cursor() as cursor,
    ):
        model = {}
        for number, (is_deletion, keys) in enumerate(steps):
            if is_deletion:
                assert [delete_row(cursor, key) for key in keys] == [
                    model.pop(key, None) for key in keys
                ]
            else:
                new = {key: pack_index(number) for key in keys if key not in model}
                put_rows(cursor, sorted(key + index for key, index in new.items()))
                model |= new
            assert_well_formed(pages_of(cursor), model)
            for n in range(62):
                key = n.to_bytes(1, "big").ljust(KEY_BYTES, b"\0")
                assert get_row(cursor, key) == model.get(key)
    row_pages.PAGE_ROWS_MAX = before


def test_a_page_that_is_divided_leaves_halves_and_no_splinters(few_rows_a_page):
    rows = [bytes((n,)) * KEY_BYTES + pack_index(n) for n in range(100)]
    pages = grown([], rows)
    assert {len(page) // ROW_BYTES for _, page in pages} == {3, 4}
    [(lowest, page)] = grown(pages[:1], [b"\0" * 15 + b"\1" + pack_index(7)])
    assert (lowest, len(page)) == (pages[0][0], len(pages[0][1]) + ROW_BYTES)


def test_a_page_into_which_nothing_goes_is_not_written_again(few_rows_a_page):
    pages = grown([], [bytes((n,)) * KEY_BYTES + pack_index(n) for n in range(12)])
    changed = grown(pages, [bytes((11,)) * 15 + b"\xff" + pack_index(0)])
    assert [lowest for lowest, _ in changed] == [pages[-1][0]]


def test_a_row_is_not_found_across_two_others():
    """A validator chooses references: one that is the end of a row and the start of the next."""
    first, second = b"a" * 16 + pack_index(1), b"b" * 16 + pack_index(2)
    across = (first + second)[8:24]
    assert row_among(first + second, across) is None
    assert row_among(first + second + across + pack_index(3), across) == pack_index(3)


def test_rows_are_not_added_to_a_page_that_was_cut_off():
    with pytest.raises(StoreDamagedError):
        grown([(b"a" * 16, bytes(25))], [b"b" * 24])
