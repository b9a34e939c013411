"""What a replica tells a validator: how far each of its incarnations has been committed."""

from dataclasses import dataclass

from heptad.model.ids import MemberIndex


@dataclass(frozen=True, slots=True)
class Report:
    """`last` maps an incarnation to the last of its sequences that `member` has committed.

    Reports only ever grow, so a lost one is made good by the next, and a validator believes what
    f + 1 members say.
    """

    member: MemberIndex
    last: tuple[tuple[int, int], ...]
