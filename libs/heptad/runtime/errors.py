"""What can go wrong in this room: refusals of configuration, and faults of the machine.

A refusal says what a person has to change and where; a fault says which process, port or file
failed. Bugs are assertions and are not listed here.
"""


class RuntimeRoomError(Exception):
    """Base of everything that this room raises on purpose."""


class ConfigInvalidError(RuntimeRoomError):
    """A file of configuration is refused; it lists *all* of its mistakes, not only the first.

    Each mistake reads `file: key: reason`.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class HomeRefusedError(RuntimeRoomError):
    """The home directory cannot be used as it is: exists already, is absent, or is in use."""


class PortTakenError(RuntimeRoomError):
    """A port that the cell needs is held by another process; the message names port and holder."""


class CertificateInvalidError(RuntimeRoomError):
    """A certificate does not say who its holder is in the way that this cell writes it."""


class SupervisionFault(RuntimeRoomError):  # noqa: N818  the house calls machine failures "faults"
    """A service could not be kept running; the message holds the last lines of its log."""
