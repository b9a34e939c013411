"""What a simulated process lets out: the `Outbox` and `Sink` of its driver.

Messages are shown to the checkers the moment they are released, and leave for the network when the
wave's work is done. Validators are told what became of their batches by `Report`s. A villain's
messages pass through his hands first.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heptad.consensus import facts as fact_names
from heptad.consensus.objects import Block, CommittedBlock, Cosignature
from heptad.consensus.ready import BatchOutcome, BatchVerdict, Fact
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.simulation.byzantine import Sending
from heptad.simulation.network import VALIDATORS_AT, NodeId, Parcel
from heptad.simulation.reports import Report
from heptad.simulation.transcript import describe_fact
from heptad.simulation.violations import Broken, ViolationError

if TYPE_CHECKING:
    from heptad.simulation.machine import Machine, Setting

_TELLING: Final = ("by", "offence")
"""Fields by which facts of one name are counted apart."""


class Mouth:
    """Outbox and sink of one machine's process."""

    def __init__(self, machine: "Machine", setting: "Setting") -> None:
        self.facts: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.overloads = 0
        self._machine = machine
        self._setting = setting
        self._copies: dict[MemberIndex, list[NodeId]] = {}
        for node, member in setting.members.items():
            self._copies.setdefault(member, []).append(node)
        self._leaving: list[tuple[NodeId, Parcel]] = []
        self._reported: dict[ValidatorNumber, dict[int, int]] = {}

    def restart(self) -> None:
        """A new process: tell validators what the store holds, as a shell does at its start."""
        self._leaving.clear()
        self._reported.clear()
        self._take_in_all()

    def close(self, at_us: int) -> None:
        """The wave is over: what was let out is on its way from `at_us` on."""
        if not self._leaving:
            return
        leaving, self._leaving = self._leaving, []
        source, network = self._machine.identity.node, self._setting.network
        for target, parcel in leaving:
            network.send(source, target, parcel, at_us)

    # --- Outbox -----------------------------------------------------------------------------

    def send(self, targets: tuple[MemberIndex, ...], payload: bytes) -> None:
        """See `Outbox.send`; the power may go before it."""
        machine = self._machine
        machine.pass_cut_in_release()
        if machine.villain is not None:
            for sending in machine.villain.twist(targets, payload):
                self.spit(sending)
            return
        message = self._setting.decoding.message(payload)
        self.said[type(message).__name__] += 1
        if machine.is_watched:
            self._setting.checkers.released(machine, message)
        self._note_message(targets, payload)
        for target in targets:
            for node in self._copies[target]:
                self._leaving.append((node, payload))

    def spit(self, sending: Sending) -> None:
        """Send what a villain wants sent, when he wants it."""
        self._note_message(sending.targets, sending.payload)
        source, network = self._machine.identity.node, self._setting.network
        at_us = self._setting.timeline.now_us + sending.delay_us
        for target in sending.targets:
            for node in self._copies[target]:
                self._setting.timeline.at(at_us, network.send, source, node, sending.payload, at_us)

    # --- Sink -------------------------------------------------------------------------------

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """See `Sink.committed`: report to the validators whose batches these are."""
        if self._machine.is_watched:
            self._setting.checkers.told(self._machine, commits)
        touched: dict[ValidatorNumber, None] = {}
        for commit in commits:
            if commit.is_jump:
                self._take_in_all()
            touched.update(self._take_in(commit.block))
        for validator in touched:
            self._report(validator)
        block = commits[-1].block
        self._note(f"commits up to height {block.height} (round {block.round})")

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """See `Sink.cosigned`."""
        if self._machine.is_watched:
            self._setting.checkers.cosigned(self._machine, cosignatures)

    def answered(self, outcomes: Sequence[BatchOutcome]) -> None:
        """See `Sink.answered`."""
        for outcome in outcomes:
            validator = ValidatorNumber(outcome.validator)
            if outcome.verdict is BatchVerdict.COMMITTED:
                self._report(validator)
            elif outcome.verdict is BatchVerdict.OVERLOADED:
                self.overloads += 1
            elif (
                outcome.verdict is BatchVerdict.INVALID
                and validator in self._setting.honest_validators
            ):
                raise ViolationError(
                    Broken.REFUSED,
                    f"{self._machine.name} refuses {outcome.id}: {outcome.detail}",
                )

    def observed(self, facts: Sequence[Fact]) -> None:
        """See `Sink.observed`: count them, and let nobody accuse the innocent."""
        for fact in facts:
            self.facts[fact.name] += 1
            for name, value in fact.fields:
                if name in _TELLING:
                    self.facts[f"{fact.name} ({value!s})"] += 1
            self._note_fact(fact)
            if fact.name == fact_names.EVIDENCE:
                proof = dict(fact.fields)["proof"]
                assert isinstance(proof, bytes), "a proof is bytes"
                self._setting.checkers.accused(self._machine, proof)
            elif fact.name == fact_names.CERTIFIED_BLOCK_INVALID:
                self._require_intolerable(fact)

    def _take_in_all(self) -> None:
        """Up to the disk's height: what was pruned or jumped over, validators learn elsewhere.

        Outside they ask the ledger, which has it all; here the agreed chain stands for that.
        """
        height = self._machine.disk.height
        for block in self._setting.checkers.log.chain[:height]:
            self._take_in(block)

    def _take_in(self, block: Block) -> dict[ValidatorNumber, None]:
        touched: dict[ValidatorNumber, None] = {}
        for ref in block.batches:
            self._reported.setdefault(ref.validator, {})[ref.incarnation] = ref.sequence
            touched[ref.validator] = None
        return touched

    def _report(self, validator: ValidatorNumber) -> None:
        last = tuple(sorted(self._reported.get(validator, {}).items()))
        report = Report(self._machine.member, last)
        self._leaving.append((NodeId(VALIDATORS_AT + validator), report))

    def _require_intolerable(self, fact: Fact) -> None:
        if self._setting.checkers.is_tolerable:
            raise ViolationError(
                Broken.DISAGREED, f"{self._machine.name} rejects a certified block: {fact.fields}"
            )

    def _note_message(self, targets: tuple[MemberIndex, ...], payload: bytes) -> None:
        if self._setting.transcript is not None:
            self._setting.transcript.message(
                self._setting.timeline.now_us, self._machine.name, targets, payload
            )

    def _note(self, text: str) -> None:
        if self._setting.transcript is not None:
            self._setting.transcript.note(self._setting.timeline.now_us, self._machine.name, text)

    def _note_fact(self, fact: Fact) -> None:
        if self._setting.transcript is not None:
            self._note(describe_fact(fact))
