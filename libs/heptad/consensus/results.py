"""What one step has brought about so far; at its end it becomes a `Ready`."""

from collections.abc import Container
from dataclasses import dataclass, field

from heptad.consensus.errors import RefusedError
from heptad.consensus.messages import Message
from heptad.consensus.objects import BatchRef, Block, CommittedBlock, Cosignature, Vote
from heptad.consensus.ready import (
    NOTHING,
    BatchOutcome,
    BatchVerdict,
    Fact,
    Lookup,
    Outgoing,
    Persist,
    Ready,
)
from heptad.model.ids import BatchDigest, BlockId, MemberIndex


@dataclass(slots=True)
class Results:
    """Lists that the parts of the core append to while they handle one event."""

    blocks: list[Block] = field(default_factory=list)
    batches: list[tuple[BatchDigest, bytes]] = field(default_factory=list)
    commits: list[CommittedBlock] = field(default_factory=list)
    state: bytes | None = None
    blocks_dropped: list[BlockId] = field(default_factory=list)
    batches_dropped: list[BatchDigest] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)
    cosignatures: list[Cosignature] = field(default_factory=list)
    outcomes: list[BatchOutcome] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    fetches: dict[MemberIndex, int] = field(default_factory=dict)

    def send(self, targets: tuple[MemberIndex, ...], message: Message) -> None:
        """Have a message sent, if there is anybody to send it to."""
        if targets:
            self.messages.append(Outgoing(targets, message))

    def require_fetch(self, peer: MemberIndex, *, count_max: int) -> None:
        """Count a fetch; one wave answers only so many. Raises: RefusedError."""
        count = self.fetches[peer] = self.fetches.get(peer, 0) + 1
        if count > count_max:
            raise RefusedError(f"more than {count_max} fetches in one wave")

    def fact(self, name: str, **fields: int | str | bytes) -> None:
        """Report something for logs and metrics."""
        self.facts.append(Fact(name, tuple(fields.items())))

    def keep(self, digest: BatchDigest, encoded: bytes) -> None:
        """Have a batch made durable, even if this same step was to drop it from the disk."""
        if digest in self.batches_dropped:
            self.batches_dropped.remove(digest)
        self.batches.append((digest, encoded))

    def gave_way(self, ref: BatchRef) -> None:
        """Tell a validator that a batch which waited here waits no more."""
        detail = "it gave way to one that is committed sooner"
        self.outcomes.append(BatchOutcome(ref.validator, ref.id, BatchVerdict.OVERLOADED, detail))

    def ready(
        self, *, record: bytes | None, timer_at_ms: int | None, evidence: bytes | None = None
    ) -> Ready:
        """The step's outcome."""
        return Ready(
            persist=self._persist(record, evidence),
            messages=self._said(),
            commits=tuple(self.commits),
            cosignatures=tuple(self.cosignatures),
            outcomes=tuple(self.outcomes),
            lookups=tuple(self.lookups),
            facts=tuple(self.facts),
            timer_at_ms=timer_at_ms,
        )

    def _said(self) -> tuple[Outgoing, ...]:
        """What to send: no vote for a block that this same step has let go of.

        A vote says that its voter holds the block. Where the block's rival is committed in the step
        that voted, nothing of it reaches the disk, and nothing will ever come of the vote.
        """
        if not self.blocks_dropped:
            return tuple(self.messages)
        gone = set(self.blocks_dropped)
        return tuple(each for each in self.messages if not _is_vote_for(each.message, gone))

    def _persist(self, record: bytes | None, evidence: bytes | None) -> Persist:
        """What is to be written; most steps have nothing, and that is always the same value."""
        is_nothing = record is None and self.state is None and evidence is None
        if is_nothing and not (
            self.blocks
            or self.batches
            or self.commits
            or self.blocks_dropped
            or self.batches_dropped
        ):
            return NOTHING
        return Persist(
            record=record,
            blocks=tuple(self.blocks),
            batches=tuple(self.batches),
            commits=tuple(self.commits),
            state=self.state,
            blocks_dropped=tuple(self.blocks_dropped),
            batches_dropped=tuple(self.batches_dropped),
            evidence=evidence,
        )


def _is_vote_for(message: Message, blocks: Container[BlockId]) -> bool:
    return isinstance(message, Vote) and message.block_id in blocks
