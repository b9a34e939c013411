"""What a subject asks of the cell itself: the actions of the cell's own service, `heptad`.

They are signed requests like all others (`svc` is `heptad`), with entries of their own kinds, so
that what changes a subject's keys or takes its data out is found in the log without opening
anything.
"""

from collections.abc import Mapping
from typing import Final

from heptad.model.entry import Kind

OWN_SERVICE: Final = "heptad"
"""The `svc` of the cell itself; no relying service may have this id."""

REGISTER: Final = "subject.register"
KEY_ADD: Final = "key.add"
KEY_REVOKE: Final = "key.revoke"
EXPORT: Final = "subject.export"
ERASE: Final = "subject.erase"
RECEIPT: Final = "receipt.open"
"""A subject reads a receipt of its own with its private half: shown to the ledger, not recorded."""

OWN_KINDS: Final[Mapping[str, Kind]] = {
    KEY_ADD: Kind.KEY_ADDED,
    KEY_REVOKE: Kind.KEY_REVOKED,
    EXPORT: Kind.EXPORT,
    ERASE: Kind.REQUEST,
}
"""What a registered subject may ask of the cell, and the kind of entry that records it.

A registration has a way of its own: who registers has no subject id yet.
"""

LIST_KEYS: Final = "subject.keys"
"""A subject asks the ledger, through a gateway, for its own keys: answered and not recorded."""

RESERVED_ACTIONS: Final = frozenset({REGISTER, RECEIPT, LIST_KEYS, *OWN_KINDS})
"""Actions that only the cell's own service has. Asked of another they would do nothing."""
