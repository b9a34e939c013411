"""What this room asks of the world, as small protocols.

The kernel holds the two signers and nobody else does. The driver holds store, outbox and sink: the
replica gives it LMDB, gRPC streams and its services; the simulator gives it simulated ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from heptad.consensus.objects import CommittedBlock, Cosignature
from heptad.consensus.ready import BatchOutcome, Fact, Persist
from heptad.model.ids import BatchDigest, BlockId, Height, MemberIndex
from heptad.transparency.subtrees import Growth


class Signer(Protocol):
    """One private Ed25519 key. The vote key and the cosigning key are two signers."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        ...


class SignatureVerifier(Protocol):
    """The one pinned Ed25519 implementation; the module `heptad.crypto.signatures` is one."""

    def verify(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Return if the signature holds. Raises: heptad.model.problems.Problem if not."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A committed block in its `codec` encoding, and its proof's; empty where it has none."""

    block: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """The last committed state as it was written, and the proof of its block."""

    state: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Restored:
    """What a store gives back after a restart, all of it from completed transactions.

    `record` and `state` are the last ones written; `state` is None before the first commit, and
    `record` where it was lost, as in a store that comes out of a backup.
    `blocks` are the headers that are neither committed nor dropped, in any order, and `batches`
    the encoded batches that they refer to (more is harmless). `evidence` is the last docket that
    was written, empty if none was.
    """

    record: bytes | None
    state: bytes | None
    blocks: tuple[bytes, ...]
    batches: tuple[bytes, ...]
    evidence: bytes = b""


class Store(Protocol):
    """The replica's disk."""

    def load(self) -> Restored | None:
        """All that the last process left; None if there is nothing."""
        ...

    def write(self, persist: Persist) -> None:
        """Make all of it durable in one transaction: when this returns it is synced.

        All or nothing survives a crash. Any exception stops the replica: the driver lets it pass
        and refuses to go on. Called again with what is there already, it changes nothing.
        """
        ...

    def block(self, block_id: BlockId) -> bytes | None:
        """A header's bytes, committed or not."""
        ...

    def batch(self, digest: BatchDigest) -> bytes | None:
        """An encoded batch, in the pruned form where its sealed half is gone."""
        ...

    def committed(self, height: Height) -> StoredCommit | None:
        """The committed block of this height.

        None above the last one, for the genesis, and where it was pruned or jumped over.
        """
        ...

    def snapshot(self) -> StoredSnapshot | None:
        """Where this replica stands; None before the first commit."""
        ...

    def growth(self, size: int) -> Growth | None:
        """The growth by which the log reached `size`, or passed it; None if it has not.

        The oldest may be gone; then one that came later is given.
        """
        ...


class Outbox(Protocol):
    """Where messages leave. Best effort: may lose, delay and reorder; must not block."""

    def send(self, targets: tuple[MemberIndex, ...], payload: bytes) -> None:
        """Send `payload` to each of `targets`."""
        ...


class Sink(Protocol):
    """The rest of the replica: told only what is durable already."""

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """New final blocks, oldest first, each once in a process, a gap only before a jump."""
        ...

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """New cosignatures; the last one of each start repeats the last head that was cosigned."""
        ...

    def answered(self, outcomes: Sequence[BatchOutcome]) -> None:
        """What became of batches that came through `BatchReceived`."""
        ...

    def observed(self, facts: Sequence[Fact]) -> None:
        """For logs and metrics."""
        ...
