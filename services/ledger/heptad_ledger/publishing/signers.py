"""The keys with which this ledger signs checkpoints: one, or two while one takes over.

Which of the log's public keys sign is told by the private keys that lie here: `log.pem`, and beside
it `log.next.pem` once `cell.toml` names it. While both lie here every checkpoint carries both
signatures, so whoever judges by the old policy, and whoever judges by the new one, finds the one
that it knows, and ignores the other as a key that it does not know (C2SP signed-note).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.runtime.config.cell import Cell
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.vkeys import log_vkeys
from heptad.transparency.checkpoint import Checkpoint, sign_checkpoint
from heptad.transparency.notes import NoteSignature, Sign, VerifierKey

_ROLE: Final = KeyRole.LOG


@dataclass(frozen=True, slots=True)
class LogSigner:
    """A key of the log: its public half as notes name it, and its signing."""

    key: VerifierKey
    sign: Sign = field(repr=False)

    def signature(self, checkpoint: Checkpoint) -> NoteSignature:
        """The line for a note of this checkpoint."""
        return sign_checkpoint(checkpoint, key=self.key, sign=self.sign)


def log_signers(cell: Cell, keys: Path) -> Sequence[LogSigner]:
    """Those whose private halves lie in the folder `keys`, the older one first.

    A next key that `cell.toml` does not name yet is left alone: its rotation was cut off, and goes
    on from there. Raises: KeyFileError; ConfigInvalidError for a key that is not in use.
    """
    replaced = sum(bool(later.alone_since) for later in cell.ledger.later_log_keys)
    in_use = {key.public_key: key for key in log_vkeys(cell)[replaced:]}
    path, next_path = keys / _ROLE.file_name, keys / _ROLE.next_file_name
    private = load_service_key(path)
    if private.public_key not in in_use:
        raise ConfigInvalidError((f"{path}: is not a log key that cell.toml has in use",))
    signers = [LogSigner(in_use[private.public_key], private.sign)]
    if next_path.exists():
        private = load_service_key(next_path)
        if private.public_key in in_use:
            signers.append(LogSigner(in_use[private.public_key], private.sign))
    return signers
