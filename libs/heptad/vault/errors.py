"""What the vault refuses, and how it can fail.

Refusals are normal answers: the slot is erased, was never given out, the routing key is gone.
Faults mean that the disk or the root key is not what it must be; the vault then stops rather than
answers.
"""


class VaultError(Exception):
    """Base of everything this room raises on purpose."""


class SlotUnknownError(VaultError):
    """The slot was never given out."""


class SlotErasedError(VaultError):
    """The slot's key has been destroyed."""


class RoutingKeyGoneError(VaultError):
    """No routing key of that number is held: it was destroyed, or never made."""


class VaultFullError(VaultError):
    """Every slot of the tree has been given out."""


class VaultFaultError(VaultError):
    """Base of the faults: the operator must look."""


class VaultMissingError(VaultFaultError):
    """There is no vault at that place."""


class VaultStorageError(VaultFaultError):
    """The database failed: disk full, I/O error, or a commit of unknown outcome."""


class VaultCorruptError(VaultFaultError):
    """The database holds something that does not open or does not add up."""


class RootKeyStoreError(VaultFaultError):
    """The root key cannot be read, staged or effaced."""


class RootKeyLostError(VaultFaultError):
    """The root key of the database's epoch is not there; older backups of it would be no help."""
