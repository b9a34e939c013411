"""The parts that admission, registration and the heartbeat all work with, in one value.

They are put together once, in `wiring`; whoever needs some of them takes the whole box, so that no
constructor repeats the list.
"""

from dataclasses import dataclass

from heptad_validator.clock import Clock
from heptad_validator.dispatching.dispatcher import Dispatcher
from heptad_validator.lending.desk import Home, LeaseDesk
from heptad_validator.lending.leases import LeaseBook
from heptad_validator.lending.look_ups import LookUps
from heptad_validator.lending.slots import SlotStock
from heptad_validator.memory.limits import SubjectLimits
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.policy import Policy
from heptad_validator.recording import Recorder


@dataclass(frozen=True, slots=True)
class Rules:
    """What the cell says of requests: whose they must be, how large, how old, and what for.

    `open_registration` tells whether apps may register themselves, through a gateway. `chunk` is
    how many requests are taken through together before the event loop gets its turn.
    """

    origin: str
    cell_code: str
    request_bytes_max: int
    skew_s_max: int
    lifetime_s_max: int
    policy: Policy
    open_registration: bool
    chunk: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What a validator remembers, whom it asks, and where its records go."""

    rules: Rules
    home: Home
    clock: Clock
    window: ReplayWindow
    recent: RecentAnswers
    limits: SubjectLimits
    book: LeaseBook
    desk: LeaseDesk
    slots: SlotStock
    look_ups: LookUps
    recorder: Recorder
    dispatcher: Dispatcher
