"""A copy of the vault that opens under a key of its own, made for a backup.

The live root key must have no second copy: destroying it is what erasing means. So where a copy is
to be opened on its own, the copy's root node is sealed anew under a fresh *backup key*, and that
key is what is kept, apart, until its day comes and it is destroyed like any root key. Everything
below the root stays as it is, and a vault restored from the copy is an ordinary one whose root key
happens to be the backup key.
"""

from collections.abc import Callable
from pathlib import Path

from heptad.crypto import aead
from heptad.crypto.errors import SealBrokenError
from heptad.vault.errors import VaultCorruptError
from heptad.vault.genesis import root_key_of
from heptad.vault.node_store import NodeStore, VaultState
from heptad.vault.nodes import ROOT, open_node, seal_node
from heptad.vault.root_keys import ROOT_KEY_BYTES, RootKey, RootKeyStore


def read_state(copy: Path, *, map_bytes: int) -> VaultState:
    """Where a copy that nobody has open stands. Raises: VaultFaultError."""
    store = NodeStore(copy, map_bytes=map_bytes, is_read_only=True)
    try:
        return store.state()
    finally:
        store.close()


def rewrap(
    copy: Path, roots: RootKeyStore, *, map_bytes: int, entropy: Callable[[int], bytes]
) -> RootKey:
    """Let the database in `copy` open under a fresh key only; return that key, of the same epoch.

    Raises: RootKeyLostError if `roots` does not hold the copy's root key: an erasure has come
    between, and a newer copy is needed; VaultFaultError.
    """
    store = NodeStore(copy, map_bytes=map_bytes)
    try:
        state = store.state()
        held = root_key_of(roots, state.epoch)
        blob = store.blob(ROOT)
        if blob is None:
            raise VaultCorruptError("the database holds no root node")
        try:
            plaintext = open_node(ROOT, blob, key=held.key)
        except SealBrokenError:
            raise VaultCorruptError("the root node does not open") from None
        fresh = RootKey(state.epoch, entropy(ROOT_KEY_BYTES))
        nonce = entropy(aead.NONCE_BYTES)
        sealed = seal_node(ROOT, plaintext, key=fresh.key, epoch=fresh.epoch, nonce=nonce)
        store.commit(state, {ROOT: sealed})
    finally:
        store.close()
    return fresh
