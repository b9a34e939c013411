"""The network between simulated nodes: everything that it may do to a message, it does here.

A link is a directed pair of nodes. Without faults it behaves like a stream: first in, first out,
within its delays. Faults change links: loss, duplication, reordering, slowness, and being cut.
What meets a cut is lost, or is held and let go when the cut heals, as TCP does: a whole burst of
old messages at once, from before the world changed.

`Rule`s are for scripts: "every proposal of round 7 reaches replica 3 only". They see the decoded
message, so only histories that have rules pay for decoding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NewType, Protocol, TypeAlias
from zlib import crc32

from heptad.simulation.clock import Timeline
from heptad.simulation.reports import Report

NodeId = NewType("NodeId", int)
"""A node's number: replicas count from 0, then their twins, and validators from `VALIDATORS_AT`."""

VALIDATORS_AT: Final = 1_000

Parcel: TypeAlias = bytes | Report
"""What travels: messages and batches as bytes, and a replica's report to a validator."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How a link behaves. Chances are for each message, delays in microseconds.

    `straggle` is the chance that a message takes up to `straggle_us_max` more; `reordering` the
    chance that it may overtake the one before it.
    """

    delay_us_min: int = 200
    delay_us_max: int = 2_000
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    straggle: float = 0.0
    straggle_us_max: int = 0


class Node(Protocol):
    """What sits at the end of a link."""

    def receive(self, source: NodeId, parcel: Parcel) -> None:
        """A parcel arrives now."""
        ...


Verdict: TypeAlias = Callable[[NodeId, NodeId, Parcel], bool]
"""Decides whether a parcel may pass from one node to another."""


class Network:
    """All links of one world.

    `counts` says what it did to how many messages; `fingerprint` is a checksum over everything that
    was ever handed to it, with target and time.
    """

    def __init__(self, timeline: Timeline, rng: Random, weather: Weather) -> None:
        self._timeline = timeline
        self._rng = rng
        self._nodes: dict[NodeId, Node] = {}
        self._last_us: dict[tuple[NodeId, NodeId], int] = {}
        self._cut: dict[tuple[NodeId, NodeId], bool] = {}
        self._held: list[tuple[NodeId, NodeId, Parcel]] = []
        self._local: dict[tuple[NodeId, NodeId], Weather] = {}
        self.fingerprint = 0
        self.weather = weather
        self.verdicts: list[Verdict] = []
        self.counts = dict.fromkeys(
            ("sent", "lost", "duplicated", "reordered", "straggled", "cut", "held", "ruled_out"), 0
        )

    def attach(self, node_id: NodeId, node: Node) -> None:
        """Give a node its place."""
        self._nodes[node_id] = node

    def send(self, source: NodeId, target: NodeId, parcel: Parcel, at_us: int) -> None:
        """Carry `parcel`, which leaves `source` at `at_us` (now or later)."""
        self.counts["sent"] += 1
        trace = parcel if type(parcel) is bytes else b"report"
        self.fingerprint = crc32(trace, self.fingerprint ^ (at_us * 64 + target) & 0xFFFFFFFF)
        link = (source, target)
        if self.verdicts and not all(pass_(source, target, parcel) for pass_ in self.verdicts):
            self.counts["ruled_out"] += 1
            return
        holds = self._cut.get(link)
        if holds is not None:
            self.counts["held" if holds else "cut"] += 1
            if holds:
                self._held.append((source, target, parcel))
            return
        weather = self._local.get(link, self.weather) if self._local else self.weather
        if weather.loss and self._rng.random() < weather.loss:
            self.counts["lost"] += 1
            return
        self._plan(link, parcel, at_us, weather)
        if weather.duplication and self._rng.random() < weather.duplication:
            self.counts["duplicated"] += 1
            self._plan(link, parcel, at_us, weather)

    def _plan(
        self, link: tuple[NodeId, NodeId], parcel: Parcel, at_us: int, weather: Weather
    ) -> None:
        rng = self._rng
        span = weather.delay_us_max - weather.delay_us_min
        arrives_us = at_us + weather.delay_us_min + int(rng.random() * span)
        if weather.straggle and rng.random() < weather.straggle:
            self.counts["straggled"] += 1
            arrives_us += int(rng.random() * weather.straggle_us_max)
        if weather.reordering and rng.random() < weather.reordering:
            self.counts["reordered"] += 1
        else:
            arrives_us = max(arrives_us, self._last_us.get(link, 0))
            self._last_us[link] = arrives_us
        source, target = link
        self._timeline.at(arrives_us, self._nodes[target].receive, source, parcel)

    def set_local_weather(self, source: NodeId, target: NodeId, weather: Weather) -> None:
        """Give one link a weather of its own."""
        self._local[source, target] = weather

    def cut(self, source: NodeId, target: NodeId, *, holds: bool) -> None:
        """Cut one direction; `holds` keeps what is sent until the cut heals."""
        if source != target:
            self._cut[source, target] = holds

    def is_cut(self, source: NodeId, target: NodeId) -> bool:
        """True while nothing gets from `source` to `target`."""
        return (source, target) in self._cut

    def heal(self) -> list[tuple[NodeId, NodeId]]:
        """Mend every cut, let go what was held; returns the links that were cut."""
        healed = list(self._cut)
        self._cut.clear()
        held, self._held = self._held, []
        for source, target, parcel in held:
            self.send(source, target, parcel, self._timeline.now_us)
        return healed

    def clear_up(self, weather: Weather) -> list[tuple[NodeId, NodeId]]:
        """No faults from now on: mend all, forget local weather and rules."""
        self.weather = weather
        self._local.clear()
        self.verdicts.clear()
        return self.heal()
