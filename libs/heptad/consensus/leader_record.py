"""Which members failed to lead lately: the part of the chain's state that decides who leads next.

A member stands here with its strikes and the last round that failed under it. It is excluded from
the schedule for a while that doubles with each strike, then probed; so what remains of time-outs
with a member that is down for good is a rare, ever rarer probe. Bounded on all sides: one row a
member at most, a horizon that stops growing, and never more than f excluded, those that failed
last. More than f faulty members are outside of the model, so further failures are the network's
doing, and each honest member left out would give an evil one more of the terms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from heptad.model.canonical import MalformedError, Reader, Writer
from heptad.model.ids import MemberIndex, Round

STRIKES_MAX: Final = 6
"""An excluded member is probed at least every 2^6 turns: at full load every twelve minutes."""

_ROW_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """A member that failed `strikes` times in a row (1 to STRIKES_MAX), the last time in `round`.

    A failure while it was left out anyway is no further strike: nobody had counted on it.
    """

    member: MemberIndex
    strikes: int
    round: Round

    def is_lately(self, term: int, *, n: int, term_rounds: int) -> bool:
        """True if a member of a group of `n` is left out of the schedule in `term`.

        With s strikes it misses 2^s - 1 turns, which come every n terms, and gets the next.
        """
        return term < self.round // term_rounds + (n << self.strikes)


@dataclass(frozen=True, slots=True)
class LeaderRecord:
    """The failures after some block, at most one a member, ascending by member."""

    failures: tuple[Failure, ...] = ()

    def of(self, member: MemberIndex) -> Failure | None:
        """This member's failures, None if it is in good standing."""
        return next((each for each in self.failures if each.member == member), None)

    def has_failed_since(self, first: Round) -> bool:
        """True if a round from `first` on has failed: whoever did stands here, until it leads."""
        return any(failure.round >= first for failure in self.failures)

    def changed(self, member: MemberIndex, failure: Failure | None) -> "LeaderRecord":
        """The record with another row (or none) for this member."""
        rows = [each for each in self.failures if each.member != member]
        return LeaderRecord(_ascending([*rows, failure] if failure is not None else rows))

    def encode(self) -> bytes:
        """Rows of u8 member ‖ u8 strikes ‖ u64 round; nothing where nobody has failed."""
        writer = Writer()
        for failure in self.failures:
            writer.u8(failure.member).u8(failure.strikes).u64(failure.round)
        return writer.done()

    @classmethod
    def decode(cls, encoded: bytes) -> "LeaderRecord":
        """Read what `encode` wrote. Raises: MalformedError."""
        count, rest = divmod(len(encoded), _ROW_BYTES)
        if rest:
            raise MalformedError(f"a leader record of {len(encoded)} bytes")
        reader = Reader(encoded)
        failures = tuple(
            Failure(MemberIndex(reader.u8()), reader.u8(), Round(reader.u64()))
            for _ in range(count)
        )
        if any(not 1 <= failure.strikes <= STRIKES_MAX for failure in failures):
            raise MalformedError(f"strikes of {failures} are not 1 to {STRIKES_MAX}")
        if any(left.member >= right.member for left, right in pairwise(failures)):
            raise MalformedError(f"members of {failures} do not ascend")
        return cls(failures)


NOBODY_FAILED: Final = LeaderRecord()


def _ascending(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    return tuple(sorted(failures, key=lambda failure: failure.member))
