"""A subject's data as an archive that it can read, keep, and prove entry by entry.

A ledger writes it (`Archive`, over its own `Source`), anybody checks it (`check_export`).
"""

from heptad.exports.archive import Archive, Piece
from heptad.exports.checking import (
    ExportReport,
    ExportUnreadableError,
    Trusted,
    check_export,
    is_export,
)
from heptad.exports.erased import AboutErased, erased_archive
from heptad.exports.held import FORMAT, About, Held, ServiceFacts, Source
from heptad.exports.zip_stream import ArchiveTooLargeError

__all__ = [
    "FORMAT",
    "About",
    "AboutErased",
    "Archive",
    "ArchiveTooLargeError",
    "ExportReport",
    "ExportUnreadableError",
    "Held",
    "Piece",
    "ServiceFacts",
    "Source",
    "Trusted",
    "check_export",
    "erased_archive",
    "is_export",
]
