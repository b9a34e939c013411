"""A history for people: who did what when, one line each.

Times are milliseconds since the history began. A transcript is made on a replay only; a campaign
runs without.
"""

from collections.abc import Callable
from typing import assert_never

from heptad.consensus.messages import (
    Accusation,
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    ChainReply,
    Deposition,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Message,
    Proposal,
    SnapshotReply,
    decode_message,
)
from heptad.consensus.objects import TC, Block, Timeout, Vote
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex
from heptad.simulation.clock import US_PER_MS


class Transcript:
    """Writes each line through `write`, for instance `print` or a list's `append`."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def note(self, at_us: int, who: str, text: str) -> None:
        """One line about `who`."""
        self._write(f"{at_us / US_PER_MS:>11.3f}  {who:<15} {text}")

    def message(
        self, at_us: int, who: str, targets: tuple[MemberIndex, ...], payload: bytes
    ) -> None:
        """A message that leaves `who`."""
        names = ",".join(str(target + 1) for target in targets)
        self.note(at_us, who, f"→ {names}: {describe_payload(payload)}")


def describe_payload(payload: bytes) -> str:
    """A message in a few words; rubbish is called so."""
    try:
        return describe(decode_message(payload))
    except MalformedError as error:
        return f"rubbish ({error})"


def describe(message: Message) -> str:  # noqa: C901, PLR0911, PLR0912  a table, one line a kind
    """A message in a few words."""
    match message:
        case Proposal(block, _):
            refs = " ".join(f"v{r.validator}.{r.incarnation}.{r.sequence}" for r in block.batches)
            return (
                f"proposal round {block.round} height {block.height} {block.id.hex()[:8]} on QC "
                f"{block.justify.round}{_tc(block.tc)} [{refs}]{_proofs(block)}"
            )
        case Vote():
            return f"vote round {message.round} for {message.block_id.hex()[:8]}"
        case Timeout():
            return (
                f"time-out round {message.round} with QC {message.high_qc.round}{_tc(message.tc)}"
            )
        case Certificates(high_qc, highest_tc):
            return f"certificates QC {high_qc.round}{_tc(highest_tc)}"
        case BatchOffer(refs):
            return "offers " + " ".join(
                f"v{r.validator}.{r.incarnation}.{r.sequence}" for r in refs
            )
        case FetchBlocks(block_id, height_above):
            return f"asks for block {block_id.hex()[:8]} down to height {height_above}"
        case BlocksReply(blocks):
            return f"{len(blocks)} blocks from height {blocks[0].height if blocks else '-'} down"
        case FetchBatches(digests):
            return f"asks for {len(digests)} batches"
        case BatchesReply(batches):
            return f"{len(batches)} batches"
        case FetchChain(height, _):
            return f"asks for the chain from height {height}"
        case ChainReply(blocks, _):
            return f"chain of {len(blocks)} blocks up to height {blocks[-1].height}"
        case SnapshotReply(_, _, proof, _):
            return f"snapshot of the block of round {proof.child.justify.round}"
        case Accusation(evidence):
            return f"accuses {evidence.charge.name} of two {evidence.charge.offence.name.lower()}"
        case Deposition(vote):
            return f"testifies that {vote.voter + 1} signed {vote.block_id.hex()[:8]}"
        case _:
            assert_never(message)


def _proofs(block: Block) -> str:
    return f" and {len(block.control)} proofs" if block.control else ""


def _tc(tc: TC | None) -> str:
    return "" if tc is None else f" and TC {tc.round}"
