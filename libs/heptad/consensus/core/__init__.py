"""The state machine of one replica; see `heptad.consensus.core.machine`."""

from heptad.consensus.core.machine import Core

__all__ = ["Core"]
