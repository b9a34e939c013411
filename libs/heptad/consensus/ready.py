"""What a step wants done: one value that says what to persist *before* what to send.

The idea is etcd/raft's `Ready`. The order is the whole point: everything in `persist` is durable
(one synced transaction) before any message, cosignature or answer of the same `Ready` leaves the
process. If we crash in between, nothing was promised to anybody; if the write fails, the process
must crash rather than go on with promises that it may forget.

Several steps may share one write: `merge` puts their `Ready`s together in order, and what is
released waits for the one transaction that covers them all (the last record of several is enough,
because it contains the earlier ones' promises).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from heptad.consensus.messages import Message
from heptad.consensus.objects import BatchId, Block, CommittedBlock, Cosignature
from heptad.model.ids import BatchDigest, BlockId, MemberIndex


@dataclass(frozen=True, slots=True)
class Persist:
    """One transaction for the store, to be synced as a whole.

    - `record`: the safety record, replacing the last one; None: unchanged.
    - `blocks`: headers to keep by id, not (yet) committed.
    - `batches`: (digest, encoded batch) to keep by digest.
    - `commits`: blocks now final, ascending heights without a gap. Their headers and batches are in
      the store already or in this same transaction (batches first, then headers, then commits).
    - `state`: the committed state after the last of `commits`, replacing the last one; opaque.
    - `blocks_dropped`: ids of uncommitted blocks that can never be committed any more.
    - `batches_dropped`: digests of stored batches that can never be committed any more.
    """

    record: bytes | None = None
    blocks: tuple[Block, ...] = ()
    batches: tuple[tuple[BatchDigest, bytes], ...] = ()
    commits: tuple[CommittedBlock, ...] = ()
    state: bytes | None = None
    blocks_dropped: tuple[BlockId, ...] = ()
    batches_dropped: tuple[BatchDigest, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to write, so nothing to sync."""
        return self == _NOTHING

    def then(self, later: "Persist") -> "Persist":
        """Both as one transaction."""
        return Persist(
            record=self.record if later.record is None else later.record,
            blocks=self.blocks + later.blocks,
            batches=self.batches + later.batches,
            commits=self.commits + later.commits,
            state=self.state if later.state is None else later.state,
            blocks_dropped=self.blocks_dropped + later.blocks_dropped,
            batches_dropped=self.batches_dropped + later.batches_dropped,
        )


_NOTHING = Persist()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message for each of `targets` (never this replica itself)."""

    targets: tuple[MemberIndex, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class Lookup:
    """A peer asks for something that the core does not hold; the driver answers from the store."""

    peer: MemberIndex
    request: Message


class BatchVerdict(Enum):
    """What became of a batch that a validator sent."""

    ACCEPTED = "accepted"
    """It waits in the pool (or did so already): a commit notice will follow."""
    COMMITTED = "committed"
    """It, or a later one of the same incarnation, is committed already: the store knows where."""
    STALE = "incarnation_stale"
    """A later incarnation has fenced it off: it will never commit."""
    OVERLOADED = "overloaded"
    """The pool holds too much of this validator: send it again later."""
    INVALID = "batch_invalid"
    """Not a batch of this validator, or its signature does not hold."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The answer to one `BatchReceived`; `id` is None where the batch could not be read.

    `verdict.value` of the last three is the code in `heptad.model.problems`.
    """

    validator: int
    id: BatchId | None
    verdict: BatchVerdict
    detail: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something for logs, metrics and alerts, which the core does not write itself.

    `name` is one of `heptad.consensus.facts`; values are numbers, digests and sentences, never a
    payload.
    """

    name: str
    fields: tuple[tuple[str, int | str | bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The outcome of one step, or of several merged ones. See the head of this file for the order.

    - `messages`: to send, in this order.
    - `commits`: the blocks of `persist.commits` again, oldest first, to be told to validators and
      ledgers.
    - `cosignatures`: to be told to ledgers.
    - `outcomes`: answers to validators.
    - `lookups`: requests that the driver answers from the store.
    - `timer_at_ms`: when to give `TimerFired` next; None: never, the replica is idle. It replaces
      the time given before.
    """

    persist: Persist = field(default_factory=Persist)
    messages: tuple[Outgoing, ...] = ()
    commits: tuple[CommittedBlock, ...] = ()
    cosignatures: tuple[Cosignature, ...] = ()
    outcomes: tuple[BatchOutcome, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    facts: tuple[Fact, ...] = ()
    timer_at_ms: int | None = None


def merge(readies: Sequence[Ready]) -> Ready:
    """Several steps' results as one, in the order of the steps; at least one."""
    if len(readies) == 1:
        return readies[0]
    persist = readies[0].persist
    for ready in readies[1:]:
        persist = persist.then(ready.persist)
    join = chain.from_iterable
    return Ready(
        persist=persist,
        messages=tuple(join(ready.messages for ready in readies)),
        commits=tuple(join(ready.commits for ready in readies)),
        cosignatures=tuple(join(ready.cosignatures for ready in readies)),
        outcomes=tuple(join(ready.outcomes for ready in readies)),
        lookups=tuple(join(ready.lookups for ready in readies)),
        facts=tuple(join(ready.facts for ready in readies)),
        timer_at_ms=readies[-1].timer_at_ms,
    )
