"""What the writing thread does with frames: check, apply, one wave after the other.

All of it is in one thread, apart from the event loop: hashing large sections, verifying signatures
and syncing let go of the interpreter lock, and while rows are made the loop still gets its turns.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from heptad.wire.streams import BlockFrame
from heptad_ledger.apply import Applied, Applier
from heptad_ledger.chain import Chain, CheckedBlock, Tip
from heptad_ledger.errors import FollowRefusedError, StoreFullError
from heptad_ledger.store import LogStore

WAVE_ENTRIES_MAX: Final = 8_192
"""More would hold up checkpoints; what an entry costs hardly falls any further."""


UNPROVEN_BYTES: Final = 8 << 20
"""After so many bytes of batches a proof is looked at although another one follows."""


@dataclass(slots=True)
class Ingested:
    """What became of some frames: the waves that are durable, and what ended it early, if anything.

    `durations_s` has the time that each wave took.
    """

    waves: list[Applied] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    refusal: FollowRefusedError | None = None
    fault: StoreFullError | None = None


class Ingest:
    """Chain and applier, in the writing thread."""

    def __init__(self, *, store: LogStore, chain: Chain, applier: Applier) -> None:
        self._store = store
        self._chain = chain
        self._applier = applier

    def take(self, frames: Sequence[BlockFrame]) -> Ingested:
        """Check frames and apply what they prove, as far as they are right.

        After a refusal or a full store the chain stands behind the last applied block again.
        Raises: StoreDamagedError.
        """
        result = Ingested()
        blocks: list[CheckedBlock] = []
        try:
            for frame in _with_few_proofs(frames):
                blocks += self._chain.take(frame)
        except FollowRefusedError as refusal:
            result.refusal = refusal
        try:
            for wave in _waves(blocks):
                started_s = time.monotonic()
                result.waves.append(self._applier.apply(wave))
                result.durations_s.append(time.monotonic() - started_s)
        except FollowRefusedError as refusal:
            result.refusal = refusal
        except StoreFullError as fault:
            result.fault = fault
        if result.refusal is not None or result.fault is not None:
            self.restart()
        return result

    def judge(self, claim: BlockFrame) -> int:
        """The height that a claim proves. Raises: FollowRefusedError."""
        return self._chain.prove_height(claim)

    def restart(self) -> None:
        """Go on behind the last applied block."""
        state = self._store.state
        self._chain.restart(Tip(state.height, state.block_id, state.size))


def _with_few_proofs(frames: Sequence[BlockFrame]) -> Sequence[BlockFrame]:
    """The frames without the proofs that a later one makes needless: a proof is ten signatures."""
    thinned: list[BlockFrame] = []
    unproven_bytes = UNPROVEN_BYTES
    for frame in reversed(frames):
        is_needless = unproven_bytes < UNPROVEN_BYTES
        if frame.proof and not is_needless:
            unproven_bytes = 0
        unproven_bytes += sum(map(len, frame.batches))
        thinned.append(replace(frame, proof=b"") if is_needless else frame)
    return thinned[::-1]


def _waves(blocks: Sequence[CheckedBlock]) -> Iterator[Sequence[CheckedBlock]]:
    """Cut blocks into waves; one block is never split."""
    start = entries = 0
    for end, block in enumerate(blocks, start=1):
        entries += sum(batch.header.count for batch in block.batches) + len(block.control)
        if entries >= WAVE_ENTRIES_MAX or end == len(blocks):
            yield blocks[start:end]
            start, entries = end, 0
