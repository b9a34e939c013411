"""Follows a history of real replicas, step by step, and refuses what the rules do not allow.

A trace is told what each honest member made durable and what it let out, in the order in which that
happened: headers, votes, time-outs, certificates, commits. It keeps records of its own by the
formulas of `rules`, so it need not believe what a replica thinks of itself; a restart is no event,
for a durable record makes it none. A certificate is genuine only if every honest signer in it is
known to have signed; Byzantine members may have signed anything.

Members are numbers below the group's size, blocks any names that are unique, rounds those of the
history. What is kept grows with the history.
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from heptad.specification.rules import (
    Certificate,
    Group,
    Record,
    Rules,
    after_timeout,
    after_vote,
    commits,
    tc_refusal,
    timeout_refusal,
    vote_refusal,
)

BlockName: TypeAlias = Hashable


class RefusedStepError(Exception):
    """A member did what the specification does not allow."""


class Qc(NamedTuple):
    """A quorum certificate: who is said to have voted for what in which round."""

    round: int
    block: BlockName
    voters: frozenset[int]


class Tc(NamedTuple):
    """A time-out certificate: who is said to have claimed what, and the greatest claim's QC."""

    round: int
    claims: tuple[tuple[int, int], ...]
    high_qc: Qc


class Header(NamedTuple):
    """A block is known from here on. Its parent is the block of `justify`."""

    block: BlockName
    round: int
    justify: Qc
    tc: Tc | None


class Voted(NamedTuple):
    """The member's vote for the block is durable."""

    member: int
    block: BlockName


class GaveUp(NamedTuple):
    """The member's time-out is durable."""

    member: int
    round: int
    claim: int


class Proposed(NamedTuple):
    """The member lets out a block of its own, signed, which is its vote as well."""

    member: int
    block: BlockName


class Showed(NamedTuple):
    """The member lets out certificates."""

    member: int
    qc: Qc | None
    tc: Tc | None


class Committed(NamedTuple):
    """The member has committed blocks, oldest first; `child` and its QC prove the last of them."""

    member: int
    blocks: tuple[BlockName, ...]
    child: BlockName
    child_qc: Qc


Event: TypeAlias = Header | Voted | GaveUp | Proposed | Showed | Committed


class Trace:
    """What is known of one history so far. `events` counts what was accepted."""

    def __init__(
        self,
        *,
        members: int,
        byzantine: Iterable[int],
        genesis: BlockName,
        rules: Rules | None = None,
    ) -> None:
        liars = frozenset(byzantine)
        self._rules: Final = Rules() if rules is None else rules
        self._group: Final = Group(members, len(liars))
        self._honest: Final = frozenset(range(members)) - liars
        self._genesis: Final = genesis
        root = Header(genesis, 0, Qc(0, genesis, frozenset()), None)
        self._headers: dict[BlockName, Header] = {genesis: root}
        self._records = dict.fromkeys(self._honest, Record())
        self._proposed: dict[int, int] = {}
        self._votes: dict[BlockName, set[int]] = {}
        self._claims: dict[int, dict[int, set[int]]] = {}
        self._certified: dict[int, BlockName] = {0: genesis}
        self._final: list[Header] = [root]
        self._genuine: set[Qc | Tc] = set()
        self.events = 0

    def take(self, event: Event) -> None:
        """Accept an event, or refuse it and change nothing. Raises: RefusedStepError."""
        match event:
            case Header():
                self._headers.setdefault(event.block, event)
            case Voted(member, block):
                self._vote(member, block)
            case GaveUp(member, round_, claim):
                self._give_up(member, round_, claim)
            case Proposed(member, block):
                self._propose(member, block)
            case Showed(_, qc, tc):
                self._show(qc, tc)
            case Committed():
                self._commit(event)
        self.events += 1

    # --- what members sign ----------------------------------------------------------------------

    def _vote(self, member: int, block: BlockName) -> None:
        header, record = self._header(block), self._record(member)
        self._require_genuine_qc(header.justify)
        tc = None
        if header.tc is not None:
            self._require_genuine_tc(header.tc)
            tc = Certificate(header.tc.round, max(claim for _, claim in header.tc.claims))
        refusal = vote_refusal(
            self._rules, record, round_=header.round, justify_round=header.justify.round, tc=tc
        )
        if refusal is not None:
            raise RefusedStepError(f"member {member + 1} votes: {refusal}")
        voters = self._votes.get(block, set()) | {member}
        if len(voters) == self._group.honest_needed:
            self._certify(header)
        self._votes[block] = voters
        self._records[member] = after_vote(
            self._rules, record, round_=header.round, justify_round=header.justify.round
        )

    def _give_up(self, member: int, round_: int, claim: int) -> None:
        record = self._record(member)
        if claim not in self._certified:
            raise RefusedStepError(f"member {member + 1} claims QC {claim}: there is none")
        refusal = timeout_refusal(
            self._rules, record, round_=round_, claim=claim,
            has_tc_before=len(self._claims.get(round_ - 1, ())) >= self._group.honest_needed,
        )  # fmt: skip
        if refusal is not None:
            raise RefusedStepError(f"member {member + 1} gives up: {refusal}")
        self._claims.setdefault(round_, {}).setdefault(member, set()).add(claim)
        self._records[member] = after_timeout(self._rules, record, round_=round_, claim=claim)

    def _propose(self, member: int, block: BlockName) -> None:
        """A proposal is a durable vote, one a round; the identical one may be sent again."""
        header = self._header(block)
        self._record(member)
        if member not in self._votes.get(block, ()):
            raise RefusedStepError(f"member {member + 1} proposes what it has not voted for")
        if header.round < self._proposed.get(member, 0):
            raise RefusedStepError(
                f"member {member + 1} proposes in round {header.round} after "
                f"{self._proposed[member]}"
            )
        self._proposed[member] = header.round

    def _show(self, qc: Qc | None, tc: Tc | None) -> None:
        if qc is not None:
            self._require_genuine_qc(qc)
        if tc is not None:
            self._require_genuine_tc(tc)

    # --- certificates ---------------------------------------------------------------------------

    def _certify(self, header: Header) -> None:
        """Enough honest members have voted: the block is certified, and may commit its parent."""
        rival = self._certified.get(header.round, header.block)
        if rival != header.block:
            raise RefusedStepError(f"two blocks of round {header.round} are certified")
        below = self._final_below(header.round)
        if not self._extends(header, below):
            raise RefusedStepError(f"round {header.round} leaves out {below.round}, committed")
        parent = self._header(header.justify.block)
        if parent.round >= 1 and commits(
            self._rules, round_=parent.round, child_round=header.round, is_child=True
        ):
            self._finish(parent, header)
        self._certified[header.round] = header.block

    def _finish(self, block: Header, child: Header) -> None:
        """`block` is committed: all that is certified above extends it, or refuse."""
        certified = [self._certified[r] for r in self._certified if r >= block.round]
        for above in [*map(self._header, certified), child]:
            if not self._extends(above, block):
                raise RefusedStepError(
                    f"round {block.round} is committed, and {above.round}, certified, leaves it out"
                )
        place = bisect_right(self._final, block.round, key=lambda header: header.round)
        if self._final[place - 1] != block:
            self._final.insert(place, block)

    def _require_genuine_qc(self, qc: Qc) -> None:
        if qc in self._genuine or (qc.round == 0 and qc.block == self._genesis):
            return
        if len(qc.voters) < self._group.quorum:
            raise RefusedStepError(f"QC {qc.round} of {len(qc.voters)} < {self._group.quorum}")
        liars = (qc.voters & self._honest) - self._votes.get(qc.block, set())
        if liars:
            names = ", ".join(str(member + 1) for member in sorted(liars))
            raise RefusedStepError(f"QC {qc.round} names {names}, who did not vote for its block")
        if self._header(qc.block).round != qc.round:
            raise RefusedStepError(f"QC {qc.round} is of another round than its block")
        self._genuine.add(qc)

    def _require_genuine_tc(self, tc: Tc) -> None:
        if tc in self._genuine:
            return
        signed = self._claims.get(tc.round, {})
        for member, claim in tc.claims:
            if member in self._honest and claim not in signed.get(member, ()):
                raise RefusedStepError(
                    f"TC {tc.round} names {member + 1}, who did not claim {claim}"
                )
        self._require_genuine_qc(tc.high_qc)
        claims = dict(tc.claims)
        refusal = tc_refusal(
            self._rules, self._group,
            round_=tc.round, claims=tuple(claims.values()), certified=(tc.high_qc.round,),
        )  # fmt: skip
        if refusal is not None:
            raise RefusedStepError(f"TC {tc.round}: {refusal}")
        self._genuine.add(tc)

    # --- commits --------------------------------------------------------------------------------

    def _commit(self, event: Committed) -> None:
        last, child = self._header(event.blocks[-1]), self._header(event.child)
        self._require_genuine_qc(event.child_qc)
        if event.child_qc.block != event.child:
            raise RefusedStepError(f"member {event.member + 1} commits by a QC of another block")
        is_child = child.justify.block == last.block
        if not commits(self._rules, round_=last.round, child_round=child.round, is_child=is_child):
            raise RefusedStepError(
                f"member {event.member + 1} commits round {last.round} by round {child.round}"
            )
        for older, newer in pairwise(event.blocks):
            if self._header(newer).justify.block != older:
                raise RefusedStepError(f"member {event.member + 1} commits with a gap")
        for block in event.blocks:
            if not self._extends(self._final[-1], self._header(block)):
                raise RefusedStepError(
                    f"member {event.member + 1} commits round {self._header(block).round} beside "
                    f"{self._final[-1].round}"
                )

    def _final_below(self, round_: int) -> Header:
        """The last committed block of this round or an earlier one."""
        place = bisect_right(self._final, round_, key=lambda header: header.round)
        return self._final[place - 1]

    def _extends(self, block: Header, other: Header) -> bool:
        while block.round > other.round:
            block = self._header(block.justify.block)
        return block.block == other.block

    def _header(self, block: BlockName) -> Header:
        header = self._headers.get(block)
        if header is None:
            raise RefusedStepError("a block that nobody holds")
        return header

    def _record(self, member: int) -> Record:
        record = self._records.get(member)
        if record is None:
            raise RefusedStepError(f"member {member + 1} is not an honest one")
        return record


def refusal_of(
    events: Iterable[Event], *, members: int, byzantine: Iterable[int], genesis: BlockName
) -> str | None:
    """Why a whole history is refused, with the number of the event; None if it is accepted."""
    trace = Trace(members=members, byzantine=byzantine, genesis=genesis)
    for number, event in enumerate(events):
        try:
            trace.take(event)
        except RefusedStepError as error:
            return f"event {number}: {error}"
    return None
