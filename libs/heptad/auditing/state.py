"""What an auditor remembers between two looks, and the one file that it stands in.

The file holds the last checkpoint that passed every check, verbatim, and the partial tiles of the
tree that the auditor hashed itself. Nothing in it is believed when it is read: the tiles must fold
to the checkpoint's root, and the checkpoint must satisfy the policy. It is written after a check
has passed, and by a rename: whenever the auditor is killed, the file is of the check before or of
this one, and what is lost is read again.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from heptad.auditing.errors import StateInUseError, StateUnreadableError
from heptad.auditing.walk import Walk
from heptad.crypto import strict_json
from heptad.runtime.disk import write_atomically
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.errors import FormatError, TransparencyError
from heptad.transparency.notes import Note, decode_base64, encode_base64
from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad.verification.open_tree import OpenTree

FORMAT: Final = "heptad-audit-state/v1"
STATE_FILE: Final = "state.json"
LOCK_FILE: Final = "lock"
STATE_BYTES_MAX: Final = 1 << 20
CHARGES_MAX: Final = 256
"""Charges remembered; a cell has at most two for each member and one for each validator."""


@dataclass(frozen=True, slots=True)
class AuditState:
    """The last good look. Before the first one `note` is empty.

    `charges` says at which index the log holds the evidence of each charge; `verified_at_s` is when
    the check passed, seconds since 1970; `walk` how far the log was read again since.
    """

    note: str = ""
    tree: OpenTree = field(default_factory=OpenTree)
    charges: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    verified_at_s: int = 0
    walk: Walk = field(default_factory=Walk)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The head of `note`; None before the first good look."""
        return Checkpoint.parse(Note.parse(self.note.encode()).text) if self.note else None

    def encode(self) -> bytes:
        """The file's bytes."""
        members = {
            "format": FORMAT,
            "checkpoint": self.note,
            "tiles": {str(n): encode_base64(t.hashes) for n, t in self.tree.open_tiles.items()},
            "charges": dict(self.charges),
            "verified_at_s": self.verified_at_s,
            "walk": self.walk.members(),
        }
        return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a file; its tiles are held against its checkpoint. Raises: StateUnreadableError."""
        try:
            note, tiles, charges, verified_at_s, walked = _members(data)
            size = Checkpoint.parse(Note.parse(note.encode()).text).size if note else 0
            hashes = {int(level): decode_base64(text) for level, text in tiles.items()}
            tree = OpenTree.of_tiles(size=size, hashes=hashes)
            walk = Walk.parse(walked, bundles=size // TILE_WIDTH)
        except (TransparencyError, ValueError) as error:
            raise StateUnreadableError(f"the auditor's state: {error}") from None
        state = cls(note, tree, MappingProxyType(charges), verified_at_s, walk)
        if (head := state.checkpoint) is not None and tree.edge.root() != head.root:
            raise StateUnreadableError("the auditor's state: its tiles are not its checkpoint's")
        return state


def note_of_file(data: bytes) -> bytes:
    """The checkpoint in another auditor's state file, or the bytes themselves: a note as it is.

    Raises: StateUnreadableError.
    """
    if not data.lstrip().startswith(b"{"):
        return data
    try:
        return _members(data)[0].encode()
    except (FormatError, ValueError) as error:
        raise StateUnreadableError(f"another auditor's state: {error}") from None


def _members(data: bytes) -> tuple[str, dict[str, str], dict[str, int], int, object]:
    """Raises: ValueError, in the widest sense."""
    if len(data) > STATE_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes; {STATE_BYTES_MAX} may be")
    members = strict_json.decode(data)
    if not isinstance(members, dict) or members.get("format") != FORMAT:
        raise ValueError(f"not of the format {FORMAT!r}")
    match members:
        case {
            "checkpoint": str(note),
            "tiles": dict(tiles),
            "charges": dict(charges),
            "verified_at_s": int(verified_at_s),
        } if all(isinstance(tile, str) for tile in tiles.values()) and all(
            isinstance(index, int) for index in charges.values()
        ):
            # A state of a version that read nothing again begins its first round.
            return note, tiles, charges, verified_at_s, members.get("walk", Walk().members())
    raise ValueError("a member is missing or of the wrong type")


class StateFolder:
    """The folder of one auditor: its state, its lock, and the alarms that it raised."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be, and keep others out of it.

        Raises: StateInUseError, if another auditor works there; OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StateInUseError(f"another auditor works in {folder}") from None

    def load(self) -> AuditState:
        """What was saved; an empty state where there is none. Raises: StateUnreadableError."""
        try:
            with (self.folder / STATE_FILE).open("rb") as file:
                data = file.read(STATE_BYTES_MAX + 1)
        except FileNotFoundError:
            return AuditState()
        return AuditState.parse(data)

    def save(self, state: AuditState) -> None:
        """Replace what was saved. Raises: OSError."""
        write_atomically(self.folder / STATE_FILE, state.encode(), mode=0o644)

    def close(self) -> None:
        """Let others in."""
        os.close(self._lock)
