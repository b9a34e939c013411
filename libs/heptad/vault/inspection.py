"""Looks at every key of a vault without changing anything: what a check of its files needs.

Opening a vault in the usual way ends what a crash interrupted, which destroys root keys; a checker
must not. So this opens the same nodes read-only, and reads root keys that are there already.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.vault.cell_keys import CellKeys, DatedRoutingKey
from heptad.vault.errors import (
    SlotErasedError,
    SlotUnknownError,
    VaultCorruptError,
    VaultFaultError,
)
from heptad.vault.genesis import FIRST_SLOT, root_key_of
from heptad.vault.node_store import NodeStore
from heptad.vault.nodes import CELL, LEAF_SLOTS, NO_KEY, ROOT, NodeId, key_at, parent_of, place_of
from heptad.vault.open_nodes import OpenNodes
from heptad.vault.root_keys import RootKeyStore

MAP_BYTES: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class SlotState:
    """One slot that was given out: its 32-byte key, or None if it is erased."""

    slot: int
    key: bytes | None

    def __repr__(self) -> str:
        return f"SlotState(slot={self.slot})"


class VaultInspector:
    """A vault that nobody else has open, to be read only."""

    def __init__(self, folder: Path, roots: RootKeyStore) -> None:
        """Raises: VaultFaultError, if not even its root opens."""
        self._store = NodeStore(folder, map_bytes=MAP_BYTES, is_read_only=True)
        try:
            self.state = self._store.state()
            self._nodes = OpenNodes(self._store, root_key_of(roots, self.state.epoch))
            cell = self._nodes.plaintext(CELL)
            if cell is None:
                raise VaultCorruptError("the cell node has no key")
            self.cell_keys = CellKeys.from_bytes(cell)
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._store.close()

    def lookup(self, slot: int) -> bytes:
        """A slot's 32-byte key. Raises: SlotErasedError, SlotUnknownError, VaultFaultError."""
        if not FIRST_SLOT <= slot < self.state.slot_next:
            raise SlotUnknownError(f"slot {slot} was never given out")
        leaf, position = place_of(slot)
        plaintext = self._nodes.plaintext(leaf)
        if plaintext is None:
            raise VaultCorruptError(f"the leaf of slot {slot} has no key")
        key = key_at(plaintext, position)
        if key == NO_KEY:
            raise SlotErasedError(f"slot {slot} is erased")
        return key

    def routing_keys(self) -> tuple[DatedRoutingKey, ...]:
        """All routing keys held, oldest first."""
        return self.cell_keys.routing

    def slots(self, wrong: Callable[[str], None]) -> Iterator[SlotState]:
        """Every slot that was given out, in order; `wrong` hears of each contradiction.

        Slots in a leaf that does not open are left out.
        """
        opened = {ROOT, CELL}
        erased_met = 0
        until = self.state.slot_next
        for number in range(-(-until // LEAF_SLOTS)):
            leaf = NodeId(2, number)
            try:
                plaintext = self._nodes.plaintext(leaf)
            except VaultFaultError as error:
                wrong(str(error))
                continue
            if plaintext is None:
                wrong(f"the leaf of slots {number * LEAF_SLOTS} and more has no key")
                continue
            opened |= {leaf, parent_of(leaf)[0]}
            for position in range(LEAF_SLOTS):
                slot, key = number * LEAF_SLOTS + position, key_at(plaintext, position)
                state = SlotState(slot, None if key == NO_KEY else key)
                if FIRST_SLOT <= slot < until:
                    erased_met += self._check_erased(state, wrong)
                    yield state
                elif state.key is not None:
                    wrong(f"slot {slot} has a key and was never given out")
        self._check_counts(len(opened), erased_met, wrong)

    def _check_erased(self, state: SlotState, wrong: Callable[[str], None]) -> bool:
        slot = state.slot
        try:
            erased = self._store.erased(slot)
        except VaultFaultError as error:
            wrong(str(error))
            return True
        if erased is None and state.key is None:
            wrong(f"slot {slot} has no key, and nobody erased it")
        elif erased is not None and state.key is not None:
            wrong(f"slot {slot} was erased and has a key")
        elif erased is not None and not 1 < erased.epoch <= self.state.epoch:
            wrong(f"slot {slot} was erased in epoch {erased.epoch} of {self.state.epoch}")
        return erased is not None

    def _check_counts(self, nodes: int, erased: int, wrong: Callable[[str], None]) -> None:
        there, erased_there = self._store.row_counts()
        if there != nodes:
            wrong(f"{there} nodes are there, {nodes} are reached from the root")
        if erased_there != erased:
            wrong(f"{erased_there} slots are told as erased, {erased} were met")
