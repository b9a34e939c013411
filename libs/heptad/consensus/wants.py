"""What is missing here, and whom to ask for it next.

Blocks and batches each have a `Wants` of their own, so they never share a key space. Peers are
asked round and round, in each round those last that `Scores` leaves aside: no peer can hold up a
fetch for longer than one retry, and one that lies or is silent soon not even for that. A round ends
when *everybody* was asked, for what has been asked in vain of all peers is taken for gone: if those
who are aside only counted, the word of the one peer that is not would stand for theirs.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from heptad.consensus.scores import Scores
from heptad.model.ids import MemberIndex

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Want:
    """`peers` in the order in which they are asked, round and round.

    `turns` are those who were not asked in this round yet, `asked` counts all that were;
    `owing` is the one whose answer is awaited.
    """

    peers: tuple[MemberIndex, ...]
    ask_ms: int
    turns: list[MemberIndex] = field(default_factory=list)
    asked: int = 0
    owing: MemberIndex | None = None


class Wants(Generic[Key]):
    """Missing things by key."""

    def __init__(
        self, *, others: tuple[MemberIndex, ...], retry_ms: int, count_max: int, scores: Scores
    ) -> None:
        self._others = others
        self._retry_ms = retry_ms
        self._count_max = count_max
        self._scores = scores
        self._wants: dict[Key, _Want] = {}

    def __contains__(self, key: object) -> bool:
        """True if this is being asked for."""
        return key in self._wants

    def __len__(self) -> int:
        """How many things are being asked for."""
        return len(self._wants)

    def add(self, key: Key, *, hints: Iterable[MemberIndex], now_ms: int) -> None:
        """Ask for `key` from now on: first the `hints` in their order, then all others.

        Nothing changes if it is asked for already, if there is nobody to ask, or if too much is.
        """
        if key in self._wants or len(self._wants) >= self._count_max or not self._others:
            return
        first = [peer for peer in dict.fromkeys(hints) if peer in self._others]
        rest = [peer for peer in self._others if peer not in first]
        self._wants[key] = _Want((*first, *rest), ask_ms=now_ms)

    def asked(self, key: Key) -> int:
        """How many peers were asked for it: once round is as many as there are."""
        want = self._wants.get(key)
        return want.asked if want is not None else 0

    def asked_max(self) -> int:
        """The same for what was asked for in vain most often."""
        if not self._wants:
            return 0
        return max([want.asked for want in self._wants.values()])

    def done(self, key: Key) -> None:
        """It is here, or not wanted any more."""
        self._wants.pop(key, None)

    def retain(self, keys: Iterable[Key]) -> None:
        """Stop asking for everything else."""
        if not self._wants:
            return
        keep = set(keys)
        self._wants = {key: want for key, want in self._wants.items() if key in keep}

    def expedite(self, peer: MemberIndex, now_ms: int) -> None:
        """`peer` has just given something useful: ask it for the rest at once."""
        for want in self._wants.values():
            if want.owing == peer:
                want.turns.insert(0, peer)
                want.asked -= 1
                want.ask_ms = now_ms
                want.owing = None

    def pass_on(self, key: Key, peer: MemberIndex, now_ms: int) -> None:
        """An answer has come from `peer` that was no help: ask the next one at once.

        Not if somebody else was asked last: whoever answers unasked must not cut short the time
        that others have.
        """
        want = self._wants.get(key)
        if want is not None and want.owing == peer:
            want.ask_ms = now_ms
            want.owing = None

    def due(self, now_ms: int) -> dict[MemberIndex, list[Key]]:
        """Whom to ask for what now; each of these is due again after the retry time.

        Whoever owed an answer until now counts as silent, once, however much it owed.
        """
        if not self._wants:
            return {}
        due = [(key, want) for key, want in self._wants.items() if want.ask_ms <= now_ms]
        for peer in {want.owing for _, want in due if want.owing is not None}:
            self._scores.silent(peer, now_ms)
        requests: dict[MemberIndex, list[Key]] = {}
        for key, want in due:
            peer = self._next_peer(want, now_ms)
            requests.setdefault(peer, []).append(key)
            want.owing = peer
            want.ask_ms = now_ms + self._retry_ms
        return requests

    def due_ms(self) -> int | None:
        """When the next request is due; None if nothing is missing."""
        if not self._wants:
            return None
        return min([want.ask_ms for want in self._wants.values()])

    def _next_peer(self, want: _Want, now_ms: int) -> MemberIndex:
        """The next in this round who is not aside; if only such are left, the first of them."""
        turns = want.turns or list(want.peers)
        here = (each for each in turns if not self._scores.is_aside(each, now_ms))
        peer = next(here, turns[0])
        turns.remove(peer)
        want.turns = turns
        want.asked += 1
        return peer


def earliest(*due_ms: int | None) -> int | None:
    """The first of some moments; None if there is none."""
    known = [each for each in due_ms if each is not None]
    return min(known) if known else None
