"""What keeps an auditor from its work: never a statement about the log."""


class AuditingError(Exception):
    """Base of all errors of this room."""


class StateUnreadableError(AuditingError):
    """The state cannot be used as it is; starting anew is for a person to decide."""


class StateInUseError(AuditingError):
    """Two auditors over one state would each undo what the other one knows."""


class StoppedError(AuditingError):
    """The auditor was asked to end in the midst of a check; nothing of it was kept."""
