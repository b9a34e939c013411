"""The proofs of misbehaviour that this replica holds and the log does not, one for each charge.

A proof stays here until a *committed* block holds one of the same charge: blocks are abandoned, and
whoever leads next must still have it. So it is durable, too. There are never more than two charges
a member and one a validator, so this needs no limit of its own.
"""

from heptad.consensus.evidence import EVIDENCE_BYTES_MAX, Charge, Evidence
from heptad.consensus.judging import Judge
from heptad.consensus.validity import CONTROL_ENTRIES_MAX
from heptad.model.canonical import Reader, Writer


class Docket:
    """Pending proofs. Nothing comes in that does not hold."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._pending: dict[Charge, Evidence] = {}
        self._is_changed = False

    def __contains__(self, charge: Charge) -> bool:
        """True if a proof of this charge waits here."""
        return charge in self._pending

    def add(self, evidence: Evidence) -> None:
        """Take a proof in, unless one of the same charge is here. Raises: RefusedError."""
        if evidence.charge not in self._pending:
            self._judge.require(evidence)
            self._pending[evidence.charge] = evidence
            self._is_changed = True

    def pending(self) -> tuple[Evidence, ...]:
        """All that wait, the oldest first."""
        return tuple(self._pending.values())

    def has_open(self, proven: frozenset[Charge]) -> bool:
        """True if a block after a state with these charges `proven` should carry a proof."""
        return any(charge not in proven for charge in self._pending)

    def proposable(self, proven: frozenset[Charge]) -> tuple[bytes, ...]:
        """What such a block carries."""
        open_ = (each.encoded for charge, each in self._pending.items() if charge not in proven)
        return tuple(open_)[:CONTROL_ENTRIES_MAX]

    def forget(self, proven: frozenset[Charge]) -> None:
        """Let go of what is committed."""
        if self._pending:
            for charge in proven.intersection(self._pending):
                del self._pending[charge]
                self._is_changed = True

    def take_changed(self) -> bytes | None:
        """The docket's bytes if it has changed since the last call: u16 count ‖ bytes32 each."""
        if not self._is_changed:
            return None
        self._is_changed = False
        writer = Writer().u16(len(self._pending))
        for evidence in self._pending.values():
            writer.bytes32(evidence.encoded)
        return writer.done()

    def restore(self, encoded: bytes) -> None:
        """Take in what `take_changed` gave. Raises: MalformedError, RefusedError."""
        if not encoded:
            return
        reader = Reader(encoded)
        for _ in range(reader.u16()):
            self.add(self._judge.read(reader.bytes32(size_max=EVIDENCE_BYTES_MAX)))
        reader.end()
        self._is_changed = False
