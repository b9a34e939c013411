"""Gathering cosignatures until a head can be published.

Each is judged by itself, before it comes near a note: a verifier may reject a whole note for one
signature by a known key that is bad or lies in the future, so one evil replica could poison every
checkpoint. A cosignature counts if its replica's key made it, over the root that this ledger
computed itself for that size, at a believable time: not before the block that it signs, and not in
the future, give or take the allowed skew. (The past needs a bound of its own and not the clock's: a
group that was idle for an hour has signed its last head an hour ago.) One counts for each replica
and size; what a replica signs for sizes that are not applied yet waits, a few at a time.

What an honest replica sends by no race and by no wrong clock has verdicts of its own, `REFUSED`: a
signature is checked only where all else about it is right, so a bad one is its sender's doing.

Pure: no clock, no I/O.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from heptad.transparency.checkpoint import Checkpoint, verify_cosignature
from heptad.transparency.errors import CheckpointRejectedError
from heptad.transparency.notes import NoteSignature, VerifierKey, Verify
from heptad.wire.streams import CosignatureFrame
from heptad_ledger.heads import Head
from heptad_ledger.publishing.contradictions import Contradictions

HEADS_MAX: Final = 4_096
"""Heads kept that may still be published; older ones will not be."""

WAITING_MAX: Final = 64
"""Cosignatures of one replica for sizes that are not applied yet; of more, the largest stay."""


class Verdict(StrEnum):
    """What became of a cosignature; also a label of its metric."""

    GOOD = "good"
    WAITING = "waiting"
    OUTDATED = "outdated"
    REPEATED = "repeated"
    MISTIMED = "mistimed"
    BAD = "bad"
    WRONG_ROOT = "wrong_root"


REFUSED: Final = frozenset({Verdict.BAD, Verdict.WRONG_ROOT})
"""What no honest replica sends: a forged signature, or one of a head that this log never had."""


@dataclass(frozen=True, slots=True)
class Publishable:
    """A head and the cosignatures that make a checkpoint of it, in the replicas' order."""

    head: Head
    cosignatures: Sequence[NoteSignature]


class CosignatureBook:
    """Cosignatures above the published size.

    `witnesses` are the replicas' keys by id, in the order in which they stand in a note.
    """

    def __init__(
        self,
        *,
        origin: str,
        witnesses: Mapping[str, VerifierKey],
        quorum: int,
        verify: Verify,
        skew_s_max: int,
    ) -> None:
        self._origin = origin
        self._witnesses = witnesses
        self._quorum = quorum
        self._verify = verify
        self._skew_s_max = skew_s_max
        self.contradictions = Contradictions(origin=origin, witnesses=witnesses, verify=verify)
        self._published_size = 0
        self._past_roots: OrderedDict[int, bytes] = OrderedDict()
        self._heads: OrderedDict[int, Head] = OrderedDict()
        self._good: dict[int, dict[str, NoteSignature]] = {}
        self._waiting: dict[str, dict[int, CosignatureFrame]] = {name: {} for name in witnesses}

    @property
    def replicas(self) -> Sequence[str]:
        """Ids of those whose cosignatures are gathered."""
        return tuple(self._witnesses)

    def published(self, size: int) -> None:
        """A checkpoint of that size is published: nothing smaller will be."""
        self._published_size = max(self._published_size, size)
        for outdated in [known for known in self._heads if known <= size]:
            self._past_roots[outdated] = self._heads.pop(outdated).root
            self._good.pop(outdated, None)
        while len(self._past_roots) > HEADS_MAX:
            self._past_roots.popitem(last=False)
        for waiting in self._waiting.values():
            for outdated in [known for known in waiting if known <= size]:
                del waiting[outdated]

    def applied(self, heads: Sequence[Head], *, now_s: int) -> list[tuple[str, Verdict]]:
        """These heads are durable here; the verdicts on cosignatures that waited for them."""
        verdicts: list[tuple[str, Verdict]] = []
        for head in heads:
            # A later block without entries has the same head: the first one's time counts.
            if head.size <= self._published_size or head.size in self._heads:
                continue
            self._heads[head.size] = head
            for replica, waiting in self._waiting.items():
                frame = waiting.pop(head.size, None)
                if frame is not None:
                    verdicts.append((replica, self._judge(replica, frame, head, now_s)))
        while len(self._heads) > HEADS_MAX:
            oldest, _ = self._heads.popitem(last=False)
            self._good.pop(oldest, None)
        return verdicts

    def offer(self, replica: str, frame: CosignatureFrame, *, now_s: int) -> Verdict:
        """A replica's cosignature; `replica` is who sent it, by its certificate."""
        if frame.size <= self._published_size:
            return self._look_back(replica, frame)
        head = self._heads.get(frame.size)
        if head is not None:
            return self._judge(replica, frame, head, now_s)
        if self._heads and frame.size < next(reversed(self._heads)):
            if not self._is_between(frame.size):
                return Verdict.OUTDATED
            return self._wrong_root(replica, frame)
        waiting = self._waiting[replica]
        waiting[frame.size] = frame
        while len(waiting) > WAITING_MAX:
            del waiting[min(waiting)]
        return Verdict.WAITING

    def publishable(self) -> Publishable | None:
        """The largest head with a quorum of cosignatures."""
        for size in sorted(self._good, reverse=True):
            good = self._good[size]
            if len(good) >= self._quorum:
                lines = [good[name] for name in self._witnesses if name in good]
                return Publishable(self._heads[size], lines)
        return None

    def _is_between(self, size: int) -> bool:
        """Whether the log had heads below and above that size, but never this one."""
        return bool(self._heads) and next(iter(self._heads)) < size

    def _look_back(self, replica: str, frame: CosignatureFrame) -> Verdict:
        """Too late to be published, but maybe one of two."""
        root = self._past_roots.get(frame.size)
        if root is not None and root != frame.root:
            return self._wrong_root(replica, frame)
        is_forged = root is not None and not self.contradictions.right(replica, frame)
        return Verdict.BAD if is_forged else Verdict.OUTDATED

    def _wrong_root(self, replica: str, frame: CosignatureFrame) -> Verdict:
        is_forged = not self.contradictions.wrong(replica, frame)
        return Verdict.BAD if is_forged else Verdict.WRONG_ROOT

    def _judge(self, replica: str, frame: CosignatureFrame, head: Head, now_s: int) -> Verdict:
        good = self._good.setdefault(head.size, {})
        if frame.root != head.root:
            return self._wrong_root(replica, frame)
        if replica in good:
            return Verdict.REPEATED
        earliest_s = head.time_ms // 1000 - self._skew_s_max
        if not earliest_s <= frame.time_s <= now_s + self._skew_s_max:
            return Verdict.MISTIMED
        key = self._witnesses[replica]
        signature = NoteSignature(
            key.name, key.key_id, frame.time_s.to_bytes(8, "big") + frame.signature
        )
        body = Checkpoint(self._origin, head.size, head.root).body()
        try:
            verify_cosignature(body, signature, key=key, verify=self._verify)
        except CheckpointRejectedError:
            return Verdict.BAD
        good[replica] = signature
        self.contradictions.good(replica, frame)
        return Verdict.GOOD
