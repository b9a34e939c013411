"""The ledger's parts, opened and put together without any network: store, vault, registry.

The registry needs a vault slot of the ledger's own (`heptad_ledger.registry`). It is taken once and
its number is kept in the log's store; if the store is lost and built anew from the log, a new slot
is taken with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from heptad.consensus.committee import Cell as AgreedCell
from heptad.consensus.genesis import genesis_block
from heptad.crypto import signatures
from heptad.crypto.jwk import PublicKey
from heptad.runtime.config import LedgerConfig
from heptad.transparency.merkle import CompactRange
from heptad.vault.errors import SlotErasedError, SlotUnknownError
from heptad.vault.genesis import FIRST_SLOT
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.tree import KeyTree
from heptad_ledger.apply import Applier
from heptad_ledger.chain import Chain, Tip
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.filing import Filer
from heptad_ledger.following.ingest import Ingest
from heptad_ledger.privacy.gate import OLD_VAULT, is_owing
from heptad_ledger.privacy.intake import Intake
from heptad_ledger.registry import Registry
from heptad_ledger.store import AppliedState, LogStore

LOG_FOLDER: Final = "log"
VAULT_FOLDER: Final = "vault"
ROOT_FOLDER: Final = "vault-root"
OWN_SLOT: Final = "own_slot"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rest of the service stands on."""

    store: LogStore
    vault: KeyTree
    registry: Registry
    filer: Filer
    intake: Intake
    ingest: Ingest

    def close(self) -> None:
        """Close the files."""
        self.store.close()
        self.vault.close()


def open_parts(
    data: Path,
    *,
    cell: AgreedCell,
    cell_code: str,
    config: LedgerConfig,
    now_ms: int,
    attestation_keys: Mapping[str, PublicKey] = MappingProxyType({}),
) -> Parts:
    """Open what lies in `data`, or begin it. Only what `attestation_keys` have signed is carried
    out, or counts as an officer's.

    Raises: StoreError; heptad.vault.errors.VaultFaultError.
    """
    genesis = AppliedState(0, genesis_block(cell).id, 0, CompactRange.empty())
    store = LogStore.open(
        data / LOG_FOLDER,
        origin=cell.origin,
        genesis=genesis,
        map_bytes_max=config.log_map_bytes_max,
    )
    try:
        store.count_again()
        vault = KeyTree.create(
            data / VAULT_FOLDER,
            FileRootKeyStore(data / ROOT_FOLDER),
            now_ms=now_ms,
            map_bytes=config.vault_map_bytes_max,
        )
    except BaseException:
        store.close()
        raise
    try:
        own_slot = _own_slot(store, vault)
        registry = Registry(
            vault,
            own_slot=own_slot,
            origin=cell.origin,
            cell_code=cell_code,
            attestation_keys=attestation_keys,
        )
    except BaseException:
        vault.close()
        store.close()
        raise
    filer = Filer(vault, registry)
    intake = _intake(store, filer, vault)
    state = store.state
    tip = Tip(state.height, state.block_id, state.size)
    chain = Chain(cell, verifier=signatures, tip=tip)
    applier = Applier(store, filer, take_erasures=intake.take)
    ingest = Ingest(store=store, chain=chain, applier=applier)
    return Parts(store, vault, registry, filer, intake, ingest)


def _intake(store: LogStore, filer: Filer, vault: KeyTree) -> Intake:
    """What the log says about erasures; slots whose erasure is ordered are closed."""
    intake = Intake(
        store=store,
        filer=filer,
        keys=filer.registry.attestation_keys,
        origin=filer.registry.origin,
        index_key=vault.index_key,
    )
    intake.is_replaying = is_owing(store)
    intake.close_ordered()
    return intake


def _own_slot(store: LogStore, vault: KeyTree) -> int:
    """The ledger's own slot; a crash between taking and keeping it wastes one of 134 million."""
    kept = store.kept(OWN_SLOT)
    if kept is None:
        if vault.slot_next > FIRST_SLOT:
            # The log begins anew, and the vault may hold keys that were destroyed in another one.
            store.keep(OLD_VAULT, vault.slot_next.to_bytes(8, "big"))
        slot = vault.allocate(1)[0].slot
        store.keep(OWN_SLOT, slot.to_bytes(8, "big"))
        return slot
    slot = int.from_bytes(kept, "big")
    try:
        vault.lookup(slot)
    except (SlotErasedError, SlotUnknownError) as error:
        raise StoreDamagedError(
            "the vault is not the one that this store was made with; restore them together"
        ) from error
    return slot
