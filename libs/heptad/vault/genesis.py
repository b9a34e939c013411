"""How a vault begins, and which root key is the one in use.

Nothing here ever destroys a root key: one that seems to belong to nothing may belong to a database
that is merely absent.
"""

from collections.abc import Callable
from typing import Final

from heptad.vault.cell_keys import CellKeys
from heptad.vault.draft import Draft
from heptad.vault.errors import RootKeyLostError, VaultMissingError
from heptad.vault.node_store import NodeStore, VaultState
from heptad.vault.nodes import CELL, ROOT, empty_node
from heptad.vault.open_nodes import OpenNodes
from heptad.vault.root_keys import ROOT_KEY_BYTES, RootKey, RootKeyStore

FIRST_EPOCH: Final = 1
FIRST_SLOT: Final = 1
"""Slot 0 is never given out: in protobuf, 0 also means "not set"."""


def make_if_missing(
    store: NodeStore, roots: RootKeyStore, *, now_ms: int, entropy: Callable[[int], bytes]
) -> None:
    """Write the root and the cell node of a new vault, unless there is a vault.

    Crash after staging the first root key: it has sealed nothing, and the next attempt uses it.
    Raises: RootKeyLostError if there is no database but the root key of a later epoch.
    """
    try:
        store.state()
    except VaultMissingError:
        root_key = _first_root_key(roots, entropy)
    else:
        return
    nodes = OpenNodes(store, root_key)
    nodes.remember(ROOT, empty_node(ROOT))
    draft = Draft(nodes, rekey=False, entropy=entropy)
    draft.node(CELL)[:] = CellKeys.new(now_ms=now_ms, entropy=entropy).to_bytes()
    store.commit(VaultState(FIRST_EPOCH, FIRST_SLOT), draft.seal(root_key))


def _first_root_key(roots: RootKeyStore, entropy: Callable[[int], bytes]) -> RootKey:
    held = roots.read()
    if not held:
        root_key = RootKey(FIRST_EPOCH, entropy(ROOT_KEY_BYTES))
        roots.stage(root_key)
        return root_key
    if [key.epoch for key in held] == [FIRST_EPOCH]:
        return held[0]
    raise RootKeyLostError(
        f"no database, but root keys of the epochs {[key.epoch for key in held]}: restore the"
        " database that belongs to them"
    )


def root_key_of(roots: RootKeyStore, epoch: int) -> RootKey:
    """The root key of the database's epoch. Raises: RootKeyLostError."""
    held = roots.read()
    for key in held:
        if key.epoch == epoch:
            return key
    raise RootKeyLostError(
        f"the database is at epoch {epoch}; root keys are held of {[key.epoch for key in held]}"
    )
