"""The protocol's rules as formulas over plain numbers, each with a switch that takes it out.

A rule that can be taken out can be tested: the configurations of `table` remove one at a time, and
a model that finds no counter-example then is blind, or the rule is not needed. Every formula
returns None, or says in numbers why not; nothing here knows who sends what when.

Words: a *claim* is the round of the highest quorum certificate that a time-out names. A member's
*record* is what it must never forget. Rounds count from 1; genesis has round 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Group:
    """`members` in all, of which `byzantine` may sign anything at any time.

    `quorum` is n - f with f = (n - 1) // 3, unless another is given.
    """

    members: int
    byzantine: int
    quorum_given: int | None = None

    @property
    def faulty_max(self) -> int:
        """f: so many Byzantine members must do no harm."""
        return (self.members - 1) // 3

    @property
    def honest(self) -> int:
        """Members that follow the rules; they are numbered from 0."""
        return self.members - self.byzantine

    @property
    def quorum(self) -> int:
        """Votes or time-outs of distinct members that make a certificate."""
        return self.members - self.faulty_max if self.quorum_given is None else self.quorum_given

    @property
    def honest_needed(self) -> int:
        """Honest members in the smallest quorum: Byzantine ones help with every certificate."""
        return max(self.quorum - self.byzantine, 0)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules are in place. All of them, unless a configuration says otherwise.

    `forgets` names fields of the record that a crash loses: with a durable record a crash changes
    nothing, so crashes are a step of the model only where something is forgotten.
    """

    vote_once: bool = True
    """vote(B): B.round > last voted round."""
    vote_sealed: bool = True
    """vote(B): B.round > last time-out's round."""
    entry_follows: bool = True
    """vote(B), no TC: justify.round + 1 == B.round."""
    tc_follows: bool = True
    """vote(B), with a TC: tc.round + 1 == B.round."""
    tc_floor: bool = True
    """vote(B), with a TC: justify.round >= its greatest claim."""
    claims_below: bool = True
    """TC: each claim < tc.round."""
    claims_backed: bool = True
    """TC: the certificate behind the greatest claim exists."""
    claims_true: bool = True
    """A vote raises high_qc to the block's justify, and a time-out claims high_qc."""
    timeout_forward: bool = True
    """timeout(r): r >= last voted round and r >= last time-out's round."""
    timeout_entered: bool = True
    """timeout(r): high_qc.round + 1 == r, or there is a TC of r - 1."""
    commit_adjacent: bool = True
    """commit(B) by C: C.round == B.round + 1."""
    commit_child: bool = True
    """commit(B) by C: C.justify certifies B itself."""
    forgets: frozenset[str] = field(default_factory=frozenset)

    def is_kept(self, name: str) -> bool:
        """True if a crash leaves this field of the record alone."""
        return name not in self.forgets


class Record(NamedTuple):
    """A member's safety record: three rounds, 0 where there is nothing yet."""

    voted: int = 0
    timed_out: int = 0
    high_qc: int = 0


class Certificate(NamedTuple):
    """A time-out certificate: its round and the greatest claim in it."""

    round: int
    claim: int


def vote_refusal(
    rules: Rules, record: Record, *, round_: int, justify_round: int, tc: Certificate | None
) -> str | None:
    """Why a member with this record may not vote for a block of `round_`; None if it may."""
    if rules.vote_once and round_ <= record.voted:
        return f"round {round_} <= last voted {record.voted}"
    if rules.vote_sealed and round_ <= record.timed_out:
        return f"round {round_} <= last time-out {record.timed_out}"
    return entry_refusal(rules, round_=round_, justify_round=justify_round, tc=tc)


def entry_refusal(
    rules: Rules, *, round_: int, justify_round: int, tc: Certificate | None
) -> str | None:
    """Why these certificates do not enter `round_`; None if they do."""
    if justify_round >= round_:
        return f"justify {justify_round} >= round {round_}"
    if tc is None:
        if rules.entry_follows and justify_round + 1 != round_:
            return f"justify {justify_round} + 1 != round {round_}, and no TC"
        return None
    if tc.round >= round_ or (rules.tc_follows and tc.round + 1 != round_):
        return f"TC {tc.round} + 1 != round {round_}"
    if rules.tc_floor and justify_round < tc.claim:
        return f"justify {justify_round} < claim {tc.claim} in TC {tc.round}"
    return None


def timeout_refusal(
    rules: Rules, record: Record, *, round_: int, claim: int, has_tc_before: bool
) -> str | None:
    """Why a member with this record may not give up on `round_` with this claim; None if it may.

    `has_tc_before`: there is a TC of the round before.
    """
    if rules.claims_below and claim >= round_:
        return f"claim {claim} >= round {round_}"
    if rules.timeout_forward and round_ < record.voted:
        return f"time-out of {round_} < last voted {record.voted}"
    if rules.timeout_forward and round_ < record.timed_out:
        return f"time-out of {round_} < last time-out {record.timed_out}"
    if rules.claims_true and claim < record.high_qc:
        return f"claim {claim} < high_qc {record.high_qc}"
    if rules.timeout_entered and claim + 1 != round_ and not has_tc_before:
        return f"round {round_} follows neither the claim {claim} nor a TC"
    return None


def tc_refusal(
    rules: Rules, group: Group, *, round_: int, claims: Sequence[int], certified: Sequence[int]
) -> str | None:
    """Why these claims, of distinct members, make no TC of `round_`; None if they do.

    `certified` are the rounds of which a quorum certificate exists, genesis' 0 among them.
    """
    if len(claims) < group.quorum:
        return f"{len(claims)} claims < quorum {group.quorum}"
    if rules.claims_below and max(claims) >= round_:
        return f"claim {max(claims)} >= round {round_}"
    if rules.claims_backed and max(claims) not in certified:
        return f"no certificate is behind the claim {max(claims)}"
    return None


def after_vote(rules: Rules, record: Record, *, round_: int, justify_round: int) -> Record:
    """The record once the vote is cast; it and what it depends on are durable together."""
    high_qc = max(record.high_qc, justify_round) if rules.claims_true else record.high_qc
    return Record(max(record.voted, round_), record.timed_out, high_qc)


def after_timeout(rules: Rules, record: Record, *, round_: int, claim: int) -> Record:
    """The record once the time-out is sent."""
    high_qc = max(record.high_qc, claim) if rules.claims_true else record.high_qc
    return Record(record.voted, max(record.timed_out, round_), high_qc)


def after_crash(rules: Rules, record: Record) -> Record:
    """The record that a restart finds: all of it, but for what the rules let it forget."""
    kept = {name: value for name, value in record._asdict().items() if rules.is_kept(name)}
    return Record(**kept)


def commits(rules: Rules, *, round_: int, child_round: int, is_child: bool) -> bool:
    """True if a certified block of `child_round` commits a certified block of `round_`."""
    if rules.commit_adjacent and child_round != round_ + 1:
        return False
    return child_round > round_ and (is_child or not rules.commit_child)
