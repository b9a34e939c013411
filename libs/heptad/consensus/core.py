"""The state machine of one replica: `step(event, now_ms) -> Ready`, pure and deterministic."""

from heptad.consensus.committee import Cell
from heptad.consensus.events import Event
from heptad.consensus.limits import Limits
from heptad.consensus.ports import Restored, SignatureVerifier, Signer
from heptad.consensus.ready import Ready
from heptad.consensus.status import Status
from heptad.model.ids import MemberIndex


class Core:
    """One replica. It reads no clock and no disk; the same events give the same results."""

    def __init__(
        self,
        *,
        cell: Cell,
        me: MemberIndex,
        limits: Limits,
        vote_signer: Signer,
        cosigner: Signer,
        verifier: SignatureVerifier,
        restored: Restored | None,
    ) -> None:
        """Begin at the genesis, or where `restored` left off. Raises: RecordDamagedError."""
        raise NotImplementedError

    def start(self, now_ms: int) -> Ready:
        """Once, before any step: what a (re)started replica sends first."""
        raise NotImplementedError

    def step(self, event: Event, now_ms: int) -> Ready:
        """Handle one event at Unix time `now_ms`, which never decreases."""
        raise NotImplementedError

    def status(self) -> Status:
        """How the replica is."""
        raise NotImplementedError
