"""Tells in memory that a request was never met, so that a new one costs no look-up in its table.

Nearly every request is new, and to find that out in a table of millions takes several µs. Here a
request sets two of the eight bits of one byte (a Bloom filter whose blocks are bytes): if one of
them is not set, it has not been met; if both are, the table is asked. The size is fixed: 3 bytes
for each of ten million requests, of which 1 in 60 new ones is looked up for nothing, and 1 in 7 of
fifty million.

Which byte is decided by `hash`, which is keyed anew for each process: no validator can choose
references that all fall on one byte. So the filter is not kept on disk. After a start it does not
know what is in the table, and learns it in the order of keys, a part with each wave; whatever lies
above what it knows may have been met.
"""

from collections.abc import Collection, Iterable
from typing import Final

import lmdb

from heptad_ledger.store.environment import seek_at_most
from heptad_ledger.store.row_pages import KEY_BYTES, cut

FILTER_BYTES: Final = 1 << 25
LEARNED_AT_ONCE: Final = 65_536
"""Rows learned with each wave, at least: 30 to 50 ms."""

_PLACE: Final = FILTER_BYTES - 1
_BITS: Final = [
    1 << first | 1 << second for first in range(8) for second in range(8) if first != second
]
_PAIRS: Final = bytes(_BITS[number % len(_BITS)] for number in range(256))
"""Two bits of a byte, by eight other bits of the hash."""


class RequestFilter:
    """The requests of one store. For the writing thread."""

    def __init__(self) -> None:
        self._bytes = bytearray(FILTER_BYTES)
        self._unknown_from: bytes | None = b""
        """The table's references from here on have not been learned; None if all have been."""

    def meet(self, references: Collection[bytes]) -> list[bytes]:
        """Those that may have been met before; from now on all of them have been."""
        suspects = self._met(references)
        unknown_from = self._unknown_from
        if unknown_from is None:
            return suspects
        known = set(references).difference(suspects)
        return suspects + [reference for reference in known if reference >= unknown_from]

    def learn(self, cursor: lmdb.Cursor) -> None:
        """Learn a part of what the table holds, if there is anything left; a page at a time."""
        if self._unknown_from is None:
            return
        found = seek_at_most(cursor, self._unknown_from) or cursor.first()
        left = LEARNED_AT_ONCE
        while found and left > 0:
            rows = cut(bytes(cursor.value()))
            self._met(row[:KEY_BYTES] for row in rows)
            left -= len(rows)
            found = cursor.next()
        self._unknown_from = bytes(cursor.key()) if found else None

    def _met(self, references: Iterable[bytes]) -> list[bytes]:
        """Set the bits of all; return those whose bits were set already."""
        met, pairs, place = self._bytes, _PAIRS, _PLACE
        suspects: list[bytes] = []
        for reference in references:
            spread = hash(reference)
            bits = pairs[spread >> 40 & 255]
            if met[spread & place] & bits == bits:
                suspects.append(reference)
            else:
                met[spread & place] |= bits
        return suspects
