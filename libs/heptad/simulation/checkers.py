"""The judge of a history: sees every write, message, commit and cosignature as it happens.

The checkers know more than any replica, for they see all disks at once, and they trust none of the
code under test beyond its encodings: they follow the log themselves, re-hash it, verify proofs, and
remember every vote that was ever let out. They hold no opinion on *how* a replica reaches its
decisions, so a rewrite of the core needs no new checker.

Machines that run honest code are watched, the two copies of a twin included, because each copy is
honest by itself; villains are not. What rests on quorums that meet in an honest member
(`is_tolerable`) is not demanded of a history with more than f faulty members: there the fork itself
is what the negative control waits for.
"""

from collections.abc import Sequence
from typing import Protocol

from heptad.consensus.committee import Cell
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Message
from heptad.consensus.objects import CommittedBlock, Cosignature
from heptad.consensus.ports import SignatureVerifier
from heptad.consensus.ready import Persist
from heptad.model.batch import Batch
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.simulation.disk import Disk
from heptad.simulation.evidence_checker import EvidenceChecker
from heptad.simulation.leader_checker import LeaderChecker
from heptad.simulation.log_checker import LogChecker
from heptad.simulation.promise_checker import PromiseChecker


class Watched(Protocol):
    """One machine as the checkers see it. `key` is its node number, `name` is for people."""

    @property
    def key(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def member(self) -> MemberIndex: ...
    @property
    def disk(self) -> Disk: ...


class Listener(Protocol):
    """Somebody who wants to hear of writes, messages and restarts too, after all checks."""

    def written(self, who: Watched, persist: Persist) -> None: ...
    def released(self, who: Watched, message: Message) -> None: ...
    def settled(self, who: Watched) -> None: ...
    def restarted(self, who: Watched) -> None: ...


class Checkers:
    """All checks that are made at every step. Any method may raise ViolationError."""

    def __init__(
        self,
        *,
        cell: Cell,
        verifier: SignatureVerifier,
        faulty: frozenset[MemberIndex],
        term_rounds: int = Limits().term_rounds,
        equivocating: frozenset[ValidatorNumber] = frozenset(),
    ) -> None:
        """`faulty` members lie, have twins, or will lose their disks. `term_rounds` is K.

        `equivocating` validators sign two batches under one number.
        """
        self.listener: Listener | None = None
        self.is_tolerable = len(faulty) <= cell.committee.f
        self._honest = frozenset(cell.committee.indexes) - faulty
        self.evidence = EvidenceChecker(
            cell=cell, verifier=verifier, honest=self._honest, equivocating=equivocating
        )
        self.leaders = LeaderChecker(cell, term_rounds=term_rounds)
        self.log = LogChecker(
            cell=cell,
            verifier=verifier,
            honest=self._honest,
            is_tolerable=self.is_tolerable,
            evidence=self.evidence,
            leaders=self.leaders,
        )
        self.promises = PromiseChecker(
            log=self.log, honest=self._honest, is_tolerable=self.is_tolerable
        )

    def is_honest(self, member: object) -> bool:
        """True for the index of a member that is not faulty."""
        return member in self._honest

    def watch(self, who: Watched) -> None:
        """Watch a machine that runs honest code."""
        self.log.watch(who)
        self.promises.watch(who)

    def submitted(self, batch: Batch) -> None:
        """A validator has made this batch, honestly or not."""
        self.log.submitted(batch)

    def accused(self, who: Watched, proof: bytes) -> None:
        """`who` makes known that it holds this proof of misbehaviour."""
        self.evidence.reported(who.name, proof, by_honest=self.is_honest(who.member))

    def written(self, who: Watched, persist: Persist) -> None:
        """All of `persist` is on `who`'s disk now."""
        self.log.written(who, persist.commits)
        if persist.state is not None and self.is_tolerable:
            self.leaders.stored(who, persist.state)
        if self.listener is not None:
            self.listener.written(who, persist)

    def follows(self, who: Watched) -> None:
        """`who` has lost its record: from now on it may say nothing that it would have to keep."""
        self.promises.follows(who)

    def released(self, who: Watched, message: Message) -> None:
        """`message` leaves `who` now."""
        self.promises.released(who, message)
        if self.listener is not None:
            self.listener.released(who, message)

    def told(self, who: Watched, commits: Sequence[CommittedBlock]) -> None:
        """`who` tells ledgers and validators that these blocks are final."""
        self.log.told(who, commits)

    def cosigned(self, who: Watched, cosignatures: Sequence[Cosignature]) -> None:
        """`who` gives out these cosignatures."""
        self.promises.cosigned(who, cosignatures)

    def settled(self, who: Watched, *, is_whole: bool) -> None:
        """`who` has let out all that one wave wanted to say, or died while doing so."""
        self.promises.settled(who, is_whole=is_whole)
        if self.listener is not None:
            self.listener.settled(who)

    def restarted(self, who: Watched) -> None:
        """A new process of `who` begins with what its disk holds."""
        self.log.restarted(who)
        if self.listener is not None:
            self.listener.restarted(who)
