"""The vault: subjects' keys in a tree whose root key can be destroyed.

Every node is encrypted under a key of its own that its parent holds, and the root under a key that
lives outside the database, in a `RootKeyStore` (Reardon, Basin and Capkun, "Secure data deletion
from persistent media", CCS 2013). Erasing a slot gives fresh keys to the path above it and then
destroys one thing only, the old root key: from then on no old page, snapshot or copy of the
database opens the erased key, while all other keys live on under the new root.

The order of an erasure, and what a crash leaves behind:

1. the replicas have ordered it (the caller's part);
2. records and rows are deleted (the caller's part, while the key still finds them);
3. the next root key is staged.         Crash: the database is still at the old epoch; the staged
                                        key has sealed nothing that counts and is destroyed.
4. the new path is committed, epoch + 1. Crash: the database is at the new epoch; the old root key
                                        is found beside the new one and destroyed then.
5. the old root key is effaced and read back;
6. open nodes are dropped, leases waited for (the caller's part);
7. the caller attests.

So the epoch in the database decides, and opening the vault ends what a crash interrupted. After a
crash the caller erases the same slots again: what is done already is answered from the record.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Final

from heptad.crypto.sealing import RoutingKey
from heptad.vault.cell_keys import CellKeys, DatedRoutingKey
from heptad.vault.draft import Draft
from heptad.vault.errors import (
    SlotErasedError,
    SlotUnknownError,
    VaultCorruptError,
    VaultFullError,
)
from heptad.vault.genesis import FIRST_SLOT, make_if_missing, root_key_of
from heptad.vault.node_store import ErasedSlot, NodeStore, VaultState
from heptad.vault.nodes import (
    CELL,
    KEY_BYTES,
    NO_KEY,
    ROOT,
    SLOTS_MAX,
    key_at,
    place_of,
    put_key,
)
from heptad.vault.open_nodes import OpenNodes
from heptad.vault.root_keys import ROOT_KEY_BYTES, RootKey, RootKeyStore
from heptad.vault.steps import OnStep, Step, unheard

MAP_BYTES_DEFAULT: Final = 16 * 1024**3
"""Room for all 134 million slots and the pages that rewriting them leaves free."""

ALLOCATION_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class SlotKey:
    """A slot's number, for good, and its 32-byte key."""

    slot: int
    key: bytes

    def __repr__(self) -> str:
        return f"SlotKey(slot={self.slot})"


class KeyTree:
    """The vault of one cell. One process holds it; its methods may be called from any thread."""

    def __init__(
        self,
        store: NodeStore,
        roots: RootKeyStore,
        *,
        state: VaultState,
        root_key: RootKey,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Use `KeyTree.create` or `KeyTree.open`."""
        self._store = store
        self._roots = roots
        self._entropy = entropy
        self._state = state
        self._nodes = OpenNodes(store, root_key)
        self._cell_keys: CellKeys | None = None
        self._roots_settled = True
        self._lock = RLock()
        self.on_step: OnStep = unheard
        """Told of steps 3 to 5 of each change of the root key, as they become durable."""

    @classmethod
    def create(
        cls,
        folder: Path,
        roots: RootKeyStore,
        *,
        now_ms: int,
        map_bytes: int = MAP_BYTES_DEFAULT,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> "KeyTree":
        """Make a new, empty vault with the cell's keys, or open it if this was done already.

        A crash in the middle leaves at most the first root key, which is then used: no root key is
        ever destroyed here, for it may belong to a database that is merely absent.
        Raises: RootKeyLostError if there is no database but the root key of a later epoch.
        """
        store = NodeStore(folder, map_bytes=map_bytes)
        try:
            make_if_missing(store, roots, now_ms=now_ms, entropy=entropy)
            return cls._opened(store, roots, entropy)
        except BaseException:
            store.close()
            raise

    @classmethod
    def open(
        cls,
        folder: Path,
        roots: RootKeyStore,
        *,
        map_bytes: int = MAP_BYTES_DEFAULT,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> "KeyTree":
        """Open a vault and finish what a crash interrupted.

        Raises: VaultMissingError, RootKeyLostError, VaultCorruptError, VaultStorageError,
        RootKeyStoreError.
        """
        store = NodeStore(folder, map_bytes=map_bytes)
        try:
            return cls._opened(store, roots, entropy)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _opened(
        cls, store: NodeStore, roots: RootKeyStore, entropy: Callable[[int], bytes]
    ) -> "KeyTree":
        state = store.state()
        root_key = root_key_of(roots, state.epoch)
        tree = cls(store, roots, state=state, root_key=root_key, entropy=entropy)
        # Only a key that opens the root is worth keeping at the price of the other one.
        if tree._nodes.plaintext(ROOT) is None:
            raise VaultCorruptError("the database holds no root node")
        roots.efface_all_but(state.epoch)
        return tree

    @property
    def epoch(self) -> int:
        """How many root keys there have been; it rises with each erasure."""
        return self._state.epoch

    @property
    def slot_next(self) -> int:
        """The lowest slot that was never given out."""
        return self._state.slot_next

    @property
    def root_key_store(self) -> RootKeyStore:
        """Where the root key lives: a certificate names its `backend` and `caveat`."""
        return self._roots

    def lookup(self, slot: int) -> bytes:
        """A slot's 32-byte key. Raises: SlotErasedError, SlotUnknownError."""
        with self._lock:
            self._check_given_out(slot)
            leaf, position = place_of(slot)
            plaintext = self._nodes.plaintext(leaf)
        if plaintext is None:
            raise VaultCorruptError(f"the leaf of slot {slot} has no key")
        key = key_at(plaintext, position)
        if key == NO_KEY:
            raise SlotErasedError(f"slot {slot} is erased")
        return key

    def allocate(self, count: int) -> tuple[SlotKey, ...]:
        """New slots with fresh keys, durable before this returns and never given out again.

        `count` is at most ALLOCATION_MAX; a thousand at once cost little more than one.
        Raises: VaultFullError, VaultStorageError.
        """
        if not 1 <= count <= ALLOCATION_MAX:
            raise ValueError(f"between 1 and {ALLOCATION_MAX} slots at once, not {count}")
        with self._lock:
            first = self._state.slot_next
            if first + count > SLOTS_MAX:
                raise VaultFullError(f"{SLOTS_MAX - first} slots are left, {count} were asked for")
            fresh = tuple(
                SlotKey(slot, self._entropy(KEY_BYTES)) for slot in range(first, first + count)
            )
            draft = Draft(self._nodes, rekey=False, entropy=self._entropy)
            for slot_key in fresh:
                leaf, position = place_of(slot_key.slot)
                put_key(draft.node(leaf), position, slot_key.key)
            self._commit(draft, VaultState(self._state.epoch, first + count))
            return fresh

    def erase(
        self, slots: Collection[int] = (), *, routing_key_ids: Collection[int] = ()
    ) -> dict[int, ErasedSlot]:
        """Destroy slots' keys and routing keys for good, all with one change of the root key.

        When this returns, the old root key has been overwritten and read back, and no node of the
        old path is open any more. Slots that are erased already are answered with the epoch of
        then; routing keys that are gone already are passed over. The current routing key cannot be
        among them.
        Raises: SlotUnknownError, with nothing changed; RootKeyStoreError, VaultStorageError: then
        nothing may be attested, and the same call is to be made again.
        """
        with self._lock:
            for slot in slots:
                self._check_given_out(slot)
            self._settle_roots()
            past = self._erased_among(slots)
            cell_keys = self._held_cell_keys().without(routing_key_ids)
            fresh = sorted(set(slots) - past.keys())
            if not fresh and cell_keys == self._held_cell_keys():
                return past
            draft = self._draft_without(fresh, cell_keys)
            return past | self._replace_root(draft, fresh)

    def index_key(self) -> bytes:
        """The 32-byte key of the HMAC that makes request references."""
        with self._lock:
            return self._held_cell_keys().index_key

    def current_routing_key(self) -> DatedRoutingKey:
        """The routing key for new records."""
        with self._lock:
            return self._held_cell_keys().current

    def routing_key(self, key_id: int) -> RoutingKey:
        """The routing key of that number. Raises: RoutingKeyGoneError."""
        with self._lock:
            return self._held_cell_keys().routing_key(key_id)

    def routing_keys(self) -> tuple[DatedRoutingKey, ...]:
        """All routing keys held, oldest first."""
        with self._lock:
            return self._held_cell_keys().routing

    def rotate_routing_key(self, *, now_ms: int) -> DatedRoutingKey:
        """Make a new current routing key, durable before this returns; old ones stay readable."""
        with self._lock:
            cell_keys = self._held_cell_keys().with_new_routing_key(
                now_ms=now_ms, entropy=self._entropy
            )
            draft = Draft(self._nodes, rekey=False, entropy=self._entropy)
            draft.node(CELL)[:] = cell_keys.to_bytes()
            self._commit(draft, self._state)
            self._cell_keys = cell_keys
            return cell_keys.current

    def close(self) -> None:
        """Close the database. The root key store needs no closing."""
        with self._lock:
            self._store.close()

    # --- within ---

    def _check_given_out(self, slot: int) -> None:
        if not FIRST_SLOT <= slot < self._state.slot_next:
            raise SlotUnknownError(
                f"slot {slot} was never given out; the next is {self._state.slot_next}"
            )

    def _erased_among(self, slots: Iterable[int]) -> dict[int, ErasedSlot]:
        found = (self._store.erased(slot) for slot in set(slots))
        return {row.slot: row for row in found if row is not None}

    def _held_cell_keys(self) -> CellKeys:
        if self._cell_keys is None:
            plaintext = self._nodes.plaintext(CELL)
            if plaintext is None:
                raise VaultCorruptError("the cell node has no key")
            self._cell_keys = CellKeys.from_bytes(plaintext)
        return self._cell_keys

    def _commit(self, draft: Draft, state: VaultState) -> None:
        """Commit within the epoch: same root key, no node rekeyed."""
        self._store.commit(state, draft.seal(self._nodes.root_key))
        self._state = state
        draft.remember_in(self._nodes)

    def _draft_without(self, slots: Iterable[int], cell_keys: CellKeys) -> Draft:
        """The nodes without these slots' keys, every node of their paths to be rekeyed."""
        draft = Draft(self._nodes, rekey=True, entropy=self._entropy)
        for slot in slots:
            leaf, position = place_of(slot)
            put_key(draft.node(leaf), position, NO_KEY)
        if cell_keys != self._held_cell_keys():
            draft.node(CELL)[:] = cell_keys.to_bytes()
        return draft

    def _replace_root(self, draft: Draft, slots: Iterable[int]) -> dict[int, ErasedSlot]:
        """Steps 3 to 5 of an erasure; the numbers are those of the module's head."""
        next_key = RootKey(self._state.epoch + 1, self._entropy(ROOT_KEY_BYTES))
        blobs = draft.seal(next_key)
        root_hash = hashlib.sha256(blobs[ROOT]).digest()
        erased = tuple(ErasedSlot(slot, next_key.epoch, root_hash) for slot in slots)
        state = VaultState(next_key.epoch, self._state.slot_next)
        self._roots_settled = False
        self._roots.stage(next_key)  # 3
        self.on_step(Step.ROOT_STAGED)
        self._store.commit(state, blobs, erased)  # 4
        # From here on the new epoch is the truth, whatever happens to the old root key: nodes are
        # dropped before 5, so that a store that cannot efface leaves no erased keys in memory.
        self._state = state
        self._nodes = OpenNodes(self._store, next_key)
        self._cell_keys = None
        self.on_step(Step.PATH_COMMITTED)
        self._settle_roots()  # 5
        self.on_step(Step.ROOT_EFFACED)
        return {row.slot: row for row in erased}

    def _settle_roots(self) -> None:
        """Leave no root key but the one in use.

        Which one that is, the database says and not this object: after a commit of unknown outcome
        the two may differ, and the wrong key would be destroyed. The store then refuses to answer.
        """
        if not self._roots_settled:
            self._roots.efface_all_but(self._store.state().epoch)
            self._roots_settled = True
