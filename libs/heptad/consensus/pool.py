"""The batches that wait for their block, checked and hashed once, on arrival.

A batch leaves the pool at commit and not before, so those of a block that is abandoned need not be
put back: they never left. What is *proposable* is decided against the state of the block to be
extended, not against the pool.

One validator may sign two batches under one number. The first is kept for proposing and the second
is reported as evidence; but where a leader proposes the second, voters must be able to fetch it, so
what a block asks for by digest is taken in beside the first.

A validator's share of the pool is bounded, and a batch is of use only once all before it are here:
so where there is no room, what would be committed last gives way to what is committed sooner, and
a share full of later batches can never keep out the one that all of them wait for. What came in
beyond the share because a block names it (`extras`) leaves once no block here names it any more.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from heptad.consensus.committee import Cell
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.limits import Limits
from heptad.consensus.objects import BatchId, BatchRef
from heptad.consensus.ports import SignatureVerifier
from heptad.model.batch import Batch, batch_signing_bytes, decode_batch, decode_header
from heptad.model.canonical import MalformedError
from heptad.model.ids import BatchDigest, ValidatorNumber
from heptad.model.problems import Problem
from heptad.transparency.merkle import leaf_hashes

Place = tuple[int, int]
"""Incarnation and sequence: a batch's place among those of its validator."""

Positions = Mapping[ValidatorNumber, Place]


@dataclass(slots=True, eq=False)
class PooledBatch:
    """A verified batch: what a block says of it, its bytes, and the hashes of its leaves.

    `arrived_ms` is when it came, `offered_ms` when it was offered to the other members (None: not
    yet); this and `is_durable` change while it waits, by `BatchPool.mark`. `is_pruned` batches lack
    their sealed half; they are taken from this member's own disk only, never from a peer.
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

    def __init__(
        self,
        cell: Cell,
        verifier: SignatureVerifier,
        decode: Callable[[bytes], Batch] = decode_batch,
    ) -> None:
        self._origin = cell.origin
        self._validators = {validator.number: validator for validator in cell.validators}
        self._verifier = verifier
        self._decode = decode

    def identify(self, encoded: bytes) -> BatchId:
        """Read only whose batch this is, and which. Raises: RefusedError."""
        try:
            header = decode_header(encoded)
        except MalformedError as broken:
            raise RefusedError(f"batch: {broken}") from broken
        return BatchId(header.validator, header.incarnation, header.sequence)

    def decode(self, encoded: bytes) -> Batch:
        """Read a batch of a validator of this cell. Raises: RefusedError."""
        try:
            batch = self._decode(encoded)
        except MalformedError as broken:
            raise RefusedError(f"batch: {broken}") from broken
        if batch.header.validator not in self._validators:
            raise RefusedError(f"batch of validator {batch.header.validator}, who is not known")
        return batch

    def verify(self, batch: Batch, encoded: bytes, *, now_ms: int) -> PooledBatch:
        """Check what `decode` returned and a peer has sent: whole, and signed by its validator.

        Its digest leaves out the sealed section, so a pruned batch would do for a vote, and what is
        committed so no ledger could ever apply. Raises: RefusedError.
        """
        header = batch.header
        if batch.sealed is None:
            raise RefusedError("a batch without its sealed half")
        signer = self._validators[header.validator]
        try:
            self._verifier.verify(
                public_key=signer.batch_key_for(header.incarnation),
                message=batch_signing_bytes(origin=self._origin, digest=batch.digest),
                signature=batch.signature,
            )
        except Problem as problem:
            raise ForgedError(f"batch of validator {header.validator}: {problem.detail}") from None
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
        self._by_id: dict[ValidatorNumber, dict[Place, list[BatchDigest]]] = {}
        self._starts: dict[ValidatorNumber, set[int]] = {}
        self._bytes: Counter[ValidatorNumber] = Counter()
        self._counts: Counter[ValidatorNumber] = Counter()

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

    def largest_bytes(self) -> int:
        """The size of the largest batch that waits."""
        return max((batch.ref.size_bytes for batch in self._by_digest.values()), default=0)

    def get(self, digest: BatchDigest) -> PooledBatch | None:
        """The batch with this digest."""
        return self._by_digest.get(digest)

    def under(self, batch_id: BatchId) -> PooledBatch | None:
        """The first batch that came under this number."""
        numbers = self._by_id.get(batch_id.validator, {})
        digests = numbers.get((batch_id.incarnation, batch_id.sequence))
        return self._by_digest[digests[0]] if digests else None

    def has_same(self, batch_id: BatchId, encoded: bytes) -> bool:
        """True if the first batch that came under this number is this one, byte for byte."""
        batch = self.under(batch_id)
        return batch is not None and batch.encoded == encoded

    def giving_way(
        self,
        batch_id: BatchId,
        size_bytes: int,
        *,
        committed: Positions,
        pinned: Callable[[], Container[BatchDigest]],
    ) -> list[PooledBatch] | None:
        """What has to leave so that a batch of this number and size may wait here.

        Nothing while its validator's share has room; else the last in turn, as many as needed, of
        those whose turn comes after its own and that are not among `pinned()`. None if that is not
        enough, or if the number runs too far ahead of what is committed.
        """
        limits, number = self._limits, batch_id.validator
        position = committed.get(number)
        start = position[1] if position and position[0] == batch_id.incarnation else -1
        if batch_id.sequence - start > limits.pool_batches_max_per_validator:
            return None
        held = self._by_id.get(number, {})
        count_over, bytes_over = self._over(number, count=1, size_bytes=size_bytes)
        gone: list[PooledBatch] = []
        if count_over <= 0 and bytes_over <= 0:
            return gone
        staying = pinned()
        for place in _behind((batch_id.incarnation, batch_id.sequence), held, position):
            digests = held[place]
            if any(digest in staying for digest in digests):
                continue
            rivals = [self._by_digest[digest] for digest in digests]
            gone += rivals
            count_over -= len(rivals)
            bytes_over -= sum(batch.ref.size_bytes for batch in rivals)
            if count_over <= 0 and bytes_over <= 0:
                return gone
        return None

    def surplus(
        self, *, committed: Positions, pinned: Callable[[], Container[BatchDigest]]
    ) -> list[PooledBatch]:
        """What is beyond its validator's share and not among `pinned()`.

        Of several batches under one number the later ones go first, then the last in turn.
        """
        surplus: list[PooledBatch] = []
        for number, held in self._by_id.items():
            count_over, bytes_over = self._over(number)
            if count_over <= 0 and bytes_over <= 0:
                continue
            staying = pinned()
            turns = _turns(held, committed.get(number))[::-1]
            rivals = [digest for place in turns for digest in held[place][1:]]
            for digest in (*rivals, *(held[place][0] for place in turns)):
                if count_over <= 0 and bytes_over <= 0:
                    break
                if digest in staying:
                    continue
                batch = self._by_digest[digest]
                surplus.append(batch)
                count_over, bytes_over = count_over - 1, bytes_over - batch.ref.size_bytes
        return surplus

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
        self._bytes[ref.validator] += ref.size_bytes
        self._counts[ref.validator] += 1

    def mark(
        self, digest: BatchDigest, *, offered_ms: int | None = None, is_durable: bool | None = None
    ) -> None:
        """Note that a batch was offered, or that it goes to the disk with this step."""
        batch = self._by_digest[digest]
        batch.offered_ms = batch.offered_ms if offered_ms is None else offered_ms
        batch.is_durable = batch.is_durable if is_durable is None else is_durable

    def oldest(self, positions: Positions) -> PooledBatch | None:
        """The first of `proposable`, which is asked for again and again."""
        first: PooledBatch | None = None
        for number in self._by_id if self._by_digest else ():
            batch = self._following(number, positions.get(number))
            if batch is not None and (first is None or _turn(batch) < _turn(first)):
                first = batch
        return first

    def proposable(self, positions: Positions) -> Iterator[PooledBatch]:
        """What may follow `positions`, in order of arrival, each validator's in its own order."""
        walks = {number: self._walk(number, positions.get(number)) for number in self._by_id}
        heads = {number: batch for number, walk in walks.items() if (batch := next(walk, None))}
        while heads:
            number = min(heads, key=lambda each: _turn(heads[each]))
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
                gone += numbers[key]
        batches = [self._by_digest[digest] for digest in gone]
        self.remove(batches)
        return batches

    def remove(self, batches: Iterable[PooledBatch]) -> None:
        """Let go of batches that are here."""
        for batch in batches:
            ref = batch.ref
            del self._by_digest[ref.digest]
            self._bytes[ref.validator] -= ref.size_bytes
            self._counts[ref.validator] -= 1
            rivals = self._by_id[ref.validator][ref.incarnation, ref.sequence]
            rivals.remove(ref.digest)
            if not rivals:
                del self._by_id[ref.validator][ref.incarnation, ref.sequence]
                if ref.sequence == 0:
                    self._starts[ref.validator].discard(ref.incarnation)

    def _over(
        self, number: ValidatorNumber, *, count: int = 0, size_bytes: int = 0
    ) -> tuple[int, int]:
        """By how many batches and bytes a validator would be beyond its share with these more."""
        limits = self._limits
        return (
            self._counts[number] + count - limits.pool_batches_max_per_validator,
            self._bytes[number] + size_bytes - limits.pool_bytes_max_per_validator,
        )

    def _walk(self, number: ValidatorNumber, position: Place | None) -> Iterator[PooledBatch]:
        """One validator's batches as they may follow each other, from `position` on."""
        while (batch := self._following(number, position)) is not None:
            yield batch
            position = batch.ref.incarnation, batch.ref.sequence

    def _following(self, number: ValidatorNumber, position: Place | None) -> PooledBatch | None:
        """The one that may come after `position`, if it is here and whole."""
        numbers = self._by_id[number]
        place = _next(numbers, self._starts.get(number, ()), position) if numbers else None
        if place is None:
            return None
        batch = self._by_digest[numbers[place][0]]
        return None if batch.is_pruned else batch


def _turn(batch: PooledBatch) -> tuple[int, ValidatorNumber]:
    """In which order batches of different validators are proposed."""
    return batch.arrived_ms, batch.ref.validator


def _next(held: Container[Place], starts: Iterable[int], position: Place | None) -> Place | None:
    """The next sequence if it is held, else the start of the nearest later incarnation."""
    last_incarnation = -1
    if position is not None:
        last_incarnation, sequence = position
        if (last_incarnation, sequence + 1) in held:
            return last_incarnation, sequence + 1
    later = [start for start in starts if start > last_incarnation]
    return (min(later), 0) if later else None


def _behind(newcomer: Place, held: Iterable[Place], position: Place | None) -> list[Place]:
    """Which of those held come after the newcomer, if it comes in; the last in turn first."""
    turns = _turns({*held, newcomer}, position)
    return turns[: turns.index(newcomer) : -1]


def _turns(held: Iterable[Place], position: Place | None) -> list[Place]:
    """In which order they can be committed.

    First in turn is what may follow `position` without a gap. Then comes what waits for something
    that is not here: of the latest incarnation first, for no validator sends an older one again.
    """
    places = set(held)
    starts = [incarnation for incarnation, sequence in places if sequence == 0]
    turns: list[Place] = []
    while (position := _next(places, starts, position)) is not None:
        turns.append(position)
    turns += sorted(places.difference(turns), key=lambda place: (-place[0], place[1]))
    return turns
