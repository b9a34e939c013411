"""Telling a peer that is behind what it has missed, but not too often."""

from heptad.consensus.core.parts import Parts
from heptad.model.ids import MemberIndex


class Answers:
    """My highest certificates, for whoever shows that it does not know them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answered_ms: dict[MemberIndex, int] = {}

    def answer(self, peer: MemberIndex) -> None:
        """Send them, unless this peer was told a moment ago."""
        parts = self._parts
        last_ms = self._answered_ms.get(peer)
        if last_ms is not None and parts.now_ms - last_ms < parts.limits.answer_interval_ms:
            return
        self._answered_ms[peer] = parts.now_ms
        parts.results.send((peer,), parts.rounds.message())
