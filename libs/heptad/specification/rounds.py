"""The same protocol, thinned out to what decides a fork, so that many rounds can be exhausted.

Four reductions, each of which loses no fork (docs/spec/model.md argues at length, and a test
compares the certified trees that this model and `messages` reach):

- *By rounds.* What a member may do in round r depends on its own record and on certificates of
  rounds below r, and its own acts come in the order of their rounds. So every history can be put
  into the order of the rounds without changing what was signed.
- *Only quorums.* A vote for a block that is never certified, a time-out in no TC and a signature
  beyond the quorum only bind the member that gave them. So a step is a whole certificate: as many
  honest members as Byzantine ones leave to find.
- *The lowest claim.* A higher one than the rules demand only binds more.
- *Alike members* are told apart by their records only.

With `forgets_the_past` blocks go that no rule can ever let anybody extend again, and rounds are
counted by rank: a new round looks only at order, and at whether the round before was certified. The
states are then the same whatever the round, and a search that ends has seen every round there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from typing import Final, NamedTuple

from heptad.specification.messages import GENESIS, Block, Step, timeout, vote
from heptad.specification.rules import (
    Certificate,
    Group,
    Record,
    Rules,
    after_crash,
    after_timeout,
    after_vote,
    commits,
    timeout_refusal,
    vote_refusal,
)

LABELS_MAX: Final = 2
"""Certified blocks of one round that are told apart: two make a fork."""

BLOCKS_MAX: Final = 64
"""Certified blocks at a time, if nothing else is said."""


class Node(NamedTuple):
    """A certified block: its round and the place of its parent; the root is its own parent."""

    round: int
    parent: int


class Round(NamedTuple):
    """A round in progress: `round` is open, what lies below is over.

    `blocks` are the certified ones, oldest first; `base` is the place of the last committed one.
    `tcs` are the cheapest TCs, of earlier rounds and of this one. `fork` says what is wrong.
    """

    round: int
    blocks: tuple[Node, ...]
    base: int
    records: tuple[Record, ...]
    tcs: tuple[Certificate, ...]
    fork: str


class Act(NamedTuple):
    """One step: `kind` is certify, give up, crash or next; `members` by their place in the state.

    `parent` is the place of a certified block; `claims` go with `members`.
    """

    kind: str
    members: tuple[int, ...] = ()
    parent: int = 0
    claims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rules at work in a group, up to `rounds_max`.

    With `forgets_the_past` the limit is not one of rounds but of blocks that can still be extended
    (`blocks_max`).
    """

    rules: Rules
    group: Group
    rounds_max: int
    forgets_the_past: bool = False
    blocks_max: int = BLOCKS_MAX

    def initial(self) -> Round:
        """Round 1 is open, and nobody has said anything."""
        records = (Record(),) * self.group.honest
        return Round(1, (Node(0, 0),), 0, records, (), "")

    def successors(self, state: Round) -> Iterator[tuple[Act, Round]]:
        """Every certificate that this round can still bring, crashes, and the next round."""
        yield from self._certifications(state)
        yield from self._giving_up(state)
        if self.rules.forgets:
            yield from self._crashes(state)
        if self.forgets_the_past or state.round < self.rounds_max:
            yield Act("next"), self._next(state)

    def apply(self, state: Round, act: Act) -> Round:
        """The state after one act of `successors`, members in their places."""
        return next(after for each, after in self.successors(state) if each == act)

    def wrong(self, state: Round) -> str | None:
        """What is wrong with this state, or None."""
        return state.fork or None

    def canonical(self, state: Round) -> Round:
        """One of all states that differ only in which honest member is which."""
        return state._replace(records=tuple(sorted(state.records)))

    # --- certificates -------------------------------------------------------------------------

    def _certifications(self, state: Round) -> Iterator[tuple[Act, Round]]:
        if sum(node.round == state.round for node in state.blocks) >= LABELS_MAX:
            return
        if len(state.blocks) > self.blocks_max:
            return
        needed = self.group.honest_needed
        for place, parent in enumerate(state.blocks):
            if parent.round >= state.round:
                continue
            able = [
                index for index, record in enumerate(state.records)
                if self._may_vote(state, record, parent.round)
            ]  # fmt: skip
            for voters in _choices(state.records, able, needed):
                yield Act("certify", voters, place), self._certified(state, voters, place)

    def _may_vote(self, state: Round, record: Record, justify_round: int) -> bool:
        entering = [tc for tc in state.tcs if tc.round < state.round]
        return any(
            vote_refusal(
                self.rules, record, round_=state.round, justify_round=justify_round, tc=tc
            ) is None
            for tc in [None, *entering]
        )  # fmt: skip

    def _certified(self, state: Round, voters: tuple[int, ...], place: int) -> Round:
        justify_round = state.blocks[place].round
        records = list(state.records)
        for voter in voters:
            records[voter] = after_vote(
                self.rules, records[voter], round_=state.round, justify_round=justify_round
            )
        blocks = (*state.blocks, Node(state.round, place))
        grown = state._replace(blocks=blocks, records=tuple(records))
        return self._committed(self._judged(grown))

    def _judged(self, state: Round) -> Round:
        """The stricter invariants: a second block of a round, and one that leaves out the base."""
        if not self.forgets_the_past:
            return state
        last, new = len(state.blocks) - 1, state.blocks[-1]
        if any(node.round == new.round for node in state.blocks[:-1]):
            return state._replace(fork=f"two blocks of round {new.round} are certified")
        if not _extends(state.blocks, last, state.base):
            return state._replace(fork=f"round {new.round} leaves out what is committed")
        return state

    def _committed(self, state: Round) -> Round:
        """Commit what the newest block commits, or see the fork."""
        child = state.blocks[-1]
        for place, node in enumerate(state.blocks[1:-1], start=1):
            if not commits(
                self.rules, round_=node.round, child_round=child.round,
                is_child=child.parent == place,
            ):  # fmt: skip
                continue
            if _extends(state.blocks, place, state.base):
                state = state._replace(base=place)
            elif not _extends(state.blocks, state.base, place):
                rounds = f"rounds {state.blocks[state.base].round} and {node.round}"
                return state._replace(fork=f"{rounds} are committed, and neither extends the other")
        return state

    # --- time-outs, crashes, the next round -----------------------------------------------------

    def _giving_up(self, state: Round) -> Iterator[tuple[Act, Round]]:
        if any(tc.round == state.round for tc in state.tcs):
            return
        rounds = sorted({node.round for node in state.blocks})
        lowest = {record: self._lowest_claim(state, record, rounds) for record in state.records}
        able = [i for i, record in enumerate(state.records) if lowest[record] is not None]
        for members in _choices(state.records, able, self.group.honest_needed):
            claims = tuple(lowest[state.records[member]] or 0 for member in members)
            records = list(state.records)
            for member, claim in zip(members, claims, strict=True):
                records[member] = after_timeout(
                    self.rules, records[member], round_=state.round, claim=claim
                )
            tc = Certificate(state.round, max(claims, default=0))
            after = state._replace(records=tuple(records), tcs=(*state.tcs, tc))
            yield Act("give up", members, claims=claims), after

    def _lowest_claim(self, state: Round, record: Record, rounds: list[int]) -> int | None:
        has_tc_before = any(tc.round + 1 == state.round for tc in state.tcs)
        for claim in rounds:
            refusal = timeout_refusal(
                self.rules, record,
                round_=state.round, claim=claim, has_tc_before=has_tc_before,
            )  # fmt: skip
            if refusal is None:
                return claim
        return None

    def _crashes(self, state: Round) -> Iterator[tuple[Act, Round]]:
        for member in _firsts(state.records):
            record = after_crash(self.rules, state.records[member])
            if record != state.records[member]:
                records = list(state.records)
                records[member] = record
                yield Act("crash", (member,)), state._replace(records=tuple(records))

    def _next(self, state: Round) -> Round:
        """The round is over: that it was voted or given up in no longer binds anybody."""
        records = tuple(Record(0, 0, record.high_qc) for record in state.records)
        kept = [tc for tc in state.tcs if not self.rules.tc_follows or tc.round == state.round]
        after = Round(state.round + 1, state.blocks, state.base, records, tuple(kept), "")
        return forgotten(after, self.group.honest_needed) if self.forgets_the_past else after


def _choices(records: tuple[Record, ...], able: list[int], count: int) -> Iterator[tuple[int, ...]]:
    """So many of those who are able; of choices that differ in alike members only, one."""
    seen: set[tuple[Record, ...]] = set()
    for members in combinations(able, count):
        kind = tuple(sorted(records[member] for member in members))
        if kind not in seen:
            seen.add(kind)
            yield members


def _firsts(records: tuple[Record, ...]) -> list[int]:
    return sorted({record: index for index, record in reversed(list(enumerate(records)))}.values())


def _extends(blocks: tuple[Node, ...], place: int, other: int) -> bool:
    while place > other:
        place = blocks[place].parent
    return place == other


def forgotten(state: Round, needed: int) -> Round:
    """The same state without what can never matter again, rounds by rank.

    The *floor* is the lowest claim that a TC has now or can ever have again: the greatest of the
    `needed` lowest locks. Blocks below it are nobody's parent any more, and locks below it are as
    good as it. Of the rest only matters whether they extend the base; the root stands for all that
    is gone.
    """
    locks = sorted(record.high_qc for record in state.records)
    floor = min(locks[max(needed - 1, 0)], *(tc.claim for tc in state.tcs), state.round)
    alive = [p for p, node in enumerate(state.blocks) if p > 0 and node.round >= floor]
    base = state.base if state.base in alive else 0
    places = {place: new for new, place in enumerate(alive, start=1)}
    root_is_alive = state.blocks[0].round >= floor
    ranks = {state.blocks[place].round: new for place, new in places.items()}
    blocks = [Node(0 if root_is_alive else -1, 0)]
    for place in alive:
        is_on_base = base not in (0, place) and _extends(state.blocks, place, base)
        blocks.append(Node(places[place], places[base] if is_on_base else 0))
    top = state.blocks[-1].round
    now = len(alive) + (1 if top + 1 == state.round else 2)
    records = tuple(Record(0, 0, ranks.get(max(r.high_qc, floor), 0)) for r in state.records)
    tcs = tuple(Certificate(now - 1, ranks.get(tc.claim, 0)) for tc in state.tcs)
    return Round(now, tuple(blocks), places.get(base, 0), records, tcs, state.fork)


def unfolded(model: Rounds, path: tuple[Act, ...]) -> list[Step]:
    """A path of this model as single steps of `messages`, with members and blocks by name.

    A path leads along canonical states, so members keep changing places: `who` follows them. Not
    for models that forget the past.
    """
    assert not model.forgets_the_past, "ranks are no rounds"
    state, who, blocks = model.initial(), list(range(model.group.honest)), [GENESIS]
    steps: list[Step] = []
    for act in path:
        if act.kind == "certify":
            label = sum(block.round == state.round for block in blocks)
            blocks.append(Block(state.round, blocks[act.parent], label))
            steps += [Step(who[member], vote(blocks[-1])) for member in act.members]
        elif act.kind == "give up":
            steps += [
                Step(who[member], timeout(state.round, claim))
                for member, claim in zip(act.members, act.claims, strict=True)
            ]
        elif act.kind == "crash":
            steps += [Step(who[member], None) for member in act.members]
        state = model.apply(state, act)
        places = sorted(enumerate(state.records), key=itemgetter(1))
        who = [who[place] for place, _ in places]
        state = model.canonical(state)
    return steps
