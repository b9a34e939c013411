"""What this room refuses, and why it has one base class.

Everything here judges bytes that somebody else made, so nearly every error is a *refusal*: the
message is written for the person who has to find out whose bytes they were. Only
`TileUnreadableError` is a *fault*: the store behind a port did not deliver. Wrong arguments from
our own code are bugs and stop at an `assert`.
"""


class TransparencyError(Exception):
    """Base of all errors of this room; its text is a diagnosis for people."""


class FormatError(TransparencyError):
    """Bytes or text are not in the one canonical form that their format has."""


class ProofInvalidError(TransparencyError):
    """A Merkle proof does not hold; the text names the step at which it parts."""


class CheckpointRejectedError(TransparencyError):
    """A checkpoint's signatures do not satisfy the policy; the text names which and why."""


class TileUnreadableError(TransparencyError):
    """The store did not deliver a tile that a tree of this size must have."""


class ReceiptInvalidError(TransparencyError):
    """A receipt does not prove its entry; the text is the first finding that does not hold."""
