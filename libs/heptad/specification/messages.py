"""The protocol itself: members that vote and give up, in any order, on a network without mercy.

The network is *monotone*: whatever was once sent can be used for ever, and need never arrive. So a
state is what honest members have signed, no message is in flight, delay and loss need no steps of
their own, and a certificate exists as soon as the signatures do. Byzantine members are not stepped
either: they are counted as having signed everything from the beginning. Blocks are abstract values:
anybody may lead any round and propose any block, several in one round (`labels`), for nothing that
keeps a log from forking may rest on who leads. All of this allows more than the real protocol does,
so what holds here holds there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, Optional

from heptad.specification.rules import (
    Certificate,
    Group,
    Record,
    Rules,
    after_crash,
    after_timeout,
    after_vote,
    commits,
    tc_refusal,
    timeout_refusal,
    vote_refusal,
)


class Block(NamedTuple):
    """A block is its round, its certified parent, and a label that tells siblings apart."""

    round: int
    justify: Optional["Block"]
    label: int

    def name(self) -> str:
        """For people: B3, a sibling B3', the parent behind an arrow."""
        own = f"B{self.round}" + "'" * self.label
        return own if self.justify is None else f"{own}→{self.justify.name().split('→')[0]}"

    def extends(self, other: "Block") -> bool:
        """True if `other` is this block or an ancestor of it."""
        block: Block | None = self
        while block is not None and block.round >= other.round:
            if block == other:
                return True
            block = block.justify
        return False


GENESIS = Block(0, None, 0)


class Said(NamedTuple):
    """One message of an honest member: a vote for `block`, or a time-out with a `claim`."""

    round: int
    kind: str
    block: Block
    claim: int

    def text(self) -> str:
        """For people."""
        if self.kind == "vote":
            return f"votes in round {self.round} for {self.block.name()}"
        return f"gives up on round {self.round}, claiming QC {self.claim}"


def vote(block: Block) -> Said:
    """A vote for this block."""
    return Said(block.round, "vote", block, -1)


def timeout(round_: int, claim: int) -> Said:
    """A time-out of this round."""
    return Said(round_, "time-out", GENESIS, claim)


class Member(NamedTuple):
    """An honest member: its record, and all that it ever said, in order."""

    record: Record
    said: tuple[Said, ...]


State = tuple[Member, ...]


class Step(NamedTuple):
    """Member `member` says `said`; with None it crashes and starts again."""

    member: int
    said: Said | None

    def text(self) -> str:
        """For people, who count members from 1."""
        what = "crashes and starts again" if self.said is None else self.said.text()
        return f"member {self.member + 1} {what}"


class Knowledge:
    """What the signatures of a state are worth: certificates of both kinds."""

    def __init__(self, rules: Rules, group: Group, state: State) -> None:
        self._rules, self._group = rules, group
        voters: dict[Block, set[int]] = {}
        self._claims: dict[int, dict[int, set[int]]] = {}
        for index, member in enumerate(state):
            for said in member.said:
                if said.kind == "vote":
                    voters.setdefault(said.block, set()).add(index)
                else:
                    claims = self._claims.setdefault(said.round, {})
                    claims.setdefault(index, set()).add(said.claim)
        needed = group.honest_needed
        self.voted = frozenset(voters)
        self.certified = [GENESIS, *sorted(b for b, who in voters.items() if len(who) >= needed)]
        self.rounds_certified = sorted({block.round for block in self.certified})
        self._tcs: dict[int, list[Certificate]] = {}

    def tcs(self, round_: int) -> list[Certificate]:
        """All TCs of this round that somebody could show, one for each greatest claim.

        The cheapest takes the honest members with the lowest claims; from there up any claim, of a
        further honest member or of a Byzantine one, can be the greatest.
        """
        if round_ not in self._tcs:
            self._tcs[round_] = list(self._make_tcs(round_))
        return self._tcs[round_]

    def _make_tcs(self, round_: int) -> Iterator[Certificate]:
        by_member, needed = self._claims.get(round_, {}), self._group.honest_needed
        if round_ < 1 or len(by_member) < needed:
            return
        cheapest = sorted(min(claims) for claims in by_member.values())[:needed]
        floor = max(cheapest, default=0)
        tops = {floor}.union(*by_member.values(), self._claims_of_liars(round_))
        for top in sorted(top for top in tops if top >= floor):
            claims = [*cheapest, *[top] * (self._group.quorum - needed)]
            if self._group.byzantine == 0 and needed:
                claims = [*cheapest[:-1], top]
            refusal = tc_refusal(
                self._rules, self._group,
                round_=round_, claims=claims, certified=self.rounds_certified,
            )  # fmt: skip
            if refusal is None:
                yield Certificate(round_, top)

    def _claims_of_liars(self, round_: int) -> list[int]:
        """Every claim that a Byzantine member could make; validity is judged with the TC."""
        if self._group.byzantine == 0:
            return []
        return [*range(round_ + 1), *self.rounds_certified]


def committed_by(rules: Rules, certified: list[Block]) -> list[Block]:
    """Those of the certified blocks that another one commits, genesis aside, by their rounds."""
    return [
        block for block in certified if block.round >= 1 and any(
            commits(
                rules, round_=block.round, child_round=child.round,
                is_child=child.justify == block,
            )
            for child in certified
        )
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules at work in a group, up to `rounds_max` and with up to `labels` siblings."""

    rules: Rules
    group: Group
    rounds_max: int
    labels: int = 2

    def initial(self) -> State:
        """Nobody has said anything."""
        return tuple(Member(Record(), ()) for _ in range(self.group.honest))

    def refusal(self, state: State, step: Step) -> str | None:
        """Why this step is not allowed in this state; None if it is."""
        knowledge = Knowledge(self.rules, self.group, state)
        return self.refusal_of(knowledge, state[step.member].record, step.said)

    def refusal_of(self, knowledge: Knowledge, record: Record, said: Said | None) -> str | None:
        """The same, where what is known and the member's record are at hand."""
        if said is None:
            return None if self.rules.forgets else "a durable record makes a crash no step"
        if said.kind == "time-out":
            return self._timeout_refusal(knowledge, record, said)
        justify = said.block.justify
        if justify is None or justify not in knowledge.certified:
            return f"the parent of {said.block.name()} is not certified"
        reasons = [
            vote_refusal(self.rules, record, round_=said.round, justify_round=justify.round, tc=tc)
            for tc in [None, *self._tcs_entering(knowledge, said.round)]
        ]
        return None if None in reasons else reasons[-1]

    def _timeout_refusal(self, knowledge: Knowledge, record: Record, said: Said) -> str | None:
        if said.claim not in knowledge.rounds_certified:
            return f"no certificate of round {said.claim}"
        return timeout_refusal(
            self.rules, record, round_=said.round, claim=said.claim,
            has_tc_before=bool(knowledge.tcs(said.round - 1)),
        )  # fmt: skip

    def _tcs_entering(self, knowledge: Knowledge, round_: int) -> list[Certificate]:
        first = round_ - 1 if self.rules.tc_follows else 1
        return [tc for before in range(first, round_) for tc in knowledge.tcs(before)]

    def after(self, state: State, step: Step) -> State:
        """The state once the step is made, members in their places."""
        record, history = state[step.member]
        said = step.said
        if said is None:
            member = Member(after_crash(self.rules, record), history)
        else:
            member = Member(self._recorded(record, said), (*history, said))
        return (*state[: step.member], member, *state[step.member + 1 :])

    def _recorded(self, record: Record, said: Said) -> Record:
        if said.kind == "time-out":
            return after_timeout(self.rules, record, round_=said.round, claim=said.claim)
        justify_round = said.block.justify.round if said.block.justify is not None else 0
        return after_vote(self.rules, record, round_=said.round, justify_round=justify_round)

    def steps(self, state: State) -> Iterator[Step]:
        """Every step that is allowed; of members that are alike, only the first one's."""
        knowledge = Knowledge(self.rules, self.group, state)
        sayings = [*self._votes(knowledge), *self._timeouts(knowledge)]
        seen: set[Member] = set()
        for index, member in enumerate(state):
            if member in seen:
                continue
            seen.add(member)
            for said in sayings:
                if said not in member.said and (
                    self.refusal_of(knowledge, member.record, said) is None
                ):
                    yield Step(index, said)
            if self.rules.forgets and after_crash(self.rules, member.record) != member.record:
                yield Step(index, None)

    def _votes(self, knowledge: Knowledge) -> Iterator[Said]:
        """Votes for every block there is and could be; a new label only after the one before."""
        for round_ in range(1, self.rounds_max + 1):
            for justify in knowledge.certified:
                for label in range(self.labels if justify.round < round_ else 0):
                    block = Block(round_, justify, label)
                    yield vote(block)
                    if block not in knowledge.voted:
                        break

    def _timeouts(self, knowledge: Knowledge) -> Iterator[Said]:
        for round_ in range(1, self.rounds_max + 1):
            for claim in knowledge.rounds_certified:
                yield timeout(round_, claim)


def round_max(state: State) -> int:
    """The highest round that anybody has said something in; 0 if nobody has."""
    return max((said.round for member in state for said in member.said), default=0)


def canonical(state: State) -> State:
    """One of all states that differ only in which honest member is which."""
    return tuple(sorted(state))


def unfolded(protocol: Protocol, path: tuple[Step, ...]) -> list[Step]:
    """A path along canonical states, with each member under one number all the way."""
    state, who = protocol.initial(), list(range(protocol.group.honest))
    steps: list[Step] = []
    for step in path:
        steps.append(Step(who[step.member], step.said))
        state = protocol.after(state, step)
        places = sorted(enumerate(state), key=itemgetter(1))
        who = [who[place] for place, _ in places]
        state = canonical(state)
    return steps
