"""Action: the service's policy lets it ask for this."""

from collections.abc import Container
from typing import Final

from heptad.crypto.registration import REGISTER_ACT
from heptad.model.problems import Problem

RESERVED_ACTIONS: Final = frozenset({REGISTER_ACT, "key.add", "key.revoke"})
"""Actions that change the registry. As a plain request they would be recorded and do nothing."""


def check_action(act: str, *, allowed: Container[str]) -> None:
    """Raises: Problem `action_not_allowed`; `allowed` are the actions of the named service."""
    if act not in allowed or act in RESERVED_ACTIONS:
        raise Problem("action_not_allowed", "this service may not ask for act", field="act")
