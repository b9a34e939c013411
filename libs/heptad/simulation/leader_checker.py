"""Each committed block was made by its round's leader, and every disk says the same of who failed.

The rule is worked out here a second time, from the committed headers alone and from the wording of
docs/spec/leaders.md, not with the code under test: where the two part, one of them misreads it.
"""

from typing import TYPE_CHECKING

from heptad.consensus.chain import decode_state
from heptad.consensus.committee import Cell
from heptad.consensus.genesis import genesis_block
from heptad.consensus.objects import Block
from heptad.simulation.violations import Broken, ViolationError

if TYPE_CHECKING:
    from heptad.simulation.checkers import Watched

Rows = dict[int, tuple[int, int]]
"""Of each member that failed: its strikes, and the last round that failed under it."""


class LeaderChecker:
    """Follows the leaders of the one chain that the group commits."""

    def __init__(self, cell: Cell, *, term_rounds: int) -> None:
        self._n, self._f = cell.committee.n, cell.committee.f
        self._term_rounds = term_rounds
        self._last = genesis_block(cell)
        self._rows: list[Rows] = [{}]
        self._unbroken_since = 0
        self._states: dict[int, bytes] = {}

    def extend(self, block: Block) -> None:
        """The next committed block. Raises: ViolationError."""
        parent, rows = self._last, self._rows[-1]
        leader = self._by_qc(parent, rows) if block.tc is None else block.round % self._n
        if block.proposer != leader:
            raise ViolationError(
                Broken.LEADER, f"round {block.round} by {block.proposer}, {leader} leads it"
            )
        if block.round != parent.round + 1:
            self._unbroken_since = block.round
        self._rows.append(self._after(parent, block, rows))
        self._last = block
        height = len(self._rows) - 1
        if height in self._states:
            self._compare("who jumped here", height)

    def stored(self, who: "Watched", encoded: bytes) -> None:
        """`who` stores this state with the block that it belongs to. Raises: ViolationError.

        One that was jumped to is compared when the headers up to there are committed: before that
        perhaps only a faulty member has them all.
        """
        height = who.disk.height
        first = self._states.setdefault(height, encoded)
        if first != encoded:
            raise ViolationError(Broken.STATE, f"{who.name} stands alone after height {height}")
        if first is encoded and height < len(self._rows):
            self._compare(who.name, height)

    def _compare(self, name: str, height: int) -> None:
        """Raises: ViolationError if the state stored for a height is not as the headers say."""
        block, state = decode_state(self._states[height])
        failures = state.leader_record.failures
        rows = {each.member: (each.strikes, each.round) for each in failures}
        if block.height != height or rows != self._rows[height]:
            raise ViolationError(
                Broken.STATE,
                f"{name} has {rows} after height {block.height}, the headers up to "
                f"{height} say {self._rows[height]}",
            )

    def _by_qc(self, parent: Block, rows: Rows) -> int:
        term, place = divmod(parent.round + 1, self._term_rounds)
        if place:
            return parent.proposer
        out = [member for member in rows if self._is_out(rows, member, term)]
        out = sorted(out, key=lambda member: -rows[member][1])[: self._f]
        turn = term
        while turn % self._n in out:
            turn += 1
        return turn % self._n

    def _is_out(self, rows: Rows, member: int, term: int) -> bool:
        strikes, failed = rows.get(member, (0, 0))
        return bool(strikes) and term < failed // self._term_rounds + self._n * 2**strikes

    def _after(self, parent: Block, block: Block, rows: Rows) -> Rows:
        after = dict(rows)
        for failed in range(parent.round + 1, block.round):
            if failed == parent.round + 1:
                member = self._by_qc(parent, after)
            elif failed >= block.round - self._n:
                member = failed % self._n
            else:
                continue
            is_out = self._is_out(after, member, failed // self._term_rounds)
            strikes = after.get(member, (0, 0))[0]
            after[member] = (strikes if is_out else min(strikes + 1, 6), failed)
        term, place = divmod(block.round, self._term_rounds)
        if place == self._term_rounds - 1 and self._unbroken_since <= term * self._term_rounds:
            after.pop(block.proposer, None)
        return after
