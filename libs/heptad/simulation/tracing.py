"""Holds a history against the specification: what real replicas do, told as its events.

The tracer stands where promises are made. It listens at each honest machine's vote signer, for a
leader's own vote may never travel alone, and believes in a signature once the write that covers it
is done: what was signed before a power cut was never promised. Headers and commits it takes from
the same writes, certificates from the messages that leave. `heptad.specification.trace` knows
nothing of this room; here the two are compared at the end of each wave, after all other checkers,
and a step that the specification refuses ends the history like any other broken promise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heptad.consensus.codec import timeout_signing_bytes, vote_signing_bytes
from heptad.consensus.committee import Cell
from heptad.consensus.genesis import genesis_block
from heptad.consensus.messages import Certificates, Message, Proposal
from heptad.consensus.objects import QC, TC, Block, CommittedBlock, Timeout
from heptad.consensus.ports import Signer
from heptad.consensus.ready import Persist
from heptad.model.ids import BlockId, MemberIndex, Round
from heptad.simulation.violations import Broken, ViolationError
from heptad.specification.trace import (
    Committed,
    Event,
    GaveUp,
    Header,
    Proposed,
    Qc,
    RefusedStepError,
    Showed,
    Tc,
    Trace,
    Voted,
)

if TYPE_CHECKING:
    from heptad.simulation.cast import Cast
    from heptad.simulation.checkers import Watched
    from heptad.simulation.machine import Machine

_NUMBER_BYTES = 8


class ListeningSigner:
    """A signer that notes in `signed` what it signs."""

    def __init__(self, signer: Signer, signed: list[bytes]) -> None:
        self._signer = signer
        self._signed = signed

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        self._signed.append(message)
        return self._signer.sign(message)


class Tracer:
    """Tells one history to a trace, wave by wave.

    A history with more than f faulty members is not followed: it may break any rule.
    """

    def __init__(self, cast: "Cast") -> None:
        """Listen to all honest machines of a cast that has not begun to play."""
        setting = cast.setting
        self.genesis = genesis_block(setting.cell).id
        self.byzantine = cast.faulty
        self.events: list[Event] | None = None
        self._trace = Trace(
            members=setting.cell.committee.n, byzantine=self.byzantine, genesis=self.genesis
        )
        self._prefixes = _Prefixes(setting.cell)
        self._signed: dict[MemberIndex, list[bytes]] = {}
        self._told: dict[MemberIndex, list[Event]] = {}
        self._headers: set[BlockId] = set()
        self._shown: set[bytes] = set()
        if setting.checkers.is_tolerable:
            setting.checkers.listener = self
            for machine in cast.machines.values():
                if machine.member not in self.byzantine:
                    self._listen(machine)

    @property
    def count(self) -> int:
        """Events that the specification has accepted."""
        return self._trace.events

    def keep(self) -> None:
        """Keep all events in `events`, for somebody who wants to vary them."""
        self.events = []

    def stop(self) -> None:
        """Follow no further: for stories that speak with honest members' keys themselves."""
        self._told.clear()

    def written(self, who: "Watched", persist: Persist) -> None:
        """All of `persist` is durable, and with a record all that was signed before."""
        told = self._told.get(who.member)
        if told is None:
            return
        told += self._learned(persist.blocks)
        if persist.record is not None:
            signed = self._signed[who.member]
            told += [self._prefixes.event(who.member, message) for message in signed]
            signed.clear()
        told += self._committed(who.member, persist.commits)

    def released(self, who: "Watched", message: Message) -> None:
        """`message` leaves an honest machine. A vote was told when it became durable."""
        told = self._told.get(who.member)
        if told is None:
            return
        match message:
            case Proposal(block, _):
                told.append(Proposed(who.member, block.id))
                told += self._showed(who.member, block.justify, block.tc)
            case Timeout():
                told += self._showed(who.member, message.high_qc, message.tc)
            case Certificates():
                told += self._showed(who.member, message.high_qc, message.highest_tc)

    def settled(self, who: "Watched") -> None:
        """The wave is over, and all checkers have had their say. Raises: ViolationError."""
        told = self._told.get(who.member)
        if not told:
            return
        if self.events is not None:
            self.events += told
        try:
            for event in told:
                self._trace.take(event)
        except RefusedStepError as error:
            raise ViolationError(Broken.SPECIFICATION, f"{who.name}'s wave: {error}") from error
        told.clear()

    def restarted(self, who: "Watched") -> None:
        """A new process: what the old one signed and did not write was never promised."""
        if who.member in self._signed:
            self._signed[who.member].clear()

    def _listen(self, machine: "Machine") -> None:
        signed = self._signed[machine.member] = []
        self._told[machine.member] = []
        signer = ListeningSigner(machine.identity.vote_signer, signed)
        machine.identity = replace(machine.identity, vote_signer=signer)

    def _committed(self, member: MemberIndex, commits: Sequence[CommittedBlock]) -> Iterator[Event]:
        wave: list[BlockId] = []
        for commit in commits:
            yield from self._learned((commit.block,))
            wave.append(commit.block.id)
            if commit.proof is not None:
                child, child_qc = commit.proof.child, _qc(commit.proof.child_qc)
                yield from self._learned((child,))
                yield Committed(member, tuple(wave), child.id, child_qc)
                wave.clear()

    def _learned(self, blocks: Sequence[Block]) -> Iterator[Event]:
        for block in blocks:
            if block.id not in self._headers:
                self._headers.add(block.id)
                tc = None if block.tc is None else _tc(block.tc)
                yield Header(block.id, block.round, _qc(block.justify), tc)

    def _showed(self, member: MemberIndex, qc: QC, tc: TC | None) -> Iterator[Event]:
        """Certificates that nobody has shown before."""
        if qc.encoded not in self._shown:
            self._shown.add(qc.encoded)
            yield Showed(member, _qc(qc), None)
        if tc is not None and tc.encoded not in self._shown:
            self._shown.add(tc.encoded)
            yield Showed(member, None, _tc(tc))


class _Prefixes:
    """Reads what a vote signer is given: votes and time-outs of one cell, and nothing else."""

    def __init__(self, cell: Cell) -> None:
        nothing = BlockId(b"")
        self._vote = vote_signing_bytes(
            origin=cell.origin, epoch=cell.epoch, round_=Round(0), block_id=nothing
        )[:-_NUMBER_BYTES]
        timeout = timeout_signing_bytes(
            origin=cell.origin, epoch=cell.epoch, round_=Round(0), high_qc_round=Round(0),
            fast_vote=b"",
        )  # fmt: skip
        other = timeout_signing_bytes(
            origin=cell.origin, epoch=cell.epoch, round_=Round(2**64 - 1),
            high_qc_round=Round(0), fast_vote=b"",
        )  # fmt: skip
        same = next(at for at, (a, b) in enumerate(zip(timeout, other, strict=True)) if a != b)
        self._timeout = timeout[:same]

    def event(self, member: int, message: bytes) -> Voted | GaveUp:
        """What the member promises by signing this message."""
        if message.startswith(self._vote):
            return Voted(member, BlockId(message[len(self._vote) + _NUMBER_BYTES :]))
        assert message.startswith(self._timeout), "the vote key signs votes and time-outs only"
        numbers = message[len(self._timeout) :]
        return GaveUp(
            member,
            int.from_bytes(numbers[:_NUMBER_BYTES], "big"),
            int.from_bytes(numbers[_NUMBER_BYTES : 2 * _NUMBER_BYTES], "big"),
        )


def _qc(qc: QC) -> Qc:
    return Qc(qc.round, qc.block_id, frozenset(voter for voter, _ in qc.votes))


def _tc(tc: TC) -> Tc:
    claims = tuple((claim.voter, claim.high_qc_round) for claim in tc.claims)
    return Tc(tc.round, claims, _qc(tc.high_qc))
