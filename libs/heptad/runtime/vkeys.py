"""The names and keys under which a cell signs its checkpoints, out of `cell.toml`.

The ledger that gathers signatures, the replicas that give them, and whoever judges them must mean
the very same keys, and a key's *name* is part of what a signature line refers to. So the names are
formed here and nowhere else: the log's is the origin, a replica's is its DNS name, as in its
certificate.
"""

from heptad.runtime.config.cell import Cell, ReplicaMember
from heptad.runtime.identity import member
from heptad.transparency.notes import SignatureType, VerifierKey
from heptad.transparency.policy import Policy, k_of_n_policy


def log_vkey(cell: Cell) -> VerifierKey:
    """The key with which the ledger signs checkpoints (type 0x01)."""
    return VerifierKey(cell.origin, SignatureType.LOG, cell.ledger.log_key)


def witness_vkey(cell: Cell, replica: ReplicaMember) -> VerifierKey:
    """The key with which a replica cosigns checkpoints (type 0x04)."""
    name = member(cell.origin, replica.id).dns_name
    return VerifierKey(name, SignatureType.COSIGNATURE, replica.cosign_key)


def cell_policy(cell: Cell) -> Policy:
    """The policy against which this cell's receipts are judged: its log, and a quorum of replicas.

    In the policy file the witnesses are called by their ids (`replica-3`).
    """
    witnesses = [(replica.id, witness_vkey(cell, replica)) for replica in cell.replicas]
    return k_of_n_policy(log=log_vkey(cell), witnesses=witnesses, threshold=cell.quorum)
