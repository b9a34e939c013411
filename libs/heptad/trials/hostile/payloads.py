"""What attackers send: endless streams of messages, each as dear to the receiver as it can be."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from heptad.consensus.codec import new_block, new_qc, new_tc, new_timeout, vote_signing_bytes
from heptad.consensus.genesis import genesis_block
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    Certificates,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Proposal,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import QC, TC, BatchRef, Block, TimeoutClaim, Vote
from heptad.crypto.keys import KeyRole
from heptad.model.batch import (
    Batch,
    batch_signing_bytes,
    encode_batch,
    signed,
    unsigned_batch,
)
from heptad.model.ids import (
    BatchDigest,
    BlockId,
    Epoch,
    Height,
    MemberIndex,
    Round,
    ValidatorNumber,
)
from heptad.runtime.group import agreed_cell
from heptad.trials.hostile.arms import Arms
from heptad.wire.streams import BatchFrame
from heptad.wire.streams import encode_batch as encode_batch_frame

MESSAGE_BYTES: Final = 4 << 20
OVERSIZED_BYTES: Final = 32 << 20
_TOP: Final = (1 << 64) - 1


def forged_certificates(arms: Arms) -> Iterator[bytes]:
    """Time-outs and certificates of far rounds, every signature in them rubbish or nearly so."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    while True:
        round_ = Round(arms.high_qc().round + chance.randrange(1, 1_000))
        qc = _forged_qc(arms, round_, chance)
        yield encode_message(Certificates(qc, _forged_tc(arms, round_, qc, chance)))
        yield encode_message(
            new_timeout(
                epoch=Epoch(arms.cell.epoch),
                round_=Round(round_ + 1),
                high_qc=qc,
                tc=None,
                fast_vote=b"",
                voter=MemberIndex(arms.number - 1),
                signature=chance.randbytes(64),
            )
        )


def bad_signatures(arms: Arms) -> Iterator[bytes]:
    """Votes and time-outs of the current round with good certificates and bad signatures."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    me, epoch = MemberIndex(arms.number - 1), Epoch(arms.cell.epoch)
    while True:
        high_qc = arms.high_qc()
        for _ in range(100):
            yield encode_message(
                new_timeout(
                    epoch=epoch,
                    round_=Round(high_qc.round + 1),
                    high_qc=high_qc,
                    tc=None,
                    fast_vote=b"",
                    voter=me,
                    signature=chance.randbytes(64),
                )
            )
            yield encode_message(
                Vote(epoch, Round(high_qc.round + 1), high_qc.block_id, me, chance.randbytes(64))
            )


def far_votes(arms: Arms) -> Iterator[bytes]:
    """Votes for blocks that nobody has, of rounds near and as far as there are numbers."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    while True:
        base = arms.high_qc().round
        for _ in range(200):
            round_ = chance.choice((base + chance.randrange(1, 16), chance.getrandbits(64)))
            block_id = BlockId(chance.randbytes(32))
            yield encode_message(
                Vote(
                    Epoch(arms.cell.epoch),
                    Round(round_ & _TOP),
                    block_id,
                    MemberIndex(arms.number - 1),
                    chance.randbytes(64),
                )
            )


def proposals(arms: Arms) -> Iterator[bytes]:
    """Blocks of the current round by somebody who does not lead it, all of them well signed."""
    origin, epoch = arms.cell.origin, Epoch(arms.cell.epoch)
    number = 0
    while True:
        high_qc = arms.high_qc()
        for _ in range(20):
            number += 1
            block = _block(arms, high_qc, number)
            message = vote_signing_bytes(
                origin=origin, epoch=epoch, round_=block.round, block_id=block.id
            )
            signature = arms.sign(KeyRole.VOTE, message)
            # Signing costs the attacker what checking costs the victim; repeating costs it nothing.
            yield from [encode_message(Proposal(block, signature))] * 20


def replays(arms: Arms) -> Iterator[bytes]:
    """What honest members have said, as it was and with some of its bits turned."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    while True:
        heard = list(arms.heard) or [encode_message(Certificates(arms.high_qc(), None))]
        for payload in heard:
            yield payload
            yield _mutated(payload, chance)


def rubbish(arms: Arms) -> Iterator[bytes]:
    """Random bytes behind every kind, known and unknown."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    while True:
        for kind in range(256):
            yield bytes((kind,)) + chance.randbytes(chance.choice((0, 8, 120, 1_500, 20_000)))


def fetches(arms: Arms) -> Iterator[bytes]:
    """The largest answers there are, asked for again and again, and never looked at."""
    while True:
        high_qc = arms.high_qc()
        yield encode_message(FetchChain(Height(1), 0))
        yield encode_message(FetchBlocks(high_qc.block_id, Height(0)))
        yield encode_message(FetchBatches(tuple(_digests(arms)) * 50))


def offers(arms: Arms) -> Iterator[bytes]:
    """Batches that do not exist."""
    chance = random.Random(arms.number)  # noqa: S311  made-up data
    while True:
        incarnation = chance.getrandbits(63)
        yield encode_message(
            BatchOffer(
                tuple(
                    BatchRef(
                        ValidatorNumber(1 + sequence % 2),
                        incarnation,
                        sequence,
                        BatchDigest(chance.randbytes(32)),
                        1,
                        500_000,
                    )
                    for sequence in range(64)
                )
            )
        )


def long_messages(_arms: Arms) -> Iterator[bytes]:
    """The longest messages that are read, of batches that nobody asked for."""
    batches = [os.urandom(1 << 20) for _ in range(3)]
    payload = encode_message(BatchesReply(tuple(batches)))
    while True:
        yield payload


def oversized(_arms: Arms) -> Iterator[bytes]:
    """Messages beyond every limit."""
    payload = bytes(OVERSIZED_BYTES)
    while True:
        yield payload


def bad_batches(arms: Arms) -> Iterator[bytes]:
    """A validator's batches in order, none of them signed."""
    while True:
        for sequence in range(1_000):
            batch = _batch(arms, incarnation=_incarnation(), sequence=sequence, variant=0)
            yield _framed(signed(batch, os.urandom(64)))


def gap_batches(arms: Arms) -> Iterator[bytes]:
    """Well signed batches that can never be committed, for the one before all of them is missing.

    They fill this validator's share of every pool, and each further one asks whether it has room.
    """
    incarnation = _incarnation()
    frames = []
    for sequence in range(1_000, 0, -1):
        batch = _batch(arms, incarnation=incarnation, sequence=sequence, variant=0)
        frames.append(_framed(_signed(arms, batch)))
        yield frames[-1]
    while True:
        yield from frames


def rival_batches(arms: Arms) -> Iterator[bytes]:
    """Hundreds of well signed batches under one number, then under the next."""
    incarnation = _incarnation()
    for sequence in range(1 << 30):
        for variant in range(200):
            batch = _batch(arms, incarnation=incarnation, sequence=sequence, variant=variant)
            yield _framed(_signed(arms, batch))


def _incarnation() -> int:
    """Later than the member's own, as after a restart, and earlier than its next one."""
    return time.time_ns() // 1_000_000


def _batch(arms: Arms, *, incarnation: int, sequence: int, variant: int) -> Batch:
    """An empty batch, as fences are; `variant` makes another digest under the same number."""
    return unsigned_batch(
        validator=ValidatorNumber(arms.number),
        incarnation=incarnation,
        sequence=sequence,
        created_ms=variant,
        records=[],
    )


def _signed(arms: Arms, batch: Batch) -> Batch:
    message = batch_signing_bytes(origin=arms.cell.origin, digest=batch.digest)
    return signed(batch, arms.sign(KeyRole.BATCH, message))


def _framed(batch: Batch) -> bytes:
    return encode_batch_frame(BatchFrame(encode_batch(batch)))


def _forged_qc(arms: Arms, round_: Round, chance: random.Random) -> QC:
    """Signatures of an earlier certificate, which hold for something else, and a new last one."""
    quorum = agreed_cell(arms.cell).committee.quorum
    votes = {MemberIndex(voter): chance.randbytes(64) for voter in range(quorum)}
    votes.update(dict(arms.high_qc().votes[: quorum - 1]))
    chosen = dict(sorted(votes.items())[:quorum])
    block_id = BlockId(chance.randbytes(32))
    return new_qc(epoch=Epoch(arms.cell.epoch), round_=round_, block_id=block_id, votes=chosen)


def _forged_tc(arms: Arms, round_: Round, qc: QC, chance: random.Random) -> TC:
    claims = [TimeoutClaim(voter, qc.round, b"", chance.randbytes(64)) for voter, _ in qc.votes]
    return new_tc(epoch=Epoch(arms.cell.epoch), round_=Round(round_ + 1), claims=claims, high_qc=qc)


def _block(arms: Arms, high_qc: QC, number: int) -> Block:
    genesis = genesis_block(agreed_cell(arms.cell))
    return new_block(
        epoch=Epoch(arms.cell.epoch),
        round_=Round(high_qc.round + 1),
        height=Height(1 + number),
        proposer=MemberIndex(arms.number - 1),
        time_ms=number,
        justify=high_qc,
        tc=None,
        batches=(),
        control=(),
        head=genesis.head,
        state_hash=genesis.state_hash,
    )


def _digests(arms: Arms) -> Sequence[BatchDigest]:
    for payload in reversed(arms.heard):
        message = decode_message(payload)
        if isinstance(message, Proposal) and message.block.batches:
            return [ref.digest for ref in message.block.batches][:20]
    return [BatchDigest(bytes(32))]


def _mutated(payload: bytes, chance: random.Random) -> bytes:
    changed = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    end = chance.randrange(1, len(changed) + 1) if chance.random() < 0.1 else len(changed)
    return bytes(changed[:end])
