"""Where the root key lives: the one secret whose every copy must be destroyed by overwriting.

Keys in a database cannot be destroyed: it copies on write, and old pages stay. Hence the vault
keeps everything wrapped, and only the 32-byte root key needs a place that can be effaced. That
place is a port, so that a hardware module or the replicas can take it over later.

Two keys exist only between "stage" and "efface": the next one is made durable before the database
moves to it, and the previous one is destroyed afterwards (`heptad.vault.tree`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heptad.vault.errors import RootKeyStoreError

ROOT_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class RootKey:
    """The root key of one epoch; `epoch` counts from 1, `key` has 32 bytes."""

    epoch: int
    key: bytes

    def __repr__(self) -> str:
        return f"RootKey(epoch={self.epoch})"


class RootKeyStore(Protocol):
    """A place for at most two root keys, which can be destroyed one by one."""

    @property
    def backend(self) -> str:
        """The kind of place, as an erasure certificate names it."""

    @property
    def caveat(self) -> str:
        """What this kind of place cannot promise, in one sentence for the certificate."""

    def read(self) -> Sequence[RootKey]:
        """The whole keys held, oldest first. A torn key is not among them.

        Raises: RootKeyStoreError.
        """

    def stage(self, key: RootKey) -> None:
        """Hold one more key, durably when this returns; the key held before stays untouched.

        Raises: RootKeyStoreError, also if the place for it is not effaced.
        """

    def efface_all_but(self, epoch: int) -> None:
        """Destroy every key, whole or torn, except the one of `epoch`, and read back that it is so.

        Doing it twice is the same as once. When it fails, every key may still be there.
        Raises: RootKeyStoreError, also, with nothing destroyed, if the key to keep is not held.
        """


class MemoryRootKeyStore:
    """Root keys in memory, for tests and simulations: gone with the process."""

    backend: Final = "memory"
    caveat: Final = "the key is in the memory of one process and does not survive it"

    def __init__(self) -> None:
        self._slots: list[RootKey | None] = [None, None]

    def read(self) -> Sequence[RootKey]:
        """As the port says."""
        return sorted((key for key in self._slots if key), key=lambda key: key.epoch)

    def stage(self, key: RootKey) -> None:
        """As the port says."""
        if self._slots[key.epoch % 2] is not None:
            raise RootKeyStoreError(f"the place for epoch {key.epoch} is not effaced")
        self._slots[key.epoch % 2] = key

    def efface_all_but(self, epoch: int) -> None:
        """As the port says."""
        refuse_to_keep_nothing(self.read(), epoch)
        self._slots = [key if key and key.epoch == epoch else None for key in self._slots]


def refuse_to_keep_nothing(held: Sequence[RootKey], epoch: int) -> None:
    """Raise RootKeyStoreError unless the key of `epoch` is held: effacing all of them loses all."""
    if all(key.epoch != epoch for key in held):
        epochs = [key.epoch for key in held]
        raise RootKeyStoreError(f"epoch {epoch} is to be kept, but only {epochs} are held")
