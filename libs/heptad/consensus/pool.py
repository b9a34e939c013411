"""The batches that wait for their block, checked and hashed once, on arrival.

A batch leaves the pool at commit and not before, so those of a block that is abandoned need not be
put back: they never left. What is *proposable* is decided against the state of the block to be
extended, not against the pool.

One validator may sign two batches under one number. The first is kept for proposing and the second
is reported as evidence; but where a leader proposes the second, voters must be able to fetch it, so
what a block asks for by digest is taken in beside the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from heptad.consensus.committee import Cell
from heptad.consensus.errors import RefusedError
from heptad.consensus.limits import Limits
from heptad.consensus.objects import BatchId, BatchRef
from heptad.consensus.ports import SignatureVerifier
from heptad.model.batch import Batch, batch_signing_bytes, decode_batch
from heptad.model.canonical import MalformedError
from heptad.model.ids import BatchDigest, ValidatorNumber
from heptad.model.problems import Problem
from heptad.transparency.merkle import leaf_hashes

Positions = Mapping[ValidatorNumber, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PooledBatch:
    """A verified batch: what a block says of it, its bytes, and the hashes of its leaves.

    `arrived_ms` is when it came, `offered_ms` when it was offered to the other members (None: not
    yet). `is_pruned` batches lack their sealed half and serve only blocks that are certified.
    """

    ref: BatchRef
    encoded: bytes
    leaves: Sequence[bytes]
    arrived_ms: int
    offered_ms: int | None
    is_pruned: bool
    is_durable: bool


class BatchReader:
    """Turns bytes into a PooledBatch: decodes, checks the validator's signature, hashes leaves."""

    def __init__(self, cell: Cell, verifier: SignatureVerifier) -> None:
        self._origin = cell.origin
        self._keys = {validator.number: validator.batch_key for validator in cell.validators}
        self._verifier = verifier

    def decode(self, encoded: bytes) -> Batch:
        """Read a batch of a validator of this cell. Raises: RefusedError."""
        try:
            batch = decode_batch(encoded)
        except MalformedError as broken:
            raise RefusedError(f"batch: {broken}") from broken
        if batch.header.validator not in self._keys:
            raise RefusedError(f"batch of validator {batch.header.validator}, who is not known")
        return batch

    def verify(self, batch: Batch, encoded: bytes, *, now_ms: int) -> PooledBatch:
        """Check the signature over what `decode` returned. Raises: RefusedError."""
        header = batch.header
        try:
            self._verifier.verify(
                public_key=self._keys[header.validator],
                message=batch_signing_bytes(origin=self._origin, digest=batch.digest),
                signature=batch.signature,
            )
        except Problem as problem:
            raise RefusedError(f"batch of validator {header.validator}: {problem.detail}") from None
        return self.trusted(batch, encoded, now_ms=now_ms)

    def trusted(self, batch: Batch, encoded: bytes, *, now_ms: int) -> PooledBatch:
        """The same for a batch whose signature was checked before: one from my own disk."""
        header = batch.header
        ref = BatchRef(
            validator=header.validator,
            incarnation=header.incarnation,
            sequence=header.sequence,
            digest=batch.digest,
            count=header.count,
            size_bytes=len(encoded),
        )
        return PooledBatch(
            ref=ref,
            encoded=encoded,
            leaves=leaf_hashes(batch.entries()),
            arrived_ms=now_ms,
            offered_ms=None,
            is_pruned=batch.sealed is None,
            is_durable=False,
        )


class BatchPool:
    """Pending batches by digest, and by number within each validator."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_digest: dict[BatchDigest, PooledBatch] = {}
        self._by_id: dict[ValidatorNumber, dict[tuple[int, int], list[BatchDigest]]] = {}
        self._starts: dict[ValidatorNumber, set[int]] = {}
        self._bytes: dict[ValidatorNumber, int] = {}

    def __len__(self) -> int:
        """How many batches wait."""
        return len(self._by_digest)

    def __contains__(self, digest: object) -> bool:
        """True if the batch is here."""
        return digest in self._by_digest

    @property
    def size_bytes(self) -> int:
        """Bytes of all that wait."""
        return sum(self._bytes.values())

    def get(self, digest: BatchDigest) -> PooledBatch | None:
        """The batch with this digest."""
        return self._by_digest.get(digest)

    def under(self, batch_id: BatchId) -> PooledBatch | None:
        """The first batch that came under this number."""
        numbers = self._by_id.get(batch_id.validator, {})
        digests = numbers.get((batch_id.incarnation, batch_id.sequence))
        return self._by_digest[digests[0]] if digests else None

    def has_room(self, batch_id: BatchId, size_bytes: int, committed: Positions) -> bool:
        """True if a batch of this number and size may wait here, within the limits."""
        limits = self._limits
        last_incarnation, last_sequence = committed.get(batch_id.validator, (-1, -1))
        start = last_sequence if batch_id.incarnation == last_incarnation else -1
        if batch_id.sequence - start > limits.pool_batches_max_per_validator:
            return False
        count = len(self._by_id.get(batch_id.validator, ()))
        held = self._bytes.get(batch_id.validator, 0)
        return (
            count < limits.pool_batches_max_per_validator
            and held + size_bytes <= limits.pool_bytes_max_per_validator
        )

    def add(self, batch: PooledBatch) -> None:
        """Take a batch in; one that is here already changes nothing."""
        ref = batch.ref
        if ref.digest in self._by_digest:
            return
        self._by_digest[ref.digest] = batch
        numbers = self._by_id.setdefault(ref.validator, {})
        numbers.setdefault((ref.incarnation, ref.sequence), []).append(ref.digest)
        if ref.sequence == 0:
            self._starts.setdefault(ref.validator, set()).add(ref.incarnation)
        self._bytes[ref.validator] = self._bytes.get(ref.validator, 0) + ref.size_bytes

    def mark(
        self, digest: BatchDigest, *, offered_ms: int | None = None, is_durable: bool | None = None
    ) -> None:
        """Note that a batch was offered, or that it goes to the disk with this step."""
        batch = self._by_digest[digest]
        self._by_digest[digest] = replace(
            batch,
            offered_ms=batch.offered_ms if offered_ms is None else offered_ms,
            is_durable=batch.is_durable if is_durable is None else is_durable,
        )

    def proposable(self, positions: Positions) -> Iterator[PooledBatch]:
        """What may follow `positions`, in order of arrival, each validator's in its own order."""
        walks = {number: self._walk(number, positions.get(number)) for number in self._by_id}
        heads = {number: batch for number, walk in walks.items() if (batch := next(walk, None))}
        while heads:
            number = min(heads, key=lambda each: (heads[each].arrived_ms, each))
            yield heads[number]
            following = next(walks[number], None)
            if following is None:
                del heads[number]
            else:
                heads[number] = following

    def select(self, positions: Positions) -> list[PooledBatch]:
        """What a block on top of `positions` takes: the oldest, within the limits of a block."""
        chosen: list[PooledBatch] = []
        size = 0
        for batch in self.proposable(positions):
            size += batch.ref.size_bytes
            full = len(chosen) >= self._limits.block_batches_max
            if chosen and (full or size > self._limits.block_bytes_max):
                break
            chosen.append(batch)
        return chosen

    def committed(self, positions: Positions) -> list[PooledBatch]:
        """Drop all that is at or behind `positions`; return what left."""
        gone: list[BatchDigest] = []
        for number, numbers in self._by_id.items():
            position = positions.get(number)
            if position is None:
                continue
            for key in [key for key in numbers if key <= position]:
                gone += numbers.pop(key)
        batches = [self._by_digest.pop(digest) for digest in gone]
        for batch in batches:
            ref = batch.ref
            self._bytes[ref.validator] -= ref.size_bytes
            if ref.sequence == 0:
                self._starts[ref.validator].discard(ref.incarnation)
        return batches

    def _walk(
        self, number: ValidatorNumber, position: tuple[int, int] | None
    ) -> Iterator[PooledBatch]:
        """One validator's batches as they may follow each other, from `position` on."""
        numbers = self._by_id[number]
        while True:
            following = self._following(number, position)
            if following is None:
                return
            position = following
            batch = self._by_digest[numbers[following][0]]
            if batch.is_pruned:
                return
            yield batch

    def _following(
        self, number: ValidatorNumber, position: tuple[int, int] | None
    ) -> tuple[int, int] | None:
        """The next sequence if it is here, else the start of the nearest later incarnation."""
        last_incarnation = -1
        if position is not None:
            last_incarnation, sequence = position
            if (last_incarnation, sequence + 1) in self._by_id[number]:
                return last_incarnation, sequence + 1
        later = [start for start in self._starts.get(number, ()) if start > last_incarnation]
        return (min(later), 0) if later else None
