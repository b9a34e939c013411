"""How a replica is, for health checks, dashboards and tests."""

from dataclasses import dataclass

from heptad.consensus.objects import LogHead
from heptad.model.ids import BlockId, Epoch, Height, MemberIndex, Round


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot of the core's state.

    `leader` is the leader of `round`, None while the block that decides it is being fetched.
    `committed_*` describe the last committed block; `head` is the log after it and `cosigned` the
    last head cosigned. `*_pending` count the pool. `timeouts` and `rounds_certified` (rounds
    entered by a QC) count since the start. `is_catching_up`: missed blocks are being fetched.
    `is_stranded`: everybody was asked in vain for the next of them, and none has come since.
    `is_follower`: this replica signs nothing, for it does not know what its key has signed before.
    `leaders_failed`: who failed to lead and has not ended a term since, as the committed chain has
    it; the last f of them are left out of the schedule for a while.
    `charges_proven` counts the charges of misbehaviour of which the committed log holds a proof.
    """

    epoch: Epoch
    round: Round
    leader: MemberIndex | None
    high_qc_round: Round
    highest_tc_round: Round
    committed_height: Height
    committed_round: Round
    committed_id: BlockId
    committed_time_ms: int
    head: LogHead
    cosigned: LogHead | None
    batches_pending: int
    bytes_pending: int
    timeouts: int
    rounds_certified: int
    is_catching_up: bool
    is_stranded: bool
    is_follower: bool
    leaders_failed: tuple[MemberIndex, ...]
    charges_proven: int
