"""How bytes from outside become values: once for each copy here, once for all in a simulation.

A replica decodes what it receives, and that is all that `PLAIN` does. In a simulation one payload
reaches many replicas of one process; as what comes out is a function of the bytes and frozen, they
may all be given the same value. That is a choice of whoever builds the driver and not of the core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from heptad.consensus.messages import Message, decode_message
from heptad.model.batch import Batch, decode_batch


@dataclass(frozen=True, slots=True)
class Decoding:
    """`message` and `batch` read one payload each. Both raise MalformedError."""

    message: Callable[[bytes], Message]
    batch: Callable[[bytes], Batch]


PLAIN: Final = Decoding(decode_message, decode_batch)
