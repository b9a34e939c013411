"""The archive that a subject gets: its files in their order, written as they are made.

    README.txt  checkpoint  data.json  data.csv  sources.json  accesses.json
    receipts/000000000042.json …  index.html (pages/0001.html …)  manifest.json

Several passes over the entries, since a zip holds one file after the other; nothing of a pass is
kept but counts and the files' hashes. The manifest comes last, for it names all others.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from heptad.exports import pages
from heptad.exports.by_hand import read_me
from heptad.exports.held import FORMAT, About, Source
from heptad.exports.rows import COLUMNS, Row, cells_of, in_utc, receipt_name, row_of, to_json
from heptad.exports.zip_stream import ZipStream
from heptad.model.entry import Kind
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note
from heptad.verification.receipt_file import FORMAT as RECEIPT_FORMAT

ACCESS_KINDS: Final = frozenset({Kind.ACCESS, Kind.EXPORT})
_SAID: Final = ("role", "by", "action", "what", "ground", "reason")
"""What `accesses.json` repeats of a record of access."""

SERVICES_MAX: Final = 1_000
"""Services that are counted by name: a validator may have written any."""

PIECE_BYTES: Final = 64 << 10
PASSES: Final = 6
SCHEMAS: Final = {"export": FORMAT, "receipt": RECEIPT_FORMAT, "entry": "heptad.entry.v1/1"}


@dataclass(frozen=True, slots=True)
class Piece:
    """The archive's next bytes, and how much of the work is done."""

    data: bytes
    done: int
    total: int


class Archive:
    """One export; `pieces` can be taken once."""

    def __init__(self, source: Source, about: About) -> None:
        self._source = source
        self._about = about
        self._zip = ZipStream(time_ms=about.created_ms)
        # The manifest's lines: a hundred bytes for each file, as they will stand there.
        self._files = bytearray()
        self._kinds: Counter[str] = Counter()
        self._services: Counter[str] = Counter()
        self._not_held = 0
        self._done = 0
        self._total = PASSES * len(source.indexes)

    def pieces(self) -> Iterator[Piece]:
        """All of the archive, entry by entry. Raises: ArchiveTooLargeError, and the source's."""
        about = self._about
        yield from self._file("README.txt", [read_me(self._about, self._source.indexes)])
        yield from self._file("checkpoint", [about.checkpoint.note])
        yield from self._file("data.json", self._data_json())
        yield from self._file("data.csv", self._data_csv())
        yield from self._file("sources.json", [self._sources_json()])
        yield from self._file("accesses.json", self._accesses_json())
        for held in self._source.held():
            receipt = self._source.receipt(held).encode()
            yield from self._file(receipt_name(held.index), [receipt])
            self._done += 1
        yield from self._pages()
        yield from self._file("manifest.json", self._manifest())
        yield from map(self._piece, _cut(self._zip.finish()))

    @property
    def _is_complete(self) -> bool:
        return self._about.from_index == 0 and self._source.continues_at is None

    # Files.

    def _file(self, name: str, content: Iterable[bytes]) -> Iterator[Piece]:
        digest, size = sha256(), 0
        yield self._piece(self._zip.begin(name))
        for data in content:
            digest.update(data)
            size += len(data)
            yield self._piece(self._zip.write(data))
        yield self._piece(self._zip.end())
        line = to_json({"name": name, "bytes": size, "sha256": digest.hexdigest()})
        self._files += b",\n  " * bool(self._files) + line.encode()

    def _piece(self, data: bytes) -> Piece:
        return Piece(data, self._done, self._total)

    def _data_json(self) -> Iterator[bytes]:
        head = {"format": FORMAT, "origin": self._about.origin, "subject": self._about.subject_id}
        yield to_json(head)[:-1].encode() + b',"entries":['
        separator = "\n"
        for row in self._rows():
            self._count(row)
            yield f"{separator}{to_json(row)}".encode()
            separator = ",\n"
        yield b"\n]}\n"

    def _data_csv(self) -> Iterator[bytes]:
        yield csv_line(COLUMNS)
        for row in self._rows():
            yield csv_line(cells_of(row))

    def _accesses_json(self) -> Iterator[bytes]:
        yield b'{"accesses":['
        separator = "\n"
        for row in self._rows(ACCESS_KINDS):
            yield f"{separator}{to_json(access_of(row))}".encode()
            separator = ",\n"
        yield b"\n]}\n"

    def _sources_json(self) -> bytes:
        return _pretty({"services": sources_of(self._about, self._services)})

    def _pages(self) -> Iterator[Piece]:
        index = self._source.indexes
        numbered = pages.page_count(len(index))
        summary = pages.Summary(
            about=self._about,
            sources=sources_of(self._about, self._services),
            kinds=dict(sorted(self._kinds.items())),
            not_held=self._not_held,
            pages=numbered,
            continues_at=self._source.continues_at,
        )
        rows = self._rows()
        for page in range(1, numbered + 1):
            name = pages.page_name(page)
            yield from self._file(name, pages.entries_page(summary, page, rows))
        accesses = map(access_of, self._rows(ACCESS_KINDS))
        yield from self._file("index.html", pages.first_page(summary, accesses, rows))

    def _manifest(self) -> Iterator[bytes]:
        about, index = self._about, self._source.indexes
        checkpoint = Checkpoint.parse(Note.parse(about.checkpoint.note).text)
        members: dict[str, object] = {
            "format": FORMAT,
            "state": "complete" if self._is_complete else "part",
            "origin": about.origin,
            "subject": about.subject_id,
            "created": in_utc(about.created_ms),
            "requested_by": {"role": about.role, "id": about.caller},
            "recorded_at_index": about.own_index,
            "software": about.software,
            "schemas": SCHEMAS,
            "scope": {
                "entries": len(index),
                "first_index": index[0] if index else None,
                "last_index": index[-1] if index else None,
                "from_index": about.from_index,
                "continues_at": self._source.continues_at,
                "kinds": dict(sorted(self._kinds.items())),
                "private_halves_not_held": self._not_held,
            },
            "checkpoint": {
                "file": "checkpoint",
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
            },
        }
        yield _pretty(members)[:-3] + b',\n "files": ['
        yield b"\n  "
        yield from _cut(bytes(self._files))
        yield b"\n ]\n}\n"

    # Rows.

    def _rows(self, kinds: Container[Kind] | None = None) -> Iterator[Row]:
        """The rows of all entries, or of those of some kinds."""
        done = self._done
        for held in self._source.held(kinds):
            yield row_of(held)
            self._done += 1
        self._done = done + len(self._source.indexes)

    def _count(self, row: Mapping[str, object]) -> None:
        self._kinds[str(row["kind"])] += 1
        record = row["record"]
        assert isinstance(record, dict)
        self._not_held += record["type"] == "not held"
        service = str(row.get("service", ""))
        if service in self._services or len(self._services) < SERVICES_MAX:
            self._services[service] += 1


def access_of(row: Mapping[str, object]) -> dict[str, object]:
    """Who opened the data, out of the row of an entry that records it."""
    record = row["record"]
    assert isinstance(record, dict)
    if record["type"] == "access":
        said = {name: record[name] for name in _SAID}
    else:
        said = {**dict.fromkeys(_SAID, ""), "role": "subject", "action": row["action"]}
    return {"index": row["index"], "time": row["time"], **said, "outcome": row["outcome"]}


def sources_of(about: About, counts: Mapping[str, int]) -> list[dict[str, object]]:
    """What the cell says of each service that stands in the subject's entries."""
    known = {service.id: service for service in about.services}
    facts: list[dict[str, object]] = []
    for name in sorted(name for name in counts if name):
        service = known.get(name)
        facts.append(
            {
                "service": name,
                "entries": counts[name],
                "is_configured": service is not None,
                "purpose": service.purpose if service else "",
                "recipients": list(service.recipients) if service else [],
                "retention": service.retention if service else "",
            }
        )
    return facts


def _cut(data: bytes) -> Iterator[bytes]:
    """What grows with the number of files, in pieces that do not."""
    return (data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))


def csv_line(cells: Iterable[str]) -> bytes:
    """One line of `data.csv`, as RFC 4180 has it."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8")


def _pretty(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
