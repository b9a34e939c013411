"""What can go wrong in the ledger: refusals of what replicas send, and faults of its own disk.

A refusal costs the replica that caused it its place as the chosen one; nothing is written. A fault
stops the ledger from applying: a full disk is tried again (somebody may make room), damage is not.
Refusals towards callers are `heptad.model.problems.Problem` and are not listed here.
"""


class LedgerError(Exception):
    """Base of all errors of this service."""


class FollowRefusedError(LedgerError):
    """A replica sent a frame that is not what the chain demands; the message has the numbers."""


class FetchAgainError(FollowRefusedError):
    """Nothing was wrong: blocks were proven after their batches had to be let go, and are wanted
    once more."""


class StoreError(LedgerError):
    """Base of the faults of the store."""


class StoreFullError(StoreError):
    """Nothing more can be written: the disk or the map is full. What was written is intact."""


class StoreDamagedError(StoreError):
    """The files cannot be read, contradict themselves, or belong to another cell."""


class StoreInUseError(StoreError):
    """Another process has this store open: two writers would each overwrite the other's edge."""


class StaticFolderError(LedgerError):
    """The folder of static files holds what must not be written over. It is tried again."""


class BackupError(LedgerError):
    """A backup cannot be made, read or put in place; nothing was changed."""


class KeyBookError(BackupError):
    """The book of backup keys cannot be read or does not allow this: nothing may be attested that
    rests on it."""


class KeptCheckpointError(LedgerError):
    """The log and the checkpoint that was kept elsewhere do not go together, or it is no valid one:
    nothing may be published."""
