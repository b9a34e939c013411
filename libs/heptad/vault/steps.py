"""The steps of an erasure, by number: what is done before what, and where a crash can fall between.

Whoever carries an erasure out says each step the moment it is durable, through a port, so that a
test can end the process exactly there. `docs/spec/privacy.md`, "Erasing", has what each crash
leaves behind.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias


class Step(IntEnum):
    """What has just become durable."""

    ORDERED = 1
    """The log holds the order, and the ledger's store that it was found there."""

    ROWS_DELETED = 2
    """Records, the rows that lead to them, and what the registry said are deleted."""

    ROOT_STAGED = 3
    """The next root key lies beside the one in use."""

    PATH_COMMITTED = 4
    """The vault's database holds the new path, under the next root key."""

    ROOT_EFFACED = 5
    """The old root key is overwritten, and was read back."""

    LEASES_DRAINED = 6
    """Nothing in memory leads to the key any more, here or at a validator."""

    ATTESTED = 7
    """What was done is signed, and the signature is kept until the log holds it."""


OnStep: TypeAlias = Callable[[Step], None]
"""Told of each step; what it raises ends the erasure there."""


def unheard(_step: Step) -> None:
    """Nobody listens."""
