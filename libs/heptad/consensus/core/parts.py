"""What the parts of the core share: each other, and the results of the step that is running."""

from collections import OrderedDict
from dataclasses import dataclass, field

from heptad.consensus.allowance import Allowances, MeteredVerifier
from heptad.consensus.certificates import Certificates
from heptad.consensus.chain import Chain
from heptad.consensus.committee import Cell
from heptad.consensus.docket import Docket
from heptad.consensus.kernel.rules import Kernel
from heptad.consensus.limits import Limits
from heptad.consensus.objects import BatchId
from heptad.consensus.pool import BatchReader
from heptad.consensus.results import Results
from heptad.consensus.rounds import Rounds
from heptad.consensus.sync import Sync
from heptad.model.ids import MemberIndex, ValidatorNumber


@dataclass(slots=True, eq=False)
class Parts:
    """One replica's parts. `meter` counts signatures, `peers` and `validators` are what they may
    cost, `two_batches` are numbers under which a validator made two. `heeds_own_past` is False only
    where a simulation runs several copies of a member, or one that must not know better.

    `results` and `now_ms` (Unix time) are those of the running step.
    """

    cell: Cell
    me: MemberIndex
    others: tuple[MemberIndex, ...]
    limits: Limits
    certificates: Certificates
    kernel: Kernel
    reader: BatchReader
    chain: Chain
    rounds: Rounds
    sync: Sync
    docket: Docket
    meter: MeteredVerifier
    peers: Allowances[MemberIndex]
    validators: Allowances[ValidatorNumber]
    heeds_own_past: bool = True
    two_batches: OrderedDict[BatchId, None] = field(default_factory=OrderedDict)
    results: Results = field(default_factory=Results)
    now_ms: int = 0
