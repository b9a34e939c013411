"""Where all chance of a simulated history comes from: one seed, one stream for each concern.

Every concern (the network, one replica's disk, the faults, …) draws from a stream of its own, so
that a fault taken out of a history by hand leaves the weather of the others as it was. Nothing in
this room iterates over a set, and no seed depends on `hash()`: the same seed gives the same history
in every process, whatever PYTHONHASHSEED is.
"""

from hashlib import sha256
from random import Random


def stream(seed: int, concern: str) -> Random:
    """A generator that is a function of `seed` and of the name of what it is for."""
    digest = sha256(f"{seed}/{concern}".encode()).digest()
    return Random(int.from_bytes(digest, "big"))  # noqa: S311  replayable is what it has to be
