"""Rows of 24 bytes with random keys, kept in pages: one value of a table holds hundreds of them.

A tree that keeps each row by itself pays for each: a search, ten bytes of a node beside the row's
24, and half-empty leaves. Here a page is the key of its lowest row and all rows from there up to
the next page's key, in no order. Adding rows is joining bytes, and finding one is looking through
its page (1 to 3 µs), whatever the table's size. A page that has become too large is divided at the
middle of its rows, so that keys which somebody has chosen make no page larger than others.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import lmdb

from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.environment import seek_at_most

KEY_BYTES: Final = 16
ROW_BYTES: Final = 24
"""A key and a packed index."""

PAGE_ROWS_MAX: Final = 682
"""So that a page and its header fill four pages of LMDB, and its half three."""

Page: TypeAlias = tuple[bytes, bytes]
"""The key of its lowest row, and its rows."""


def find_row(rows: bytes | bytearray, key: bytes) -> int:
    """Where among rows the one with that key begins; -1 if there is none."""
    at = rows.find(key)
    while at >= 0 and at % ROW_BYTES:
        at = rows.find(key, at + 1)
    return at


def row_among(rows: bytes | bytearray, key: bytes) -> bytes | None:
    """The packed index in the row with that key."""
    at = find_row(rows, key)
    return None if at < 0 else bytes(rows[at + KEY_BYTES : at + ROW_BYTES])


def cut(rows: bytes) -> list[bytes]:
    """A page's rows, one by one."""
    return [rows[at : at + ROW_BYTES] for at in range(0, len(rows), ROW_BYTES)]


def get_row(cursor: lmdb.Cursor, key: bytes) -> bytes | None:
    """The packed index in the row with that key."""
    return row_among(bytes(cursor.value()), key) if seek_at_most(cursor, key) else None


def put_rows(cursor: lmdb.Cursor, rows: Sequence[bytes]) -> None:
    """Add rows, which ascend and are not there yet. Raises: StoreDamagedError."""
    if not rows:
        return
    pages = list(_pages_over(cursor, rows))
    if pages and rows[0] < pages[0][0]:
        # Rows below all others: the first page gets the key of its new lowest row.
        cursor.set_key(pages[0][0])
        cursor.delete()
        pages[0] = rows[0][:KEY_BYTES], pages[0][1]
    cursor.putmulti(grown(pages, rows))


def delete_row(cursor: lmdb.Cursor, key: bytes) -> bytes | None:
    """Delete the row with that key; return its packed index, None if it was not there."""
    if not seek_at_most(cursor, key):
        return None
    lowest, rows = bytes(cursor.key()), bytes(cursor.value())
    at = find_row(rows, key)
    if at < 0:
        return None
    rest = rows[:at] + rows[at + ROW_BYTES :]
    if lowest == key or not rest:
        cursor.delete()
    if rest:
        cursor.put(min(cut(rest))[:KEY_BYTES], rest)
    return rows[at + KEY_BYTES : at + ROW_BYTES]


def grown(pages: Sequence[Page], rows: Sequence[bytes]) -> list[Page]:
    """Those of some pages that follow each other which change when rows are added.

    Rows ascend, and are not below the first page's key, nor at or above that of a page behind the
    last. Without pages new ones are made. Raises: StoreDamagedError.
    """
    if not pages:
        return _divided(b"".join(rows))
    changed: list[Page] = []
    start = 0
    for place, (lowest, before) in enumerate(pages, start=1):
        is_last = place == len(pages)
        end = len(rows) if is_last else bisect_left(rows, pages[place][0], start)
        if end == start:
            continue
        if len(before) % ROW_BYTES:
            raise StoreDamagedError(f"{len(before)} bytes are no page of rows")
        after = before + b"".join(rows[start:end])
        is_large = len(after) > PAGE_ROWS_MAX * ROW_BYTES
        changed += _divided(after) if is_large else [(lowest, after)]
        start = end
    return changed


def _divided(rows: bytes) -> list[Page]:
    """Pages of at least half the largest size, where there are so many rows."""
    ordered = sorted(cut(rows))
    count = max(1, 2 * len(ordered) // PAGE_ROWS_MAX)
    bounds = [len(ordered) * number // count for number in range(count + 1)]
    parts = (ordered[start:end] for start, end in pairwise(bounds))
    return [(part[0][:KEY_BYTES], b"".join(part)) for part in parts]


def _pages_over(cursor: lmdb.Cursor, rows: Sequence[bytes]) -> Iterator[Page]:
    """The pages to which these rows belong, and those between; the first is never left out."""
    found = seek_at_most(cursor, rows[0][:KEY_BYTES]) or cursor.first()
    while found:
        yield bytes(cursor.key()), bytes(cursor.value())
        found = cursor.next() and bytes(cursor.key()) < rows[-1]
