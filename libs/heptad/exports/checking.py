"""Checks an export off line: every file, every entry, and that its tables say what its proofs say.

What can be proved is proved: that each entry is in a log which the policy believes, and that it
commits to the private half beside it. What follows from that is made again and compared: the rows
of `data.json`, all of `data.csv` and `accesses.json`. The rest (what the cell says of its services,
the pages for people) is held against the manifest's hashes and cannot be more than the cell's word;
nor can it be proved that an export is complete.

An archive may come from anybody. It is read file by file, never unpacked, within limits.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from heptad.crypto import strict_json
from heptad.crypto.accesses import parse_access, verify_access
from heptad.crypto.jwk import PublicKey
from heptad.crypto.signatures import verify
from heptad.exports.archive import ACCESS_KINDS, access_of, csv_line
from heptad.exports.erased import FILES as ERASED_FILES
from heptad.exports.held import FORMAT, Held
from heptad.exports.rows import COLUMNS, Row, cells_of, receipt_name, row_of, to_json
from heptad.model.entry import Kind
from heptad.model.own_actions import REGISTER
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint, Finding, TimeWindow, examine_checkpoint
from heptad.transparency.errors import FormatError
from heptad.transparency.policy import Policy
from heptad.verification.bundles import Keys, examine_signed
from heptad.verification.errors import ReceiptUnreadableError, VerificationError
from heptad.verification.receipt_file import FILE_BYTES_MAX, ReceiptFile
from heptad.verification.receipts import CLOCK_BOUND_S, examine_under

ENTRIES_MAX: Final = 1_000_000
MANIFEST_BYTES_MAX: Final = 256 << 20
CHECKPOINT_BYTES_MAX: Final = 1 << 20
LINE_BYTES_MAX: Final = 1 << 20
TROUBLES_TOLD_MAX: Final = 20

_CHUNK: Final = 1 << 20


class ExportUnreadableError(VerificationError):
    """A file is not an export at all; nothing has been checked."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """By what an export is judged; services' and attestation keys are by key id, out of cell.toml.

    Without them everything is judged but the signatures under bundles and accesses.
    """

    policy: Policy
    now_s: int
    services: Keys | None = None
    attestation: Mapping[str, PublicKey] | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was found. `manifest` is as it stands there; `kinds` counts the entries checked."""

    findings: tuple[Finding, ...]
    manifest: Mapping[str, object]
    checkpoint: Checkpoint | None
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every finding holds."""
        return all(finding.holds for finding in self.findings)


def is_export(path: Path) -> bool:
    """Whether a file is a zip archive."""
    return path.is_file() and zipfile.is_zipfile(path)


def check_export(
    path: Path, *, by: Trusted, tell: Callable[[int, int], None] = lambda done, total: None
) -> ExportReport:
    """Check all of an archive; `tell` hears of entries checked, out of how many.

    Raises: ExportUnreadableError; OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Check(archive, by, tell).run()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ExportUnreadableError(f"the archive is damaged: {error}") from None


class _Check:
    def __init__(
        self, archive: zipfile.ZipFile, by: Trusted, tell: Callable[[int, int], None]
    ) -> None:
        self._archive = archive
        self._by = by
        self._tell = tell
        self._findings: list[Finding] = []
        self._manifest = self._read_manifest()
        self._subject = str(self._manifest.get("subject", ""))
        self._troubles: list[str] = []
        self._trouble_count = 0
        self._kinds: Counter[str] = Counter()
        self._not_held = 0
        self._note = b""

    def run(self) -> ExportReport:
        self._check_files()
        if self._manifest.get("state") == "erased":
            surplus = sorted(self._listed().keys() - ERASED_FILES)
            wrong = [f"it holds {surplus[0]} nevertheless"] if surplus else []
            self._add("erased", wrong, "nothing is held; the certificate is checked by itself")
            return ExportReport(tuple(self._findings), self._manifest, None)
        checkpoint = self._check_checkpoint() if self._all_hold() else None
        if checkpoint is not None:
            self._check_entries(checkpoint)
        return ExportReport(
            tuple(self._findings), self._manifest, checkpoint, dict(sorted(self._kinds.items()))
        )

    # Files.

    def _read_manifest(self) -> dict[str, object]:
        try:
            manifest = strict_json.decode(self._read("manifest.json", MANIFEST_BYTES_MAX))
        except strict_json.StrictJsonError as error:
            raise ExportUnreadableError(f"manifest.json: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ExportUnreadableError(f"manifest.json is not one of {FORMAT!r}")
        return manifest

    def _check_files(self) -> None:
        """Each file is the manifest's, and there is no other."""
        listed = self._listed()
        there = [name for name in self._archive.namelist() if name != "manifest.json"]
        wrong = [f"{name} is there twice" for name, n in Counter(there).items() if n > 1]
        wrong += [f"{name} is missing" for name in listed.keys() - set(there)]
        wrong += [f"{name} is not the manifest's" for name in set(there) - listed.keys()]
        for name in sorted(listed.keys() & set(there)):
            if self._digest(name, listed[name][0]) != listed[name][1]:
                wrong.append(f"{name} is not what the manifest says")
        size = sum(size for size, _ in listed.values())
        self._add("files", wrong, f"{len(listed)} files, {size} bytes: SHA-256 as listed")

    def _listed(self) -> dict[str, tuple[int, str]]:
        files = self._manifest.get("files")
        if not isinstance(files, list):
            raise ExportUnreadableError("manifest.json lists no files")
        listed: dict[str, tuple[int, str]] = {}
        for file in files:
            match file:
                case {"name": str(name), "bytes": int(size), "sha256": str(digest)}:
                    listed[name] = size, digest
                case _:
                    raise ExportUnreadableError("manifest.json: a file without its hash")
        return listed

    def _digest(self, name: str, size: int) -> str:
        """SHA-256 of a file, as far as the manifest says that it goes and a byte more."""
        digest = sha256()
        with self._archive.open(name) as file:
            while size >= 0 and (data := file.read(min(_CHUNK, size + 1))):
                digest.update(data)
                size -= len(data)
        return digest.hexdigest()

    def _read(self, name: str, bytes_max: int) -> bytes:
        try:
            with self._archive.open(name) as file:
                data = file.read(bytes_max + 1)
        except KeyError:
            raise ExportUnreadableError(f"it holds no {name}") from None
        if len(data) > bytes_max:
            raise ExportUnreadableError(f"{name} has more than {bytes_max} bytes")
        return data

    # The log.

    def _check_checkpoint(self) -> Checkpoint | None:
        window = TimeWindow.until(self._by.now_s, bound_s=CLOCK_BOUND_S)
        try:
            self._note = self._read("checkpoint", CHECKPOINT_BYTES_MAX)
            examined = examine_checkpoint(
                self._note, policy=self._by.policy, verify=verify, window=window
            )
        except FormatError as error:
            self._add("checkpoint", [str(error)], "")
            return None
        self._findings += examined.findings
        origin = examined.checkpoint.origin
        wrong = [] if self._manifest.get("origin") == origin else [f"it is one of {origin}"]
        self._add("origin", wrong, f"{origin}, {examined.checkpoint.size} entries")
        return examined.checkpoint if self._all_hold() else None

    # Entries.

    def _check_entries(self, checkpoint: Checkpoint) -> None:
        scope = self._manifest.get("scope")
        total = scope.get("entries") if isinstance(scope, dict) else None
        if type(total) is not int or not 0 <= total <= ENTRIES_MAX:
            raise ExportUnreadableError("manifest.json: scope.entries is no number of entries")
        table, accesses = _Expected(csv_line(COLUMNS)), _Expected(b'{"accesses":[')
        count, separator = 0, "\n"
        for row in self._rows():
            count += 1
            self._check_entry(row, checkpoint)
            table.add(csv_line(cells_of(row)))
            if row.get("kind") in {kind.name for kind in ACCESS_KINDS}:
                accesses.add(f"{separator}{to_json(access_of(row))}".encode())
                separator = ",\n"
            if count > ENTRIES_MAX:
                raise ExportUnreadableError(f"more than {ENTRIES_MAX} entries")
            self._tell(count, total)
        accesses.add(b"\n]}\n")
        wrong = [] if count == total else [f"{count} entries, the manifest says {total}"]
        receipts = sum(name.startswith("receipts/") for name in self._listed())
        wrong += [] if receipts == count else [f"{receipts} receipts of {count} entries"]
        detail = f"{count} entries, each in the log and with the private half that it commits to"
        if self._not_held:
            detail += f"; of {self._not_held} the private half is not held any more"
        self._add("entries", wrong + self._troubles, detail, count=self._trouble_count)
        for name, expected in (("data.csv", table), ("accesses.json", accesses)):
            is_same = expected.digest() == self._listed()[name][1]
            self._add(name, [] if is_same else ["not what the entries say"], "as the entries say")

    def _rows(self) -> Iterator[Row]:
        """The rows of data.json, one a line."""
        with self._archive.open("data.json") as file:
            head = _line(file)
            if not head.endswith(b'"entries":['):
                raise ExportUnreadableError("data.json does not begin as it should")
            while (line := _line(file)) and line != b"]}":
                try:
                    row = strict_json.decode(line.removesuffix(b","))
                except strict_json.StrictJsonError as error:
                    raise ExportUnreadableError(f"data.json: a line is {error}") from None
                if not isinstance(row, dict):
                    raise ExportUnreadableError("data.json: a line is no entry")
                yield row

    def _check_entry(self, row: Row, checkpoint: Checkpoint) -> None:
        index = row.get("index")
        if type(index) is not int:
            raise ExportUnreadableError("data.json: an entry without its index")
        try:
            file = ReceiptFile.parse(self._read(receipt_name(index), FILE_BYTES_MAX))
        except (ReceiptUnreadableError, ExportUnreadableError) as error:
            self._trouble(index, str(error))
            return
        proved = row_of(Held(index, file.entry, file.payload, file.witness))
        for finding in self._examined(file, str(proved["kind"]), checkpoint):
            if not finding.holds:
                self._trouble(index, f"{finding.subject}: {finding.detail}")
        if file.receipt.leaf_index != index or file.receipt.checkpoint != self._note:
            self._trouble(index, "its receipt is of another entry, or under another checkpoint")
        if json.loads(to_json(proved)) != row:
            self._trouble(index, "data.json says something else of it than its receipt")
        self._kinds[str(proved["kind"])] += 1
        record = proved["record"]
        assert isinstance(record, dict)
        self._not_held += record["type"] == "not held"
        if self._subject_of(record) not in ("", self._subject):
            self._trouble(index, "it is another subject's")

    def _examined(self, file: ReceiptFile, kind: str, checkpoint: Checkpoint) -> Iterator[Finding]:
        yield from examine_under(file, checkpoint)
        if kind == Kind.EVENT.name:
            yield from examine_signed(file, keys=self._by.services).findings
        elif kind == Kind.ACCESS.name and file.payload is not None and self._by.attestation:
            yield _examine_attested(file.payload, self._by.attestation)

    @staticmethod
    def _subject_of(record: Mapping[str, object]) -> str:
        """Whom a record is about; empty where it does not say, as a registration cannot."""
        claims = record.get("claims")
        if isinstance(claims, dict) and claims["act"] != REGISTER:
            return str(claims["iss"])
        return str(record.get("subject", ""))

    # Findings.

    def _all_hold(self) -> bool:
        return all(finding.holds for finding in self._findings)

    def _trouble(self, index: int, what: str) -> None:
        self._trouble_count += 1
        if len(self._troubles) < TROUBLES_TOLD_MAX:
            self._troubles.append(f"entry {index}: {what}")

    def _add(self, subject: str, wrong: list[str], detail: str, *, count: int = 0) -> None:
        told = "; ".join(wrong[:TROUBLES_TOLD_MAX])
        more = max(count, len(wrong)) - TROUBLES_TOLD_MAX
        told += f"; and {more} more" if more > 0 else ""
        self._findings.append(Finding(subject, holds=not wrong, detail=told or detail))


def _examine_attested(payload: bytes, keys: Mapping[str, PublicKey]) -> Finding:
    """Did the ledger say that? Raises nothing: what cannot be read is told elsewhere."""
    try:
        signed = parse_access(payload)
        key = keys.get(signed.kid)
        if key is None:
            return Finding("attestation", holds=False, detail="by a key that cell.toml lacks")
        verify_access(signed, key)
    except Problem as problem:
        return Finding("attestation", holds=False, detail=problem.detail)
    return Finding("attestation", holds=True, detail="the ledger has signed it")


class _Expected:
    """What a file must hold, of which only the hash is kept."""

    def __init__(self, head: bytes) -> None:
        self._digest = sha256(head)

    def add(self, data: bytes) -> None:
        self._digest.update(data)

    def digest(self) -> str:
        return self._digest.hexdigest()


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(LINE_BYTES_MAX + 1)
    if len(line) > LINE_BYTES_MAX:
        raise ExportUnreadableError(f"data.json: a line of more than {LINE_BYTES_MAX} bytes")
    return line.rstrip(b"\n")
