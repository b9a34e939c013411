"""What a backup says of itself, and the key file that lies apart from it.

    backup.json      this manifest, written last: a folder without it is no backup
    log/data.mdb     the log's database
    vault/data.mdb   the vault's, in ciphertext
    checkpoint       the last checkpoint of that log, if any was published
    cell.toml, policy, config.toml
    backup-keys.json the book of backup keys, with the one of this backup

The hashes find a copy that a disk or a transfer has changed. They prove nothing against somebody
who can write the folder; that is what a checkpoint kept elsewhere is for.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heptad.vault.root_keys import ROOT_KEY_BYTES, RootKey
from heptad_ledger.errors import BackupError

MANIFEST_FILE: Final = "backup.json"
CHECKPOINT_FILE: Final = "checkpoint"
FORMAT: Final = "heptad-backup/1"
KEY_FORMAT: Final = "heptad-backup-key/1"
MANIFEST_BYTES_MAX: Final = 1 << 20

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of a backup: its path in the folder, how long it is, its SHA-256 in hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `size` and `root` (hex) are the log's; `checkpoint_size` is 0 where none was published. `epoch`
    and `slot_next` are the vault's. `key_expires_ms` says until when the backup key is meant to be
    kept, 0 if none was made, and `key_id` which one in the book of keys it is. Times are
    milliseconds since 1970.
    """

    origin: str
    created_ms: int
    size: int
    root: str
    height: int
    checkpoint_size: int
    epoch: int
    slot_next: int
    key_expires_ms: int
    files: tuple[FileFacts, ...]
    key_id: str = ""

    def encode(self) -> bytes:
        """The manifest's file."""
        return _json({"format": FORMAT, **dataclasses.asdict(self)})


@dataclass(frozen=True, slots=True)
class BackupKey:
    """The root key of a backup's vault, and the day on which it is to be destroyed."""

    origin: str
    root: RootKey
    created_ms: int
    expires_ms: int

    def encode(self) -> bytes:
        """The key's file; whoever has it and the backup reads everything that was not erased."""
        return _json(
            {
                "format": KEY_FORMAT,
                "origin": self.origin,
                "epoch": self.root.epoch,
                "key": self.root.key.hex(),
                "created_ms": self.created_ms,
                "expires_ms": self.expires_ms,
            }
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises: BackupError; OSError, if there is none."""
    values = _read(folder / MANIFEST_FILE, FORMAT)
    try:
        files = tuple(FileFacts(**_typed(FileFacts, facts)) for facts in values.pop("files"))
        return Manifest(files=files, **_typed(Manifest, values))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{folder / MANIFEST_FILE}: is no manifest ({error})") from error


def read_key(path: Path) -> BackupKey:
    """A backup key. Raises: BackupError, which holds nothing of the key; OSError."""
    values = _read(path, KEY_FORMAT)
    try:
        root = RootKey(int(values["epoch"]), bytes.fromhex(values["key"]))
        key = BackupKey(
            str(values["origin"]), root, int(values["created_ms"]), int(values["expires_ms"])
        )
    except (KeyError, TypeError, ValueError):
        raise BackupError(f"{path}: is no backup key") from None
    if len(root.key) != ROOT_KEY_BYTES:
        raise BackupError(f"{path}: is no backup key")
    return key


def facts_of(folder: Path, path: str) -> FileFacts:
    """Size and hash of a file of a backup. Raises: OSError."""
    digest, size = hashlib.sha256(), 0
    with (folder / path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileFacts(path, size, digest.hexdigest())


def require_whole(folder: Path, manifest: Manifest) -> None:
    """Hold every file against the manifest. Raises: BackupError, naming the first that differs."""
    for facts in manifest.files:
        if Path(facts.path).is_absolute() or ".." in Path(facts.path).parts:
            raise BackupError(f"{MANIFEST_FILE} names {facts.path!r}, outside of the backup")
        try:
            found = facts_of(folder, facts.path)
        except OSError as error:
            raise BackupError(f"{folder / facts.path}: {error.strerror}") from error
        if found != facts:
            raise BackupError(
                f"{folder / facts.path}: has {found.size_bytes} bytes with SHA-256 {found.sha256}, "
                f"the manifest says {facts.size_bytes} with {facts.sha256}"
            )


def _read(path: Path, format_name: str) -> dict[str, Any]:
    with path.open("rb") as file:
        content = file.read(MANIFEST_BYTES_MAX)
    try:
        values = json.loads(content)
    except ValueError:
        raise BackupError(f"{path}: cannot be read") from None
    if not isinstance(values, dict) or values.pop("format", None) != format_name:
        raise BackupError(f"{path}: is no {format_name}")
    return values


def _typed(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values, each of them of its field's type."""
    for name, value in values.items():
        wanted = kind.__annotations__[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TypeError(f"{name} is no {wanted.__name__}")
    return values


def _json(values: dict[str, object]) -> bytes:
    return json.dumps(values, indent=1).encode() + b"\n"
