"""A history for people: who did what when, one line each.

Times are milliseconds since the history began. A transcript is made on a replay only; a campaign
runs without.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, assert_never

from heptad.consensus import facts
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
from heptad.consensus.ready import Fact
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex
from heptad.simulation.clock import US_PER_MS

if TYPE_CHECKING:
    from heptad.simulation.scenario import Action

_FACTS: Final = {
    facts.ROUND_ENTERED: "enters round {round} by a {by}",
    facts.ROUND_TIMED_OUT: "gives up on round {round}, led by {leader} (because of {by})",
    facts.MESSAGE_REFUSED: "refuses what {sender} said: {reason}",
    facts.VOTE_REFUSED: "gives no vote in round {round} to {proposer}: {reason}",
    facts.LEADER_REFUSED: "refuses the leader {leader} until its term ends: a batch has waited "
    "{waited_ms} ms",
    facts.EVIDENCE: "holds a proof that {accused} signed two {offence}",
    facts.CATCHING_UP: "catches up from height {height} to {target_height}",
}
"""What is noticed, in words. Of each fact that is not here name and fields are told."""

_MEMBERS: Final = frozenset({"sender", "leader", "proposer", "member"})
"""Fields that hold a member's index, which counts from 0; people count replicas from 1."""


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


def describe_fact(fact: Fact) -> str:
    """What a replica has noticed, in a few words."""
    words = {key: _word(key, value) for key, value in fact.fields}
    try:
        return _FACTS[fact.name].format_map(words)
    except KeyError:
        return " ".join([fact.name, *(f"{key}={word}" for key, word in words.items())])


def describe_action(action: "Action") -> str:
    """What the scenario does now: its name, and all fields that say something."""
    told = [(each.name, getattr(action, each.name)) for each in fields(action)]
    words = [f"{name} {_plain(value)}" for name, value in told if value and name != "at_ms"]
    return f"{type(action).__name__}: {', '.join(words)}" if words else type(action).__name__


def _word(key: str, value: int | str | bytes) -> str:
    if key in _MEMBERS and isinstance(value, int):
        return "nobody" if value < 0 else f"replica-{value + 1}"
    return value.hex()[:8] if isinstance(value, bytes) else str(value)


def _plain(value: object) -> str:
    """Names side by side, groups of them with a bar between."""
    if isinstance(value, tuple):
        bar = " | " if any(isinstance(each, tuple) for each in value) else " "
        return bar.join(_plain(each) for each in value)
    if is_dataclass(value):
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
        return " ".join(f"{name}={number}" for name, number in inner.items() if number)
    return str(value.value) if isinstance(value, Enum) else str(value)


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
            end = f" up to height {blocks[-1].height}" if blocks else ""
            return f"chain of {len(blocks)} blocks{end}"
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
