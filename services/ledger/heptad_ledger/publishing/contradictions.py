"""Replicas that cosign two histories: noticed while their cosignatures are gathered, then proved.

A cosignature of a head that this log never had is worth nothing by itself: nobody is bound to our
log. But a replica that has also cosigned one of our heads of at least that size has contradicted
itself, and our tree proves it: a consistency proof shows what root the greater head had at the
smaller size, and that is not the one that was cosigned.

So of each replica two things are kept: its greatest good cosignature, and the first genuine one of
a head that is not ours. Nothing is verified twice, and nothing more of a replica that was caught.

Pure: no clock, no I/O but the tiles that are read through a port.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from heptad.consensus.evidence import Evidence, of_cosignatures
from heptad.consensus.objects import Cosignature, LogHead
from heptad.model.ids import MemberIndex
from heptad.transparency.checkpoint import Checkpoint, verify_cosignature
from heptad.transparency.errors import CheckpointRejectedError, FormatError
from heptad.transparency.notes import NoteSignature, VerifierKey, Verify
from heptad.transparency.tiled_tree import HashReader, TiledTree
from heptad.wire.streams import CosignatureFrame


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two genuine cosignatures of one replica: of a head that is not ours, and of one that is.

    `wrong.size` <= `good.size`.
    """

    replica: str
    wrong: CosignatureFrame
    good: CosignatureFrame


class Contradictions:
    """What has been noticed of each replica."""

    def __init__(
        self, *, origin: str, witnesses: Mapping[str, VerifierKey], verify: Verify
    ) -> None:
        self._origin = origin
        self._witnesses = witnesses
        self._verify = verify
        self._good: dict[str, CosignatureFrame] = {}
        self._suspect: dict[str, CosignatureFrame] = {}
        self._caught: set[str] = set()
        self._found: list[Contradiction] = []

    def is_suspect(self, replica: str) -> bool:
        """True if one more good cosignature may be what is missing against this replica."""
        return replica in self._suspect

    def good(self, replica: str, frame: CosignatureFrame) -> None:
        """A verified cosignature of one of our heads."""
        before = self._good.get(replica)
        if before is None or before.size < frame.size:
            self._good[replica] = frame
            self._compare(replica)

    def right(self, replica: str, frame: CosignatureFrame) -> bool:
        """The same, not verified: looked at only if the replica is suspect. False if forged."""
        if not self.is_suspect(replica):
            return True
        is_genuine = self._is_genuine(replica, frame)
        if is_genuine:
            self.good(replica, frame)
        return is_genuine

    def wrong(self, replica: str, frame: CosignatureFrame) -> bool:
        """A cosignature, not verified, of a head that is not ours. False if forged.

        Looked at unless the replica is suspect or caught already.
        """
        if replica in self._caught or replica in self._suspect:
            return True
        is_genuine = self._is_genuine(replica, frame)
        if is_genuine:
            self._suspect[replica] = frame
            self._compare(replica)
        return is_genuine

    def take(self) -> list[Contradiction]:
        """What was found since the last call: each replica once."""
        found, self._found = self._found, []
        return found

    def acquit(self, replica: str) -> None:
        """What was found against it proves nothing, so it is looked at again from now on.

        The root that our log has within a block is one that nobody honest cosigns, and no second
        history: it must not buy a replica that nothing more is noticed.
        """
        self._caught.discard(replica)

    def _compare(self, replica: str) -> None:
        wrong, good = self._suspect.get(replica), self._good.get(replica)
        if wrong is not None and good is not None and wrong.size <= good.size:
            self._caught.add(replica)
            del self._suspect[replica]
            self._found.append(Contradiction(replica, wrong, good))

    def _is_genuine(self, replica: str, frame: CosignatureFrame) -> bool:
        key = self._witnesses[replica]
        line = NoteSignature(
            key.name, key.key_id, frame.time_s.to_bytes(8, "big") + frame.signature
        )
        try:
            body = Checkpoint(self._origin, frame.size, frame.root).body()
            verify_cosignature(body, line, key=key, verify=self._verify)
        except (CheckpointRejectedError, FormatError):
            return False
        return True


def prove(
    contradiction: Contradiction, *, member: MemberIndex, origin: str, tiles: HashReader
) -> Evidence | None:
    """The proof, out of our own tree; None if both heads turn out to be of our history.

    Raises: TileUnreadableError.
    """
    wrong, good = contradiction.wrong, contradiction.good
    proof: list[bytes] = []
    root_before = max(wrong.root, good.root)
    if wrong.size < good.size:
        root_before = TiledTree(size=wrong.size, tiles=tiles).root()
        proof = TiledTree(size=good.size, tiles=tiles).consistency_proof(wrong.size)
    if root_before == wrong.root and wrong.size < good.size:
        return None
    return of_cosignatures(
        _cosignature(wrong, member),
        _cosignature(good, member),
        root_before=root_before,
        proof=proof,
        origin=origin,
    )


def _cosignature(frame: CosignatureFrame, member: MemberIndex) -> Cosignature:
    return Cosignature(member, LogHead(frame.size, frame.root), frame.time_s, frame.signature)
