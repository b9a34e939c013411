"""Rows with random keys that wait in memory to be put into their tables many at a time.

`by_subject` and `by_request` have keys that are spread evenly, on purpose. Put wave by wave, nearly
every row costs a page of its own: 15 µs for the two rows of a record at 600,000 records, and rising
(measured). So rows first go, in the order in which they come, into the table `recent`, one value
for each wave, which makes them durable for next to nothing; and they are kept here. When there are
many, one sixteenth of the key space is put into the tables, sorted, so that a page that is written
takes several rows, and no transaction is long. How many is many follows from how large the tables
are: what a row costs depends on how many others share its page, which is the part of the tables
that waits. (A fixed number was measured: 16 µs an entry at a million and 32 at ten millions.)

After a crash `recent` is read back; rows that have been put already are put again, which changes
nothing. A value of `recent` is deleted when all sixteenths have been put since it was written.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from struct import Struct
from typing import Final, TypeAlias

from heptad_ledger.errors import StoreDamagedError

WAITING_PART: Final = 12
"""One row waits for so many that are in their tables."""

ROWS_MIN: Final = 8_192
ROWS_MAX: Final = 1_572_864
"""Rows kept, of both kinds together, at most: about 300 MB, from 19 million rows on."""

SLICES: Final = 16

Row: TypeAlias = tuple[bytes, bytes]
"""A 16-byte key and a packed index."""

Slices: TypeAlias = tuple[dict[bytes, bytes], ...]

_ROW: Final = Struct("16s8s")
_COUNT: Final = Struct(">I")


class RecentView:
    """The rows as they were found when it was made, and some that came later.

    Whoever reads must look at an index only if it is below the size of the log that it sees.
    """

    __slots__ = ("_by_request", "_by_subject")

    def __init__(self, by_subject: Slices, by_request: Slices) -> None:
        self._by_subject = by_subject
        self._by_request = by_request

    def subject_row(self, row_key: bytes) -> bytes | None:
        """The packed index in a row of `by_subject`."""
        return self._by_subject[row_key[0] >> 4].get(row_key)

    def request(self, request_ref: bytes) -> bytes | None:
        """The packed index in a row of `by_request`."""
        return self._by_request[request_ref[0] >> 4].get(request_ref)


class RecentRows:
    """The rows that are not in their tables yet. Changed by the writing thread only."""

    def __init__(self) -> None:
        self._by_subject: list[dict[bytes, bytes]] = [{} for _ in range(SLICES)]
        self._by_request: list[dict[bytes, bytes]] = [{} for _ in range(SLICES)]
        self._merged_until = [0] * SLICES
        self._next_slice = 0
        self.count = 0
        """Rows held."""

    def view(self) -> RecentView:
        """For a snapshot; take it *before* the snapshot's transaction begins.

        A slice that is put into its tables is replaced here, never emptied, so this view keeps what
        an older transaction does not see in the tables yet.
        """
        return RecentView(tuple(self._by_subject), tuple(self._by_request))

    def requests_among(self, refs: Iterable[bytes]) -> dict[bytes, bytes]:
        """The rows of `by_request` with these references."""
        slices = self._by_request
        return {ref: slices[ref[0] >> 4][ref] for ref in refs if ref in slices[ref[0] >> 4]}

    def add(self, *, by_subject: Sequence[Row], by_request: Sequence[Row]) -> None:
        """Hold these rows."""
        for slices, rows in ((self._by_subject, by_subject), (self._by_request, by_request)):
            for key, index in rows:
                slices[key[0] >> 4][key] = index
            self.count += len(rows)

    def remove(self, *, by_subject: Sequence[Row], by_request: Sequence[Row]) -> None:
        """Undo `add` for a wave that was not written."""
        for slices, rows in ((self._by_subject, by_subject), (self._by_request, by_request)):
            for key, _ in rows:
                del slices[key[0] >> 4][key]
            self.count -= len(rows)

    def due(self, rows_in_tables: int) -> list[int]:
        """The slices to put into the tables now, the one that has waited longest first.

        `rows_in_tables` counts the rows that both tables hold already.
        """
        rows_max = min(max(rows_in_tables // WAITING_PART, ROWS_MIN), ROWS_MAX)
        slices: list[int] = []
        rest = self.count
        while rest > rows_max and len(slices) < SLICES:
            number = (self._next_slice + len(slices)) % SLICES
            slices.append(number)
            rest -= len(self._by_subject[number]) + len(self._by_request[number])
        return slices

    def all_slices(self) -> list[int]:
        """Every slice."""
        return list(range(SLICES))

    def sorted_rows(self, number: int) -> tuple[list[Row], list[Row]]:
        """One slice's rows for `by_subject` and `by_request`, by key."""
        return _by_key(self._by_subject[number]), _by_key(self._by_request[number])

    def merged(self, slices: Sequence[int], *, until_index: int) -> None:
        """These slices are in their tables durably, with all rows below that entry index."""
        for number in slices:
            self.count -= len(self._by_subject[number]) + len(self._by_request[number])
            self._by_subject[number], self._by_request[number] = {}, {}
            self._merged_until[number] = until_index
            self._next_slice = (number + 1) % SLICES

    def merged_until(self, slices: Sequence[int], *, until_index: int) -> int:
        """Below which entry index no row would be needed any more once these slices are merged."""
        kept = (u for number, u in enumerate(self._merged_until) if number not in slices)
        return min(kept, default=until_index)


def _by_key(rows: dict[bytes, bytes]) -> list[Row]:
    """Sorting keys and looking up is twice as fast as sorting pairs."""
    return [(key, rows[key]) for key in sorted(rows)]


def pack_rows(*, by_subject: Sequence[Row], by_request: Sequence[Row]) -> bytes:
    """A wave's rows as one value of `recent`: u32be how many of `by_subject`, then all rows."""
    flat = chain.from_iterable((*by_subject, *by_request))
    return _COUNT.pack(len(by_subject)) + b"".join(flat)


def unpack_rows(packed: bytes) -> tuple[list[Row], list[Row]]:
    """What `pack_rows` packed. Raises: StoreDamagedError."""
    count = int.from_bytes(packed[: _COUNT.size], "big")
    rows_there, rest = divmod(len(packed) - _COUNT.size, _ROW.size)
    if rest or count > rows_there:
        raise StoreDamagedError(f"{len(packed)} bytes are no rows, of which {count} by subject")
    rows = list(_ROW.iter_unpack(memoryview(packed)[_COUNT.size :]))
    return rows[:count], rows[count:]
