"""Tricks: one message in, what a villain sends in its place out."""

from dataclasses import replace
from typing import Final

from heptad.consensus.codec import new_qc, new_tc, timeout_signing_bytes
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    Certificates,
    ChainReply,
    Message,
    Proposal,
    SnapshotReply,
    encode_message,
)
from heptad.consensus.objects import QC, TC, Block, Timeout, Vote
from heptad.model.ids import BatchDigest, Epoch, Height, Round
from heptad.simulation.byzantine import Sending, Villain, rebuilt
from heptad.simulation.keys import forged_signature

_ANSWERS: Final = (BatchesReply, BlocksReply, ChainReply, SnapshotReply)


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
            return [Sending(plain.targets, flipped(villain, plain.payload))]


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


def flipped(villain: Villain, payload: bytes) -> bytes:
    """The same bytes with one bit wrong."""
    at = villain.rng.randrange(len(payload))
    return payload[:at] + bytes([payload[at] ^ 1 << villain.rng.randrange(8)]) + payload[at + 1 :]


def two_timeouts(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Two time-outs of one round, one of them with an older certificate, to two halves."""
    older = _older(villain, message)
    if not isinstance(message, Timeout) or older is None:
        return [plain]
    other = encode_message(villain.timeout(message.round, older, message.tc))
    chosen = set(villain.some())
    return [
        Sending(tuple(t for t in plain.targets if t in chosen), plain.payload),
        Sending(tuple(t for t in plain.targets if t not in chosen), other),
        Sending(villain.anyone(), other, villain.rng.randrange(50_000)),
    ]


def understate(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Claim an old certificate as the highest, so that what it helped to lock is forgotten."""
    older = _older(villain, message)
    match message:
        case Timeout() if older is not None:
            lie: Message = villain.timeout(message.round, older, message.tc)
        case Certificates(_, highest_tc) if older is not None:
            lie = Certificates(older, highest_tc)
        case _:
            return [plain]
    return [Sending(plain.targets, encode_message(lie))]


def poison(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Show time-out certificates in which a claim has no certificate behind it."""
    match message:
        case Proposal(block, _) if block.tc is not None:
            wrong = rebuilt(replace(block, tc=_poisoned(villain, block.tc)))
            lie: Message = villain.proposal(wrong)
        case Timeout(tc=TC() as tc):
            lie = villain.timeout(message.round, message.high_qc, _poisoned(villain, tc))
        case Certificates(high_qc, TC() as tc):
            lie = Certificates(high_qc, _poisoned(villain, tc))
        case _:
            return [plain]
    return [Sending(plain.targets, encode_message(lie))]


def misserve(villain: Villain, plain: Sending, message: Message) -> list[Sending]:
    """Answer those who catch up with what is cut, bent or about something else, or not at all."""
    if not isinstance(message, _ANSWERS):
        return [plain]
    lies = [flipped(villain, plain.payload), *map(encode_message, _wrong_answers(message, villain))]
    lie = Sending(plain.targets, villain.rng.choice(lies))
    return villain.rng.choice(([], [lie], [lie]))


def _wrong_answers(message: Message, villain: Villain) -> list[Message]:
    noise = villain.rng.randbytes(32)
    match message:
        case BlocksReply(blocks) if blocks:
            altered = rebuilt(replace(blocks[0], state_hash=noise))
            return [
                BlocksReply(()),
                BlocksReply(blocks[::-1]),
                BlocksReply(blocks[:1] * 2),
                BlocksReply(blocks[1:]),
                BlocksReply((altered, *blocks[1:])),
                BlocksReply((villain.rng.choice(list(villain.blocks.values())),)),
            ]
        case ChainReply(blocks, proof) if blocks:
            boast = _boasting(proof.child_qc, forged_signature(1), by=0)
            return [
                ChainReply(blocks[1:], proof),
                ChainReply(blocks[:-1], proof),
                ChainReply((*blocks[:-1], rebuilt(replace(blocks[-1], state_hash=noise))), proof),
                ChainReply(blocks, replace(proof, child_qc=boast)),
            ]
        case BatchesReply(batches):
            return [BatchesReply(()), BatchesReply(batches[1:]), BatchesReply(batches[::-1] * 2)]
        case SnapshotReply(hashes=hashes):
            return [replace(message, hashes=(noise, *hashes[1:]))]
        case _:
            return []


def _older(villain: Villain, message: Message) -> QC | None:
    """A certificate that he knows below the one in `message`."""
    if not isinstance(message, Timeout | Certificates):
        return None
    older = [qc for qc in villain.certificates if qc.round < message.high_qc.round]
    return villain.rng.choice(older) if older else None
