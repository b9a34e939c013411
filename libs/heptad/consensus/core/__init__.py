"""The state machine of one replica; see `heptad.consensus.core.machine`."""

from heptad.consensus.core.machine import Core
from heptad.consensus.core.restoring import may_sign

__all__ = ["Core", "may_sign"]
