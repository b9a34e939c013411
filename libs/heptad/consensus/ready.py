"""What a step wants done: one value that says what to persist *before* what to send.

The idea is etcd/raft's `Ready`. The order is the whole point: everything in `persist` is durable
(one synced transaction) before any message, cosignature or answer of the same `Ready` leaves the
process. If we crash in between, nothing was promised to anybody; if the write fails, the process
must crash rather than go on with promises that it may forget.

Several events may share one `Ready`, and so one write: all that they want to say waits for the one
transaction that covers them all (the last record is enough, for it contains every earlier promise).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from heptad.consensus.messages import Message
from heptad.consensus.objects import BatchId, Block, CommittedBlock, Cosignature
from heptad.model.ids import BatchDigest, BlockId, MemberIndex


@dataclass(frozen=True, slots=True)
class Persist:
    """One transaction for the store, to be synced as a whole.

    - `record`: the safety record, replacing the last one; None: unchanged.
    - `blocks`: headers to keep by id, not (yet) committed.
    - `batches`: (digest, encoded batch) to keep by digest.
    - `commits`: blocks now final, ascending heights, with a gap only before one that `is_jump`.
      Their headers and batches are in the store already or in this same transaction (batches first,
      then headers, then commits); a jump comes with its header and without its batches.
    - `state`: the committed state after the last of `commits`, replacing the last one; opaque.
    - `blocks_dropped`: ids of uncommitted blocks that can never be committed any more.
    - `batches_dropped`: digests of stored batches that can never be committed any more.
    - `evidence`: the proofs of misbehaviour that wait for a block, replacing the last ones; None:
      unchanged.
    """

    record: bytes | None = None
    blocks: tuple[Block, ...] = ()
    batches: tuple[tuple[BatchDigest, bytes], ...] = ()
    commits: tuple[CommittedBlock, ...] = ()
    state: bytes | None = None
    blocks_dropped: tuple[BlockId, ...] = ()
    batches_dropped: tuple[BatchDigest, ...] = ()
    evidence: bytes | None = None

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to write, so nothing to sync."""
        return self is NOTHING or self == NOTHING


NOTHING: Final = Persist()
"""What a step that changes nothing durable has to write."""


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
    """It waits in the pool (or did so already): a commit notice will follow, or OVERLOADED."""
    COMMITTED = "committed"
    """It, or a later one of the same incarnation, is committed already: the store knows where."""
    STALE = "incarnation_stale"
    """A later incarnation has fenced it off: it will never commit."""
    OVERLOADED = "overloaded"
    """The pool holds too much of this validator: send it again later. Also told of a batch that
    was accepted and has had to give way to one that is committed sooner."""
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


class Ready(NamedTuple):
    """The outcome of one step. See the head of this file for the order.

    - `messages`: to send, in this order.
    - `commits`: the blocks of `persist.commits` again, oldest first, to be told to validators and
      ledgers.
    - `cosignatures`: to be told to ledgers.
    - `outcomes`: answers to validators.
    - `lookups`: requests that the driver answers from the store.
    - `timer_at_ms`: when to give `TimerFired` next; None: never, the replica is idle. It replaces
      the time given before.
    """

    persist: Persist = NOTHING
    messages: tuple[Outgoing, ...] = ()
    commits: tuple[CommittedBlock, ...] = ()
    cosignatures: tuple[Cosignature, ...] = ()
    outcomes: tuple[BatchOutcome, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    facts: tuple[Fact, ...] = ()
    timer_at_ms: int | None = None
