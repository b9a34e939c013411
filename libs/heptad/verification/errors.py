"""What this room refuses. Every text is a diagnosis: what was wrong, where, with the numbers."""


class VerificationError(Exception):
    """Base of all errors of this room."""


class ReceiptUnreadableError(VerificationError):
    """A file is not a receipt at all; nothing has been checked."""


class ReceiptRefusedError(VerificationError):
    """A receipt does not prove its entry; the text is the first finding that does not hold."""


class CertificateUnreadableError(VerificationError):
    """A file is not a certificate of an erasure at all; nothing has been checked."""


class LogInvalidError(VerificationError):
    """A log's tiles, entries or checkpoints contradict each other, or do not satisfy the policy."""


class SourceUnreadableError(VerificationError):
    """Where a log lies could not be looked at: a fault of the way there, no finding about it."""


class SourceAwayError(SourceUnreadableError):
    """The same, for a reason that may pass: no connection, no answer in time, a busy server."""


class AlarmUnreadableError(VerificationError):
    """A file is not that of an alarm; nothing has been checked."""
