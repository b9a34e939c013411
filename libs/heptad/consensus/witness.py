"""Remembers what each member has verifiably signed of late, and notices when it signs against that.

Every vote that passes `certificates` comes by here, whether it travelled alone, under a proposal or
in somebody's certificate: so a leader whose second proposal went to others is caught when they show
their certificate, and a member that votes for each of two collectors when the second one sees the
first one's. Nothing is verified for its own sake: what was not checked anyway is checked only where
it contradicts what was.
"""

from typing import Final

from heptad.consensus.objects import Vote
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round

ROUNDS_MAX: Final = 64
"""Rounds of which signatures are kept, the highest ones. Seven members make 60 KiB of it."""


class Witness:
    """The signatures of one epoch's last rounds. For verified ones only."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._signed: dict[Round, dict[MemberIndex, tuple[BlockId, bytes]]] = {}
        self._caught: set[MemberIndex] = set()
        self._found: list[tuple[Vote, Vote]] = []

    def saw(
        self, voter: MemberIndex, *, round_: Round, block_id: BlockId, signature: bytes
    ) -> None:
        """A verified vote. The first contradiction of each member is kept for `take`."""
        signed = self._signed.get(round_)
        if signed is None:
            signed = self._begin(round_)
        known = signed.setdefault(voter, (block_id, signature))
        if known[0] != block_id and voter not in self._caught:
            self._caught.add(voter)
            first = Vote(self._epoch, round_, known[0], voter, known[1])
            self._found.append((first, Vote(self._epoch, round_, block_id, voter, signature)))

    def contradicts(self, voter: MemberIndex, *, round_: Round, block_id: BlockId) -> bool:
        """True if a vote so named, if genuine, would be the first that proves its voter guilty."""
        known = self._signed.get(round_, {}).get(voter)
        return known is not None and known[0] != block_id and voter not in self._caught

    def signed(self, voter: MemberIndex, *, round_: Round) -> Vote | None:
        """What this member signed in a round, as far as it was seen and is remembered."""
        known = self._signed.get(round_, {}).get(voter)
        return None if known is None else Vote(self._epoch, round_, known[0], voter, known[1])

    @property
    def has_found(self) -> bool:
        """True if `take` would give something."""
        return bool(self._found)

    def take(self) -> list[tuple[Vote, Vote]]:
        """What was found since the last call: two votes of one member for one round each."""
        found, self._found = self._found, []
        return found

    def _begin(self, round_: Round) -> dict[MemberIndex, tuple[BlockId, bytes]]:
        """Room for one more round; the lowest one gives way, which may be this one."""
        signed = self._signed[round_] = {}
        if len(self._signed) > ROUNDS_MAX:
            del self._signed[min(self._signed)]
        return signed
