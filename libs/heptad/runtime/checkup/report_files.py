"""What `heptad debug zip` gathers: enough to find a fault, and nothing that must not leave.

Taken by name, never by folder: configuration, policy, the ends of logs, metrics, the doctor's
findings, names and sizes of files, versions. No private key, no data file, no profile. Logs hold no
personal data by their own rule; all text goes through `redacted` all the same, since this file is
made to be sent to somebody.
"""

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from heptad.runtime.checkup.findings import Finding
from heptad.runtime.checkup.running import exposition_of
from heptad.runtime.child_log import LOG_FILE
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.files import CELL_FILE, NODE_FILE
from heptad.runtime.genesis import POLICY_FILE
from heptad.runtime.mesh import SUPERVISOR_LOG_FILE, members_here, scrape_targets

LOG_BYTES_MAX: Final = 1 << 20
"""The end of each log that is taken."""

LISTED_MAX: Final = 20_000
WITHHELD: Final = "[withheld]"

_JWS: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}")
_PEM: Final = re.compile(r"-----BEGIN[^-]*PRIVATE[^-]*-----.*?(?:-----END[^-]*-----|\Z)", re.DOTALL)
_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


def report_files(home: Path, cell: Cell, findings: list[Finding]) -> Iterator[tuple[str, str]]:
    """Names in the archive, and their text, redacted."""
    subject = re.compile(rf"\b{re.escape(cell.code)}-[a-z2-7]{{26}}\b")
    for name, text in _files(home, cell, findings):
        yield name, redacted(text, subject=subject)


def redacted(text: str, *, subject: re.Pattern[str]) -> str:
    """Without what looks like a signed request, a private key, an e-mail address or a subject."""
    for pattern in (_PEM, _JWS, _ADDRESS, subject):
        text = pattern.sub(WITHHELD, text)
    return text


def _files(home: Path, cell: Cell, findings: list[Finding]) -> Iterator[tuple[str, str]]:
    yield "doctor.json", json.dumps([asdict(finding) for finding in findings], indent=1)
    yield "machine.json", json.dumps(_machine(home), indent=1)
    yield "files.txt", "\n".join(_listing(home))
    for name in (CELL_FILE, POLICY_FILE):
        yield name, _text(home / name)
    yield f"logs/{SUPERVISOR_LOG_FILE}", _end(home / SUPERVISOR_LOG_FILE)
    for member_id in members_here(home, cell):
        yield f"{member_id}/{NODE_FILE}", _text(home / member_id / NODE_FILE)
        yield f"logs/{member_id}.jsonl", _end(home / member_id / LOG_FILE)
    for member_id, address in scrape_targets(home, cell).items():
        page = exposition_of(address)
        yield f"metrics/{member_id}.txt", "no answer\n" if page is None else page


def _machine(home: Path) -> dict[str, object]:
    found = os.statvfs(home)
    return {
        "system": platform.platform(),
        "python": sys.version,
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": os.getloadavg(),
        "disk_free_bytes": found.f_bavail * found.f_frsize,
        "packages": {each.metadata["Name"]: each.version for each in distributions()},
    }


def _listing(home: Path) -> Iterator[str]:
    """Mode, size and name of every file, as far as there are not too many."""
    for count, path in enumerate(sorted(home.rglob("*"))):
        if count == LISTED_MAX:
            yield f"… and more than {LISTED_MAX}"
            return
        try:
            found = path.lstat()
        except OSError:
            continue  # It went while the folder was listed: a ready file, a log that was turned.
        yield f"{found.st_mode:o} {found.st_size:>14} {path.relative_to(home)}"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        return f"not read: {error.strerror}\n"


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES_MAX))
            return file.read(LOG_BYTES_MAX).decode("utf-8", "replace")
    except OSError as error:
        return f"not read: {error.strerror}\n"
