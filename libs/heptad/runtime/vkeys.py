"""The names and keys under which a cell signs its checkpoints, out of `cell.toml`.

The ledger that gathers signatures, the replicas that give them, and whoever judges them must mean
the very same keys, and a key's *name* is part of what a signature line refers to. So the names are
formed here and nowhere else: the log's is the origin, a replica's is its DNS name, as in its
certificate.
"""

from dataclasses import replace

from heptad.runtime.config.cell import Cell, ReplicaMember
from heptad.runtime.identity import member
from heptad.transparency.notes import SignatureType, VerifierKey
from heptad.transparency.policy import KnownLog, Policy, k_of_n_policy


def log_vkey(cell: Cell) -> VerifierKey:
    """The key with which the ledger signed its first checkpoints (type 0x01)."""
    return log_vkeys(cell)[0]


def log_vkeys(cell: Cell) -> tuple[VerifierKey, ...]:
    """Every key that has signed checkpoints as the log, or is about to; oldest first.

    All have the log's name and differ in their ids, as signed notes ask for a rotation.
    """
    keys = (cell.ledger.log_key, *(later.key for later in cell.ledger.later_log_keys))
    return tuple(VerifierKey(cell.origin, SignatureType.LOG, key) for key in keys)


def witness_vkey(cell: Cell, replica: ReplicaMember) -> VerifierKey:
    """The key with which a replica cosigns checkpoints (type 0x04)."""
    name = member(cell.origin, replica.id).dns_name
    return VerifierKey(name, SignatureType.COSIGNATURE, replica.cosign_key)


def cell_policy(cell: Cell) -> Policy:
    """The policy against which this cell's receipts are judged: its log, and a quorum of replicas.

    In the policy file the witnesses are called by their ids (`replica-3`). Log keys that have been
    replaced stay: receipts of their time are to hold for ever, and what a stolen one could add is
    nothing, as no checkpoint holds without the replicas.
    """
    witnesses = [(replica.id, witness_vkey(cell, replica)) for replica in cell.replicas]
    first, *later = log_vkeys(cell)
    policy = k_of_n_policy(log=first, witnesses=witnesses, threshold=cell.quorum)
    return replace(policy, logs=(*policy.logs, *(KnownLog(key) for key in later)))
