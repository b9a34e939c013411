"""The checkpoint that somebody kept elsewhere, and that nothing published may contradict.

A ledger that was put back to an older state, or built anew, knows nothing of what it had published
since. The checkpoint in the file `kept-checkpoint` does: a quorum has cosigned it, so the log had
that many entries with that root. Until the log is as large again, nothing is published (what is
smaller was overtaken long ago, and to auditors it would be a rollback); when it is, its own tree
must have the kept root at the kept size, or nothing is published ever again. The file stays, and is
held against the log after each start: it costs a few reads of tiles.
"""

from pathlib import Path
from typing import Final

from heptad.crypto import signatures
from heptad.runtime.disk import write_atomically
from heptad.transparency.checkpoint import Checkpoint, verify_checkpoint
from heptad.transparency.errors import TransparencyError
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import HashReader, TiledTree
from heptad_ledger.errors import KeptCheckpointError

KEPT_FILE: Final = "kept-checkpoint"
NOTE_BYTES_MAX: Final = 1 << 16


def read_kept(path: Path, policy: Policy) -> Checkpoint | None:
    """The kept checkpoint, its signatures checked; None if there is no such file.

    Raises: KeptCheckpointError.
    """
    try:
        with path.open("rb") as file:
            note = file.read(NOTE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeptCheckpointError(f"{path}: {error.strerror}") from error
    return verified(note, policy, name=str(path))


def lay_kept(data: Path, note: bytes) -> None:
    """Put a note that was `verified` where the ledger of this `data` looks. Raises: OSError."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(data / KEPT_FILE, note, mode=0o600)


def verified(note: bytes, policy: Policy, *, name: str) -> Checkpoint:
    """A note as the checkpoint that it is, by this policy. Raises: KeptCheckpointError."""
    try:
        return verify_checkpoint(note, policy=policy, verify=signatures.verify)
    except TransparencyError as error:
        raise KeptCheckpointError(f"{name}: {error}") from error


class Anchor:
    """Says which heads may be published; with no kept checkpoint, all."""

    def __init__(self, kept: Checkpoint | None, tiles: HashReader) -> None:
        """`tiles` are the log's own, up to all that is applied."""
        self._kept = kept
        self._tiles = tiles
        self._is_proven = kept is None

    @property
    def size(self) -> int:
        """Below this size nothing is published."""
        return self._kept.size if self._kept is not None else 0

    def allows(self, size: int) -> bool:
        """Whether the log's head of this size may be published; False while it is too small.

        Raises: KeptCheckpointError if the log does not lead to the kept checkpoint.
        """
        if self._is_proven or self._kept is None:
            return True
        if size < self._kept.size:
            return False
        try:
            root = TiledTree(size=self._kept.size, tiles=self._tiles).root()
        except TransparencyError as error:
            raise KeptCheckpointError(f"the tiles of {self._kept.size} entries: {error}") from error
        if root != self._kept.root:
            raise KeptCheckpointError(
                f"this log's first {self._kept.size} entries have root {root.hex()}, the kept "
                f"checkpoint says {self._kept.root.hex()}: keep both, for a quorum has signed two "
                "histories; nothing is published any more"
            )
        self._is_proven = True
        return True
