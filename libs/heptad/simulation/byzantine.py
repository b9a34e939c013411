"""Scripted misbehaviour: a villain runs the real core and twists what it says on its way out.

So a villain knows as much of the protocol's state as an honest member does, and his lies are about
the present. He holds his own keys and nobody else's. A scenario gives him one trick or several
(`repertoire` names them all); of several, each message meets one at random. `Twins` (see `twins`)
are the other way to be Byzantine: two honest copies of one member, which find the schedules that
nobody would think of; villains make the bytes that honest code never makes.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple, TypeAlias

from heptad.consensus.codec import (
    new_block,
    new_timeout,
    timeout_signing_bytes,
    vote_signing_bytes,
)
from heptad.consensus.committee import Cell
from heptad.consensus.genesis import genesis_block
from heptad.consensus.leaders import Schedule
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    Certificates,
    Message,
    Proposal,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import QC, TC, Block, Cosignature, LogHead, Timeout, Vote
from heptad.consensus.ports import Signer
from heptad.model.canonical import MalformedError
from heptad.model.ids import BlockId, MemberIndex, Round
from heptad.simulation.hearsay import Hearsay
from heptad.simulation.network import VALIDATORS_AT, NodeId
from heptad.transparency.checkpoint import Checkpoint, cosigned_message

MEMORY_MAX: Final = 200
"""Messages that a villain keeps for replaying them."""

CERTIFICATES_MAX: Final = 16
"""Certificates that he keeps for showing old ones."""

_GIVES_BATCHES: Final = frozenset(
    encode_message(message)[0] for message in (BatchOffer(()), BatchesReply(()))
)


class Sending(NamedTuple):
    """What a villain sends: to whom, what, and how much later, in microseconds."""

    targets: tuple[MemberIndex, ...]
    payload: bytes
    delay_us: int = 0


Trick: TypeAlias = Callable[["Villain", Sending, Message], list[Sending]]
"""From one message to what is sent in its place."""

Initiative: TypeAlias = Callable[["Villain"], list[Sending]]
"""Something that a villain does of his own accord, now and then."""


class Villain:
    """One Byzantine member, with his tricks and initiatives by name.

    A *censor* takes nothing of `validator-1`. A *curious* villain listens to what others propose,
    for he makes up whole blocks. `played` counts what he did, by name.
    """

    def __init__(
        self,
        *,
        me: MemberIndex,
        cell: Cell,
        schedule: Schedule,
        signer: Signer,
        cosigner: Signer,
        rng: Random,
        tricks: Mapping[str, Trick],
        initiatives: Mapping[str, Initiative],
        is_curious: bool,
        is_censor: bool,
    ) -> None:
        self.me = me
        self.cell = cell
        self.signer = signer
        self.rng = rng
        self.others = cell.committee.others(me)
        self.played: Counter[str] = Counter()
        self.cosigner = cosigner
        self.memory: list[bytes] = []
        genesis = genesis_block(cell)
        self.blocks: dict[BlockId, Block] = {genesis.id: genesis}
        self.hearsay = Hearsay(cell, schedule)
        self.high_qc: QC | None = None
        self.certificates: deque[QC] = deque(maxlen=CERTIFICATES_MAX)
        self._tricks = list(tricks.items())
        self._initiatives = list(initiatives.items())
        self._is_curious = is_curious
        self._is_censor = is_censor

    def hears(self, source: NodeId, payload: bytes) -> bool:
        """False for what a censor turns a deaf ear to."""
        is_unwelcome = self._is_censor and (
            source == VALIDATORS_AT + 1 or (bool(payload) and payload[0] in _GIVES_BATCHES)
        )
        self.played["censor"] += is_unwelcome
        return not is_unwelcome

    def twist(self, targets: tuple[MemberIndex, ...], payload: bytes) -> list[Sending]:
        """What is sent instead of `payload`, which his core wants sent to `targets`."""
        self.overhear(payload)
        message = decode_message(payload)
        if isinstance(message, Proposal):
            self.blocks[message.block.id] = message.block
            self.hearsay.hear(message.block)
            self._keep(message.block.justify)
        elif isinstance(message, Certificates | Timeout):
            self._keep(message.high_qc)
        plain = Sending(targets, payload)
        if not self._tricks:
            return [plain]
        name, trick = self.rng.choice(self._tricks)
        sendings = trick(self, plain, message)
        self.played[name] += sendings != [plain]
        return sendings

    def overhear(self, payload: bytes) -> None:
        """Remember a message that he has sent or received."""
        if self._is_curious:
            self._listen(payload)
        if len(self.memory) < MEMORY_MAX:
            self.memory.append(payload)
        else:
            self.memory[self.rng.randrange(MEMORY_MAX)] = payload

    def _listen(self, payload: bytes) -> None:
        """Others' proposals tell him the chain; what other villains say may be rubbish."""
        try:
            message = decode_message(payload)
        except MalformedError:
            return
        if isinstance(message, Proposal):
            self.hearsay.hear(message.block)

    def initiative(self) -> list[Sending]:
        """What he does of his own accord this time."""
        if not self._initiatives:
            return []
        name, act = self.rng.choice(self._initiatives)
        sendings = act(self)
        self.played[name] += bool(sendings)
        return sendings

    def vote(self, block_id: BlockId, round_: Round) -> Vote:
        """His genuine vote for whatever he likes."""
        message = vote_signing_bytes(
            origin=self.cell.origin, epoch=self.cell.epoch, round_=round_, block_id=block_id
        )
        return Vote(self.cell.epoch, round_, block_id, self.me, self.signer.sign(message))

    def proposal(self, block: Block) -> Proposal:
        """His genuine signature under a block that he made up."""
        self.blocks[block.id] = block
        self.hearsay.hear(block)
        return Proposal(block, self.vote(block.id, block.round).signature)

    def timeout(self, round_: Round, high_qc: QC, tc: TC | None) -> Timeout:
        """His genuine time-out of any round, with any certificates."""
        message = timeout_signing_bytes(
            origin=self.cell.origin, epoch=self.cell.epoch, round_=round_,
            high_qc_round=high_qc.round, fast_vote=b"",
        )  # fmt: skip
        return new_timeout(
            epoch=self.cell.epoch, round_=round_, high_qc=high_qc, tc=tc, fast_vote=b"",
            voter=self.me, signature=self.signer.sign(message),
        )  # fmt: skip

    def cosignature(self, head: LogHead, time_s: int) -> Cosignature:
        """His genuine cosignature of any head."""
        body = Checkpoint(origin=self.cell.origin, size=head.size, root=head.root).body()
        signature = self.cosigner.sign(cosigned_message(body, time_s=time_s))
        return Cosignature(self.me, head, time_s, signature)

    def _keep(self, qc: QC) -> None:
        if self.high_qc is None or qc.round != self.high_qc.round:
            self.certificates.append(qc)
        self.high_qc = qc

    def anyone(self) -> tuple[MemberIndex, ...]:
        """One other member."""
        return (self.rng.choice(self.others),)

    def some(self) -> tuple[MemberIndex, ...]:
        """Some of the others, at least one."""
        count = self.rng.randint(1, len(self.others))
        return tuple(sorted(self.rng.sample(self.others, count)))


def rebuilt(block: Block) -> Block:
    """The block with the bytes and the id that belong to its other fields."""
    return new_block(
        epoch=block.epoch,
        round_=block.round,
        height=block.height,
        proposer=block.proposer,
        time_ms=block.time_ms,
        justify=block.justify,
        tc=block.tc,
        batches=block.batches,
        control=block.control,
        head=block.head,
        state_hash=block.state_hash,
    )
