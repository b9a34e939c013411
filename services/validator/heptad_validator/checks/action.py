"""Action: the service's policy lets it ask for this."""

from collections.abc import Container

from heptad.model.own_actions import RESERVED_ACTIONS
from heptad.model.problems import Problem


def check_action(act: str, *, allowed: Container[str]) -> None:
    """Raises: Problem `action_not_allowed`; `allowed` are the actions of the named service."""
    if act not in allowed or act in RESERVED_ACTIONS:
        raise Problem("action_not_allowed", "this service may not ask for act", field="act")
