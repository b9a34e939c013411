"""Scripted misbehaviour: a villain runs the real core and twists what it says on its way out.

So a villain knows as much of the protocol's state as an honest member does, and his lies are about
the present. He holds his own keys and nobody else's. A scenario gives him one trick or several; of
several, each message meets one at random. `Twins` (see `twins`) are the other way to be Byzantine:
two honest copies of one member, which find the schedules that nobody would think of; villains make
the bytes that honest code never makes.

A trick is a function from one message to what is sent in its place. An initiative is something that
a villain does of his own accord, now and then.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final, NamedTuple

from heptad.consensus.codec import (
    new_block,
    new_qc,
    new_tc,
    new_timeout,
    timeout_signing_bytes,
    vote_signing_bytes,
)
from heptad.consensus.committee import Cell
from heptad.consensus.genesis import genesis_block
from heptad.consensus.leaders import Schedule
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    Certificates,
    ChainReply,
    Message,
    Proposal,
    SnapshotReply,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import QC, TC, Block, Timeout, Vote
from heptad.consensus.ports import Signer
from heptad.model.canonical import MalformedError
from heptad.model.ids import BatchDigest, BlockId, Epoch, Height, MemberIndex, Round
from heptad.simulation.hearsay import Hearsay
from heptad.simulation.keys import forged_signature

_ANSWERS: Final = (BatchesReply, BlocksReply, ChainReply, SnapshotReply)

MEMORY_MAX: Final = 200
"""Messages that a villain keeps for replaying them."""


class Sending(NamedTuple):
    """What a villain sends: to whom, what, and how much later, in microseconds."""

    targets: tuple[MemberIndex, ...]
    payload: bytes
    delay_us: int = 0


class Villain:
    """One Byzantine member. `tricks` are names out of `TRICKS` and `INITIATIVES`."""

    def __init__(
        self,
        *,
        me: MemberIndex,
        cell: Cell,
        schedule: Schedule,
        signer: Signer,
        rng: Random,
        tricks: Sequence[str],
    ) -> None:
        self.me = me
        self.cell = cell
        self.signer = signer
        self.rng = rng
        self.others = cell.committee.others(me)
        self.twisted = 0
        self.memory: list[bytes] = []
        genesis = genesis_block(cell)
        self.blocks: dict[BlockId, Block] = {genesis.id: genesis}
        self.hearsay = Hearsay(cell, schedule)
        self.high_qc: QC | None = None
        self._tricks = [TRICKS[name] for name in tricks if name in TRICKS]
        self._initiatives = [INITIATIVES[name] for name in tricks if name in INITIATIVES]
        self._is_curious = not _NEED_THE_CHAIN.isdisjoint(tricks)
        assert len(self._tricks) + len(self._initiatives) == len(tricks), tricks

    def twist(self, targets: tuple[MemberIndex, ...], payload: bytes) -> list[Sending]:
        """What is sent instead of `payload`, which his core wants sent to `targets`."""
        self.overhear(payload)
        message = decode_message(payload)
        if isinstance(message, Proposal):
            self.blocks[message.block.id] = message.block
            self.hearsay.hear(message.block)
            self.high_qc = message.block.justify
        elif isinstance(message, Certificates | Timeout):
            self.high_qc = message.high_qc
        plain = Sending(targets, payload)
        if not self._tricks:
            return [plain]
        sendings = self.rng.choice(self._tricks)(self, plain, message)
        self.twisted += sendings != [plain]
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
        sendings = self.rng.choice(self._initiatives)(self)
        self.twisted += len(sendings)
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


# --- tricks: one message in, what is sent instead out ---------------------------------------


def silent(_villain: Villain, _plain: Sending, _message: Message) -> list[Sending]:
    """Say nothing at all."""
    return []


def withhold_votes(_villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Lead, but never vote for others."""
    return [] if isinstance(message, Vote) else [plain]


def withhold_certificates(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Show each certificate to one member only."""
    if isinstance(message, Proposal | Certificates):
        return [Sending(villain.anyone(), plain.payload)]
    return [plain]


def withhold_data(_villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Propose what others lack, and never hand it out."""
    return [] if isinstance(message, _ANSWERS) else [plain]


def misserve(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Answer those who catch up with what is cut, bent or about something else, or not at all."""
    match message:
        case BlocksReply(blocks):
            wrong: Message = BlocksReply(blocks[1:] or blocks * 2)
        case ChainReply(blocks, proof):
            wrong = ChainReply(blocks[1:] or blocks * 2, proof)
        case BatchesReply(batches):
            wrong = BatchesReply((batches[0][:-1], *batches[1:]))
        case SnapshotReply(hashes=hashes):
            wrong = replace(message, hashes=(villain.rng.randbytes(32), *hashes[1:]))
        case _:
            return [plain]
    bent = Sending(plain.targets, _flipped(villain, plain.payload))
    cut = Sending(plain.targets, encode_message(wrong))
    return villain.rng.choice(([], [bent], [cut]))


def dawdle(villain: Villain, plain: Sending, _message: Message) -> list[Sending]:
    """Be slow, by anything up to a third of a second."""
    return [plain._replace(delay_us=villain.rng.randrange(330_000))]


def equivocate(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Two proposals for one round, and votes for both."""
    match message:
        case Proposal(block, _):
            other = villain.proposal(rebuilt(replace(block, time_ms=block.time_ms + 1)))
            second = encode_message(other)
            chosen = set(villain.some())
            return [
                Sending(tuple(t for t in plain.targets if t in chosen), plain.payload),
                Sending(tuple(t for t in plain.targets if t not in chosen), second),
                Sending(villain.some(), encode_message(villain.vote(other.block.id, block.round))),
                Sending(villain.anyone(), second, villain.rng.randrange(50_000)),
            ]
        case Vote(round=round_):
            rivals = [block for block in villain.blocks.values() if block.round == round_]
            votes = [villain.vote(block.id, round_) for block in rivals]
            return [plain, *(Sending(villain.some(), encode_message(vote)) for vote in votes)]
        case _:
            return [plain]


def stale(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """As a leader, extend an older block than the time-outs allow, to unmake the newest one."""
    if not isinstance(message, Proposal) or message.block.tc is None:
        return [plain]
    parent = villain.hearsay.get(message.block.parent_id)
    grandparent = None if parent is None else villain.hearsay.get(parent.parent_id)
    if parent is None or grandparent is None:
        return [plain]
    block = replace(message.block, justify=parent.justify, height=parent.height)
    bare = _without_batches(villain, block, grandparent)
    return [Sending(plain.targets, encode_message(villain.proposal(bare)))]


def empty(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """As a leader, propose only empty blocks."""
    if not isinstance(message, Proposal) or message.block.is_empty:
        return [plain]
    parent = villain.hearsay.get(message.block.parent_id)
    if parent is None:
        return [plain]
    block = _without_batches(villain, message.block, parent)
    return [Sending(plain.targets, encode_message(villain.proposal(block)))]


def _without_batches(villain: Villain, block: Block, parent: Block) -> Block:
    state_hash = villain.hearsay.state_hash_without_batches(
        parent, round_=block.round, proposer=block.proposer
    )
    bare = replace(block, batches=(), control=(), head=parent.head, state_hash=state_hash)
    return rebuilt(bare)


def invalid(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Propose blocks that are wrong in one field, well signed."""
    if not isinstance(message, Proposal):
        return [plain]
    wrong = rebuilt(villain.rng.choice(_wrongs(message.block, villain)))
    return [Sending(plain.targets, encode_message(villain.proposal(wrong)))]


def _wrongs(block: Block, villain: Villain) -> list[Block]:
    noise = villain.rng.randbytes(32)
    return [
        replace(block, height=Height(block.height + 1)),
        replace(block, time_ms=block.time_ms + 3_600_000),
        replace(block, time_ms=1),
        replace(block, proposer=villain.anyone()[0]),
        replace(block, round=Round(block.round + 1)),
        replace(block, epoch=Epoch(block.epoch + 1)),
        replace(block, state_hash=noise),
        replace(block, head=replace(block.head, root=noise)),
        replace(block, head=replace(block.head, size=block.head.size + 1)),
        replace(block, batches=block.batches[::-1]),
        replace(block, batches=block.batches * 2),
        replace(
            block, batches=tuple(replace(ref, digest=BatchDigest(noise)) for ref in block.batches)
        ),
        replace(block, batches=tuple(replace(ref, count=ref.count + 1) for ref in block.batches)),
        replace(block, control=(b"no entry of this kind exists",)),
        replace(block, tc=None),
    ]


def forge(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Votes in other names, certificates with bad signatures, claims with nothing behind them."""
    noise = forged_signature(villain.rng.getrandbits(500))
    match message:
        case Vote():
            in_another_name = replace(message, voter=villain.anyone()[0])
            unsigned = replace(message, signature=noise)
            return [
                Sending(villain.some(), encode_message(in_another_name)),
                Sending(plain.targets, encode_message(unsigned)),
                plain,
            ]
        case Proposal(block, signature):
            forged = rebuilt(replace(block, justify=_boasting(block.justify, noise, by=0)))
            return [
                Sending(villain.some(), encode_message(Proposal(block, noise))),
                Sending(villain.some(), encode_message(villain.proposal(forged))),
                Sending(plain.targets, encode_message(Proposal(block, signature))),
            ]
        case Timeout():
            boast = _boasting(message.high_qc, noise, by=villain.rng.randint(1, 5))
            poisoned = None if message.tc is None else _poisoned(villain, message.tc)
            timeouts = [
                villain.timeout(message.round, boast, message.tc),
                villain.timeout(message.round, message.high_qc, poisoned),
            ]
            return [Sending(villain.some(), encode_message(each)) for each in timeouts]
        case Certificates(high_qc, highest_tc):
            forged_qc = _boasting(high_qc, noise, by=villain.rng.randrange(4))
            poisoned = None if highest_tc is None else _poisoned(villain, highest_tc)
            return [Sending(plain.targets, encode_message(Certificates(forged_qc, poisoned)))]
        case _:
            return [Sending(plain.targets, _flipped(villain, plain.payload))]


def _boasting(qc: QC, noise: bytes, *, by: int) -> QC:
    """The certificate of a later round, or of the same with one signature replaced."""
    votes = dict(qc.votes)
    if votes:
        votes[min(votes)] = noise
    return new_qc(epoch=qc.epoch, round_=Round(qc.round + by), block_id=qc.block_id, votes=votes)


def _poisoned(villain: Villain, tc: TC) -> TC:
    """A TC in which his own claim, well signed, names a round that no certificate is behind."""
    claims = [claim for claim in tc.claims if claim.voter != villain.me]
    lie = Round(max(tc.round - 1, 0))
    message = timeout_signing_bytes(
        origin=villain.cell.origin, epoch=tc.epoch, round_=tc.round, high_qc_round=lie,
        fast_vote=b"",
    )  # fmt: skip
    mine = replace(
        tc.claims[0], voter=villain.me, high_qc_round=lie, signature=villain.signer.sign(message)
    )
    claims = claims[: len(tc.claims) - 1]
    return new_tc(epoch=tc.epoch, round_=tc.round, claims=[*claims, mine], high_qc=tc.high_qc)


def _flipped(villain: Villain, payload: bytes) -> bytes:
    at = villain.rng.randrange(len(payload))
    return payload[:at] + bytes([payload[at] ^ 1 << villain.rng.randrange(8)]) + payload[at + 1 :]


# --- initiatives: what he does of his own accord --------------------------------------------


def replay(villain: Villain) -> list[Sending]:
    """Say again what he or others once said."""
    count = min(5, len(villain.memory))
    return [Sending(villain.some(), old) for old in villain.rng.sample(villain.memory, count)]


def future(villain: Villain) -> list[Sending]:
    """Well-signed votes and time-outs of rounds to come, near and far."""
    if villain.high_qc is None:
        return []
    ahead = villain.rng.choice((1, 2, 3, 10, 15, 16, 17, 1_000, 1 << 40))
    round_ = Round(villain.high_qc.round + ahead)
    block_id = BlockId(villain.rng.randbytes(32))
    vote, timeout = villain.vote(block_id, round_), villain.timeout(round_, villain.high_qc, None)
    payloads = (encode_message(vote), encode_message(timeout))
    return [Sending(villain.some(), payload) for payload in payloads]


def garbage(villain: Villain) -> list[Sending]:
    """Bytes without a meaning, and messages with one bit wrong."""
    rubbish = villain.rng.randbytes(villain.rng.randrange(1, 300))
    flipped = [_flipped(villain, old) for old in villain.memory[-3:] if old]
    return [Sending(villain.some(), payload) for payload in (rubbish, *flipped)]


TRICKS: Final[dict[str, Callable[[Villain, Sending, Message], list[Sending]]]] = {
    "silent": silent,
    "withhold_votes": withhold_votes,
    "withhold_certificates": withhold_certificates,
    "withhold_data": withhold_data,
    "misserve": misserve,
    "dawdle": dawdle,
    "equivocate": equivocate,
    "stale": stale,
    "empty": empty,
    "invalid": invalid,
    "forge": forge,
}

INITIATIVES: Final[dict[str, Callable[[Villain], list[Sending]]]] = {
    "replay": replay,
    "future": future,
    "garbage": garbage,
}

_NEED_THE_CHAIN: Final = frozenset({"stale", "empty"})
"""Tricks that make up whole blocks, for which a villain has to have heard what others propose."""
