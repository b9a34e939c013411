"""The three kinds of errors of this room, never mixed.

A *refusal* is the protocol saying no to what somebody sent, or to what the core asked its own
kernel for: normal, counted, never a crash. A *fault* is our own disk or configuration; the process
stops. A bug is an `assert`, and none of them can be reached from the network.
"""


class ConsensusError(Exception):
    """Base of all errors of this room."""


class RefusedError(ConsensusError):
    """The protocol says no; the message carries the numbers. An illegal event changes nothing."""


class UnwantedError(RefusedError):
    """An answer to nothing that is open: late, most likely, so nobody is blamed for it."""


class ForgedError(RefusedError):
    """A signature or a quorum does not hold. No honest member sends such a thing on."""


class RecordMissingError(ConsensusError):
    """This replica has no safety record although it is not new: it must be re-keyed, not started.

    A key whose record was lost may have signed anything before; signing with it again could fork.
    """


class RecordDamagedError(ConsensusError):
    """The stored state cannot be read, or belongs to another cell or member."""
