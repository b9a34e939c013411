"""The history checker: whether what was seen from outside can be the history of one good log.

The log itself is the judge: it was read and hashed from its first entry to its cosigned root, so
the root of each of its beginnings is known, and whatever any replica ever showed or signed must be
one of them. What is checked, for everything since the cell began:

- every acknowledged request stands at its index, as a request, and no two share one; there are
  exactly as many requests in the log as were acknowledged, besides what the ledger calls a copy;
- every head that a replica showed is a beginning of the log, and none ever showed a shorter one;
- every cosignature holds, is of a beginning of the log, and no member's sizes ever decrease;
- no client got an answer that it may not get.

Receipts are proved one by one elsewhere (`trial`), since they have to be fetched.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from heptad.crypto.signatures import verify
from heptad.model.entry import Kind
from heptad.runtime.config import Cell
from heptad.runtime.vkeys import witness_vkey
from heptad.transparency.checkpoint import Checkpoint, verify_cosignature
from heptad.transparency.errors import CheckpointRejectedError
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import NoteSignature, VerifierKey
from heptad.trials.faults.history import History
from heptad.trials.faults.watch import Sightings
from heptad.wire.convert.entry import decode_entry
from heptad.wire.streams import CosignatureFrame


@dataclass(slots=True)
class LogRead:
    """What is kept of a log while it is read: kinds by index, and the roots of some beginnings."""

    sizes: Collection[int]
    kinds: list[Kind] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    _edge: CompactRange = field(default_factory=CompactRange.empty)

    def visit(self, first_index: int, entries: Sequence[bytes]) -> None:
        """Take a bundle in (`verify_log`'s hook)."""
        assert first_index == len(self.kinds) == self._edge.size
        self.kinds += [decode_entry(entry).kind for entry in entries]
        hashes = leaf_hashes(entries)
        taken = 0
        for size in [*sorted(s for s in self.sizes if first_index < s <= len(self.kinds))]:
            end = size - first_index
            self._edge = self._edge.extended(hashes[taken:end])
            self.roots[size] = self._edge.root()
            taken = end
        self._edge = self._edge.extended(hashes[taken:])


@dataclass(frozen=True, slots=True)
class Verdict:
    """`broken` are promises that were not kept; `checked` counts what was looked at."""

    broken: tuple[str, ...]
    checked: Mapping[str, int]


def sizes_of(seen: Sightings) -> set[int]:
    """The log sizes whose roots `judge` needs."""
    sizes = {size for heads in seen.heads.values() for size, _ in heads}
    return sizes | {frame.size for frames in seen.cosignatures.values() for frame in frames}


def judge(*, history: History, seen: Sightings, log: LogRead, copies: int, cell: Cell) -> Verdict:
    """Judge one cell's whole history; `copies` are requests that the ledger found repeated."""
    broken = [
        *history.broken,
        *_exactly_once(history.acknowledged, log.kinds, copies),
        *_heads_are_beginnings(seen, log.roots),
        *_cosignatures_hold(seen, log.roots, cell),
    ]
    checked = {
        "acknowledged": len(history.acknowledged),
        "entries": len(log.kinds),
        "heads": sum(map(len, seen.heads.values())),
        "cosignatures": sum(map(len, seen.cosignatures.values())),
    }
    return Verdict(tuple(broken), checked)


def _exactly_once(
    acknowledged: Mapping[str, int], kinds: Sequence[Kind], copies: int
) -> Iterator[str]:
    indexes = set(acknowledged.values())
    if len(indexes) != len(acknowledged):
        yield f"{len(acknowledged)} acknowledged requests share {len(indexes)} indexes"
    missing = sorted(i for i in indexes if i >= len(kinds) or kinds[i] is not Kind.REQUEST)
    if missing:
        yield f"{len(missing)} acknowledged requests are not in the log, first at {missing[0]}"
    once = kinds.count(Kind.REQUEST) - copies
    if once != len(acknowledged):
        yield f"{len(acknowledged)} acknowledged, {once} in the log ({copies} copies besides)"


def _heads_are_beginnings(seen: Sightings, roots: Mapping[int, bytes]) -> Iterator[str]:
    for name, heads in seen.heads.items():
        for size, root in heads:
            if size and roots.get(size) != root:
                yield f"{name} showed a head of {size} entries that is no beginning of the log"
        for (before, _), (after, _) in pairwise(heads):
            if after < before:
                yield f"{name} showed {after} committed entries after {before}"


def _cosignatures_hold(seen: Sightings, roots: Mapping[int, bytes], cell: Cell) -> Iterator[str]:
    keys = {replica.id: witness_vkey(cell, replica) for replica in cell.replicas}
    for name, frames in seen.cosignatures.items():
        for frame in frames:
            if frame.size and roots.get(frame.size) != frame.root:
                yield f"{name} cosigned a head of {frame.size} that is no beginning of the log"
            elif (reason := _refusal(frame, keys[name], cell.origin)) is not None:
                yield f"{name}'s cosignature of {frame.size}: {reason}"
        for before, after in pairwise(frames):
            if after.size < before.size:
                yield f"{name} cosigned {after.size} entries after {before.size}"


def _refusal(frame: CosignatureFrame, key: VerifierKey, origin: str) -> str | None:
    body = Checkpoint(origin, frame.size, frame.root).body()
    signature = NoteSignature(
        key.name, key.key_id, frame.time_s.to_bytes(8, "big") + frame.signature
    )
    try:
        verify_cosignature(body, signature, key=key, verify=verify)
    except CheckpointRejectedError as error:
        return str(error)
    return None
