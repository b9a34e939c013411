"""Rows with random keys that wait in memory to be put into their tables many at a time.

`by_subject` and `by_request` have keys that are spread evenly, on purpose. Put wave by wave, nearly
every row costs a page of its own: 15 µs for the two rows of a record at 600,000 records, and rising
(measured). So rows first go, in the order in which they come, into the table `recent`, a value for
some hundred entries, which makes them durable for next to nothing; and they are kept here. When
there are many, some slices of the key space are put into the tables, sorted, so that a page that is
written takes several rows, and no transaction is long. How many is many follows from how large the
tables are: what a row costs depends on how many others share its page. (A fixed number was
measured: 16 µs an entry at a million and 32 at ten millions.)

After a crash `recent` is read back. Rows must not be put twice, so each transaction that puts a
slice also says below which index all rows of that slice are in the tables (`merged` in `meta`). A
value of `recent` is deleted when all slices have been put since it was written.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from struct import Struct
from typing import Final, TypeAlias

from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.store.row_pages import ROW_BYTES, cut, find_row, row_among
from heptad_ledger.store.wave import pack_index

WAITING_PER_PAGE: Final = 20
"""Rows that wait for each of LMDB's pages that the tables take, which hold 170 rows."""

ROWS_MIN: Final = 8_192
ROWS_MAX: Final = 1 << 22
"""Rows kept, of both kinds together, at most: about 115 MB, from 30 million rows on."""

SLICES: Final = 256
"""Parts of the key space, by the first byte of the key."""

BINS: Final = 4
"""Parts of a slice, by the next two bits: few enough rows to look one up among them (4 µs)."""

PART_ENTRIES: Final = 340
"""Entries whose rows are one value of `recent`: with two rows each it fills four pages of LMDB, and
is soon written anew when one of its rows is erased."""

Row: TypeAlias = tuple[bytes, bytes]
"""A 16-byte key and a packed index."""

Bins: TypeAlias = tuple[bytearray, ...]
"""Rows of 24 bytes, by the first ten bits of their keys; in each in the order of coming."""

_ROW: Final = Struct("16s8s")
_COUNT: Final = Struct(">I")
_INDEX_OF: Final = itemgetter(1)
_MERGED: Final = Struct(f">{SLICES}Q")


class RecentView:
    """The rows as they were found when it was made, and some that came later.

    Whoever reads must look at an index only if it is below the size of the log that it sees.
    """

    __slots__ = ("_by_request", "_by_subject")

    def __init__(self, by_subject: Bins, by_request: Bins) -> None:
        self._by_subject = by_subject
        self._by_request = by_request

    def subject_row(self, row_key: bytes) -> bytes | None:
        """The packed index in a row of `by_subject`."""
        return row_among(self._by_subject[_bin_of(row_key)], row_key)

    def request(self, request_ref: bytes) -> bytes | None:
        """The packed index in a row of `by_request`."""
        return row_among(self._by_request[_bin_of(request_ref)], request_ref)


class RecentRows:
    """The rows that are not in their tables yet. Changed by the writing thread only.

    Rows are kept as bytes in bins, not as objects: millions of small objects that stay cost eight
    times the memory, and scatter what every later wave allocates over all of it (2 µs an entry).
    """

    def __init__(self, merged_until: Sequence[int] = (0,) * SLICES) -> None:
        """`merged_until`: for each slice, below which entry index all rows are in the tables."""
        self.merged_until = tuple(merged_until)
        self._by_subject: Bins = tuple(bytearray() for _ in range(SLICES * BINS))
        self._by_request: Bins = tuple(bytearray() for _ in range(SLICES * BINS))
        self._next_slice = self.merged_until.index(min(self.merged_until))
        self.count = 0
        """Rows held."""

    def view(self) -> RecentView:
        """For a snapshot; take it *before* the snapshot's transaction begins.

        Bins grow in place, and are replaced where rows leave them: so this view keeps what an older
        transaction does not see in the tables yet.
        """
        return RecentView(self._by_subject, self._by_request)

    def add(self, *, by_subject: Sequence[Row], by_request: Sequence[Row]) -> None:
        """Hold these rows."""
        for bins, rows in ((self._by_subject, by_subject), (self._by_request, by_request)):
            for key, index in rows:
                bins[key[0] << 2 | key[1] >> 6].extend(key + index)
            self.count += len(rows)

    def remove(self, *, by_subject: Iterable[bytes], by_request: Iterable[bytes]) -> None:
        """Drop the rows with these keys, as far as they are held."""
        self._by_subject = self._without(self._by_subject, by_subject)
        self._by_request = self._without(self._by_request, by_request)

    def due(self, pages_in_tables: int) -> list[int]:
        """The slices to put into the tables now, the one that has waited longest first.

        `pages_in_tables`: how many pages of LMDB both tables take.
        """
        rows_max = min(max(pages_in_tables * WAITING_PER_PAGE, ROWS_MIN), ROWS_MAX)
        slices: list[int] = []
        rest = self.count
        while rest > rows_max and len(slices) < SLICES:
            number = (self._next_slice + len(slices)) % SLICES
            slices.append(number)
            rest -= self._count_of(number)
        return slices

    def all_slices(self) -> list[int]:
        """Every slice."""
        return list(range(SLICES))

    def sorted_rows(self, slices: Iterable[int]) -> tuple[list[bytes], list[bytes]]:
        """The rows of some slices for `by_subject` and `by_request`, 24 bytes each, by key."""
        ordered = sorted(slices)
        return _sorted(self._by_subject, ordered), _sorted(self._by_request, ordered)

    def merged_with(self, slices: Sequence[int], *, until_index: int) -> tuple[int, ...]:
        """`merged_until`, once these slices are in the tables up to that entry index."""
        merged = list(self.merged_until)
        for number in slices:
            merged[number] = until_index
        return tuple(merged)

    def merged(self, slices: Sequence[int], *, until_index: int) -> None:
        """These slices are in their tables durably, with all rows below that entry index."""
        if not slices:
            return
        self.count -= sum(map(self._count_of, slices))
        self._by_subject = _emptied(self._by_subject, slices)
        self._by_request = _emptied(self._by_request, slices)
        self._next_slice = (slices[-1] + 1) % SLICES
        self.merged_until = self.merged_with(slices, until_index=until_index)

    def _count_of(self, number: int) -> int:
        """Rows in one slice."""
        bins = chain(_of_slice(self._by_subject, number), _of_slice(self._by_request, number))
        return sum(map(len, bins)) // ROW_BYTES

    def _without(self, bins: Bins, keys: Iterable[bytes]) -> Bins:
        left = list(bins)
        for key in keys:
            place = _bin_of(key)
            at = find_row(left[place], key)
            if at >= 0:
                left[place] = left[place][:at] + left[place][at + ROW_BYTES :]
                self.count -= 1
        return tuple(left)


def those_waiting(rows: Iterable[Row], merged_until: Sequence[int]) -> list[Row]:
    """Those rows of a wave that are not in their tables yet."""
    until = [pack_index(index) for index in merged_until]
    return [row for row in rows if row[1] >= until[row[0][0]]]


def _bin_of(key: bytes) -> int:
    return key[0] << 2 | key[1] >> 6


def _of_slice(bins: Bins, number: int) -> Bins:
    return bins[number * BINS : (number + 1) * BINS]


def _sorted(bins: Bins, numbers: Iterable[int]) -> list[bytes]:
    """The rows of some slices, which ascend; bin after bin, for a small one sorts in the cache."""
    return [
        row
        for number in numbers
        for each in filter(None, _of_slice(bins, number))
        for row in sorted(cut(bytes(each)))
    ]


def _emptied(bins: Bins, slices: Iterable[int]) -> Bins:
    left = list(bins)
    for number in slices:
        left[number * BINS : (number + 1) * BINS] = [bytearray() for _ in range(BINS)]
    return tuple(left)


def pack_merged(merged_until: Sequence[int]) -> bytes:
    """As a value of `meta`: u64be for each slice."""
    return _MERGED.pack(*merged_until)


def unpack_merged(packed: bytes) -> tuple[int, ...]:
    """What `pack_merged` packed. Raises: StoreDamagedError."""
    if len(packed) != _MERGED.size:
        raise StoreDamagedError(f"{len(packed)} bytes do not say what {SLICES} slices hold")
    return _MERGED.unpack(packed)


def pack_rows(*, by_subject: Sequence[Row], by_request: Sequence[Row]) -> bytes:
    """Some rows as one value of `recent`: u32be how many of `by_subject`, then all rows."""
    flat = chain.from_iterable((*by_subject, *by_request))
    return _COUNT.pack(len(by_subject)) + b"".join(flat)


def packed_wave(
    *, by_subject: Sequence[Row], by_request: Sequence[Row], first_index: int, until_index: int
) -> Iterator[tuple[bytes, bytes]]:
    """A wave's rows, which ascend by index, as rows of `recent`: a part for each few entries."""
    subjects_from = requests_from = 0
    for first in range(first_index, until_index, PART_ENTRIES):
        end = pack_index(min(first + PART_ENTRIES, until_index))
        subjects_until = bisect_left(by_subject, end, subjects_from, key=_INDEX_OF)
        requests_until = bisect_left(by_request, end, requests_from, key=_INDEX_OF)
        subjects = by_subject[subjects_from:subjects_until]
        requests = by_request[requests_from:requests_until]
        if subjects or requests:
            yield pack_index(first), pack_rows(by_subject=subjects, by_request=requests)
        subjects_from, requests_from = subjects_until, requests_until


def unpack_rows(packed: bytes) -> tuple[list[Row], list[Row]]:
    """What `pack_rows` packed. Raises: StoreDamagedError."""
    by_subject, by_request = _parts(packed)
    return list(_ROW.iter_unpack(by_subject)), list(_ROW.iter_unpack(by_request))


def without_rows(packed: bytes, rows: Iterable[bytes]) -> bytes:
    """Packed rows without some of them, 24 bytes each. Raises: StoreDamagedError."""
    parts = _parts(packed)
    for row in rows:
        places = [find_row(part, row) for part in parts]
        parts = tuple(
            part if at < 0 else part[:at] + part[at + ROW_BYTES :]
            for part, at in zip(parts, places, strict=True)
        )
    return _COUNT.pack(len(parts[0]) // ROW_BYTES) + b"".join(parts)


def _parts(packed: bytes) -> tuple[bytes, ...]:
    """The rows of each kind in a value of `recent`. Raises: StoreDamagedError."""
    count = int.from_bytes(packed[: _COUNT.size], "big")
    rows_there, rest = divmod(len(packed) - _COUNT.size, ROW_BYTES)
    if rest or count > rows_there:
        raise StoreDamagedError(f"{len(packed)} bytes are no rows, of which {count} by subject")
    end = _COUNT.size + count * ROW_BYTES
    return packed[_COUNT.size : end], packed[end:]
