"""What can go wrong in this room."""


class TrialFault(Exception):  # noqa: N818  the house calls what fails on a machine a fault
    """A trial could not be carried out; says which part failed, and its last words."""
