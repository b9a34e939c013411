"""A scenario: everything that decides one history, as data that can be written down and replayed.

A random history is a scenario first: `faults.random_scenario` draws it from a seed, the world then
only carries it out. So a failing seed can be saved as a file (`scenario_file`), read, thinned out
by hand, and kept as a test; it replays to the same end for as long as the replicas behave the same.

Nodes are named as people name them: `replica-3` is the member of index 2, `replica-3-twin` its
second copy, `validator-1` the first validator. Times are milliseconds since the beginning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from heptad.simulation.disk import WriteFault
from heptad.simulation.machine import CutPoint
from heptad.simulation.network import Weather
from heptad.simulation.validators import Manner


@dataclass(frozen=True, slots=True)
class Partition:
    """Only nodes of one group reach each other; those in no group form one more.

    `holds`: what meets the cut is kept and arrives when it heals. Replaces any cut before it.
    """

    at_ms: int
    groups: tuple[tuple[str, ...], ...]
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Sever:
    """Nothing gets from any of `sources` to any of `targets`; the other way it does."""

    at_ms: int
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Heal:
    """All cuts are mended."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """The weather changes, everywhere or on the links from `sources` to `targets` only."""

    at_ms: int
    weather: Weather
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forbid:
    """From now on the network drops these messages (see `rules`), until `Allow`.

    `kinds` are class names of `heptad.consensus.messages` ("Proposal", "Vote", …), or "Batch" for
    what validators send; empty means any. Rounds are inclusive; `round_max` 0 means no limit.
    `times` 0 means always, another number that many messages only.
    """

    at_ms: int
    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    round_min: int = 0
    round_max: int = 0
    times: int = 0


@dataclass(frozen=True, slots=True)
class Allow:
    """All that was forbidden is allowed again."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class PartitionRounds:
    """Each of some rounds has a partition of its own: `rounds[i]` is that of `round_first + i`.

    What replicas say about such a round passes within its groups only (nodes in no group form one
    more), until `Allow`. So a schedule follows the protocol's own time, as Twins wants it.
    """

    at_ms: int
    round_first: int
    rounds: tuple[tuple[tuple[str, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class Crash:
    """The node's process dies now."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class Arm:
    """The node's process dies at the `after`-th passing of a point of its waves."""

    at_ms: int
    node: str
    point: CutPoint
    after: int = 0


@dataclass(frozen=True, slots=True)
class BreakDisk:
    """The node's next write fails, or the `after`-th after it: its process must die of it.

    A full disk stays full until `MendDisk`. A torn write makes the node a faulty member.
    """

    at_ms: int
    node: str
    fault: WriteFault
    after: int = 0


@dataclass(frozen=True, slots=True)
class MendDisk:
    """There is room on the node's disk again."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class LoseWrites:
    """The node's disk keeps nothing from now on and says it does: it makes a faulty member."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class SetClock:
    """The node's clock goes wrong: it jumps by `by_ms`, and drifts from now on.

    What a process reads never goes back: for a jump backwards it stands still instead. A new
    process begins with a right clock, and who still has a wrong one is restarted in the end.
    """

    at_ms: int
    node: str
    by_ms: int
    drift_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Wipe:
    """The node dies and its disk is replaced by an empty one: it comes back as a follower."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class Prune:
    """Every disk lets go of its committed blocks but the last `keep`: who is behind has to jump."""

    at_ms: int
    keep: int


@dataclass(frozen=True, slots=True)
class Restart:
    """A new process starts if none is up; its clock is `offset_ms` off. Also for validators."""

    at_ms: int
    node: str
    offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """The process stands still."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The process goes on."""

    at_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Each write of the node takes so long from now on."""

    at_ms: int
    node: str
    write_us: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Clients hand `count` records to a validator."""

    at_ms: int
    validator: str
    count: int


Action: TypeAlias = (
    Partition | Sever | Heal | Change | Forbid | Allow | PartitionRounds | Crash | Arm | BreakDisk
    | MendDisk | LoseWrites | Prune | Wipe | SetClock | Restart | Pause | Resume | SlowDisk
    | Submit
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """One history before it happens.

    - `seed`: for all chance that is left to the world (delays, losses, a villain's dice).
    - `twins`: members that run as two copies; `villains`: node name to tricks (`byzantine`).
    - `manners`: how each validator behaves, in the order of their numbers.
    - `limits`: fields of `heptad.consensus.limits.Limits` that differ from its defaults.
    - `reaction_us`: how long after an arrival a replica looks; what arrives meanwhile is one wave.
    - `quiet_at_ms`: all faults but villains and twins end; `calm_ms_max`: within so long after it
      everything must be committed, and within so long again everything must be silent.
    - `real_signatures`: Ed25519 instead of the simulation's own.
    """

    seed: int
    story: str = ""
    members: int = 7
    twins: tuple[str, ...] = ()
    villains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    manners: tuple[Manner, ...] = (Manner.HONEST, Manner.HONEST)
    limits: Mapping[str, int] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)
    offsets_ms: Mapping[str, int] = field(default_factory=dict)
    reaction_us: int = 0
    quiet_at_ms: int = 10_000
    calm_ms_max: int = 120_000
    real_signatures: bool = False
    actions: tuple[Action, ...] = ()
