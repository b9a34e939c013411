"""A block's control entries: what they may be, and the leaves that they become.

They come behind the leaves of the block's batches, in the order in which the block has them. A
block without any is by far the most common one and costs nothing here.
"""

from heptad.consensus.objects import Block
from heptad.model.control_entry import control_entry
from heptad.model.entry import Kind


def control_entries(block: Block) -> tuple[bytes, ...]:
    """The log entries that the block's control entries become. Nothing is verified."""
    return entries_of(block.control, time_ms=block.time_ms)


def entries_of(control: tuple[bytes, ...], *, time_ms: int) -> tuple[bytes, ...]:
    """The same for a block that is being made; `time_ms` is the block's."""
    return tuple(
        control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=time_ms, statement=each)
        for each in control
    )
