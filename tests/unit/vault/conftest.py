"""A small vault on a real disk, and root key stores that fail where a test wants."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.root_keys import RootKey, RootKeyStore
from heptad.vault.tree import KeyTree

MAP_BYTES = 64 * 1024 * 1024
NOW_MS = 1_700_000_000_000


class Crash(BaseException):
    """The process ends here; nothing may catch it and go on."""


class CrashingRootKeyStore:
    """A port around the file store that crashes at one named point, once."""

    backend = FileRootKeyStore.backend

    def __init__(self, inner: RootKeyStore, crash: Callable[[str], None]) -> None:
        self._inner = inner
        self.caveat = inner.caveat
        self._crash = crash

    def read(self) -> Sequence[RootKey]:
        return self._inner.read()

    def stage(self, key: RootKey) -> None:
        self._crash("before stage")
        self._inner.stage(key)
        self._crash("after stage")

    def efface_all_but(self, epoch: int) -> None:
        self._crash("before efface")
        self._inner.efface_all_but(epoch)
        self._crash("after efface")


class Vault:
    """The folders of a vault and the tree that is open on them."""

    def __init__(self, home: Path) -> None:
        self.database = home / "db"
        self.root_folder = home / "root"
        self.roots: RootKeyStore = FileRootKeyStore(self.root_folder)
        self.tree = KeyTree.create(self.database, self.roots, now_ms=NOW_MS, map_bytes=MAP_BYTES)

    def reopen(self, roots: RootKeyStore | None = None) -> KeyTree:
        """Close without any farewell and open again, as after a crash."""
        self.tree.close()
        self.roots = roots or FileRootKeyStore(self.root_folder)
        self.tree = KeyTree.open(self.database, self.roots, map_bytes=MAP_BYTES)
        return self.tree

    def now_and_after_a_restart(self) -> Iterator[KeyTree]:
        yield self.tree
        yield self.reopen()

    def crash_at(self, point: str) -> None:
        """Go on with a root key store that crashes at the next `point`."""
        self.reopen()

        def crash(here: str) -> None:
            if here == point:
                raise Crash(point)

        # Not through `reopen`, whose own recovery would already meet the point.
        self.tree._roots = CrashingRootKeyStore(self.roots, crash)

    def root_epochs(self) -> list[int]:
        return [key.epoch for key in FileRootKeyStore(self.root_folder).read()]


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "vault")
    yield made
    made.tree.close()
