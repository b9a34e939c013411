"""The rules by which a member signs. Model-checked: each one, left out, let a group fork.

- vote(B) iff B.epoch is mine, B.round > round_voted, B.round > round_timed_out, and either
  justify.round + 1 == B.round with no TC, or tc.round + 1 == B.round and justify.round >= the
  greatest high_qc_round in the TC. (The same block again: the stored vote,
  unless the round was timed out since.)
- propose(B) iff vote(B) and B.round > round_proposed: a leader's signature is its vote.
- timeout(r) iff r >= round_voted and r >= round_timed_out, and r follows high_qc or highest_tc.
  (The same round again: the stored bytes, unless high_qc has grown since.)
- high_qc and highest_tc never decrease.
- cosign(head) iff it is no smaller than the last, and equal to it if it has the same size.
- A follower, whose key may have signed what is not in its record, signs nothing.

The kernel is the only holder of the two signers. It keeps its record in memory; `take_record` gives
the bytes that must be durable before anything signed since the last call leaves the process.
"""

from dataclasses import replace

from heptad.consensus.codec import new_timeout, timeout_signing_bytes, vote_signing_bytes
from heptad.consensus.committee import Cell
from heptad.consensus.errors import RefusedError
from heptad.consensus.kernel.record import encode_record
from heptad.consensus.objects import Block, Cosignature, SafetyRecord, Timeout, Vote
from heptad.consensus.ports import Signer
from heptad.consensus.verified import VerifiedBlock, VerifiedHead, VerifiedQC, VerifiedTC
from heptad.model.ids import MemberIndex, Round
from heptad.transparency.checkpoint import Checkpoint, cosigned_message


class Kernel:
    """Signs for one member of one cell, within the rules and never outside them.

    Every signing method raises RefusedError, with the numbers, where a rule says no, and then
    nothing has changed.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        me: MemberIndex,
        vote_signer: Signer | None,
        cosigner: Signer | None,
        record: SafetyRecord,
    ) -> None:
        assert (vote_signer is None) == (cosigner is None), "a member has both keys, or neither"
        self._cell, self._me, self._record = cell, me, record
        self._vote_signer, self._cosigner = vote_signer, cosigner
        self._has_signed = False

    @property
    def record(self) -> SafetyRecord:
        """What has been signed and learned so far."""
        return self._record

    def retire(self) -> None:
        """Sign nothing from now on, in this process or any later one."""
        self._record, self._has_signed = replace(self._record, is_follower=True), True

    def take_record(self, *, always: bool = False) -> bytes | None:
        """The record's bytes if anything was signed since the last call (or `always`), else None.

        What was only learned needs no write of its own: it is in the next record, and so durable no
        later than the first signature that depends on it.
        """
        if not (self._has_signed or always):
            return None
        self._has_signed = False
        return encode_record(self._record, origin=self._cell.origin, member=self._me)

    def learn_qc(self, verified: VerifiedQC) -> None:
        """Raise high_qc, if this one is higher."""
        if verified.qc.round > self._record.high_qc.round:
            self._record = replace(self._record, high_qc=verified.qc)

    def learn_tc(self, verified: VerifiedTC) -> None:
        """Raise highest_tc, if this one is higher, and high_qc by the certificate in it."""
        highest = self._record.highest_tc
        if highest is None or verified.tc.round > highest.round:
            self._record = replace(self._record, highest_tc=verified.tc)
        self.learn_qc(verified.high_qc)

    def vote(self, verified: VerifiedBlock) -> Vote:
        """Vote for a block, or give the stored vote if it is the block voted for last."""
        block, stored = verified.block, self._record.vote
        is_open = block.round > self._record.round_timed_out
        if stored is not None and stored.block_id == block.id and is_open:
            return stored
        self._require_votable(block)
        return self._sign_vote(verified)

    def propose(self, verified: VerifiedBlock) -> Vote:
        """Sign a block of my own; what comes back is its proposal's signature and my vote."""
        block = verified.block
        if block.proposer != self._me:
            raise RefusedError(f"block by {block.proposer} proposed as member {self._me}")
        if block.round <= self._record.round_proposed:
            raise RefusedError(
                f"round {block.round} <= round_proposed {self._record.round_proposed}"
            )
        self._require_votable(block)
        vote = self._sign_vote(verified)
        self._record = replace(
            self._record, round_proposed=block.round, proposal=(block.encoded, vote)
        )
        return vote

    def timeout(self, round_: Round) -> Timeout:
        """Give up on `round_`, with the highest certificates known."""
        record = self._record
        stored, high_qc = record.timeout, record.high_qc
        if stored is not None and stored.round == round_ and stored.high_qc.round == high_qc.round:
            return stored
        if round_ < record.round_voted or round_ < record.round_timed_out:
            raise RefusedError(
                f"time-out of round {round_} < round_voted {record.round_voted} "
                f"or round_timed_out {record.round_timed_out}"
            )
        tc = None if high_qc.round + 1 == round_ else record.highest_tc
        if high_qc.round >= round_ or (high_qc.round + 1 != round_ and tc is None):
            raise RefusedError(f"round {round_} does not follow high_qc {high_qc.round}")
        if tc is not None and tc.round + 1 != round_:
            raise RefusedError(f"round {round_} follows neither high_qc {high_qc.round} nor a TC")
        message = timeout_signing_bytes(
            origin=self._cell.origin,
            epoch=record.epoch,
            round_=round_,
            high_qc_round=high_qc.round,
            fast_vote=b"",
        )
        timeout = new_timeout(
            epoch=record.epoch,
            round_=round_,
            high_qc=high_qc,
            tc=tc,
            fast_vote=b"",
            voter=self._me,
            signature=self._sign(self._vote_signer, message),
        )
        self._record = replace(record, round_timed_out=round_, timeout=timeout)
        self._has_signed = True
        return timeout

    def cosign(self, verified: VerifiedHead, *, time_s: int) -> Cosignature:
        """Cosign the head of a committed block, as a witness of the log.

        `time_s` is Unix time in seconds. The same head may be cosigned again, with a later time.
        """
        head, last = verified.head, self._record.cosigned
        if last is not None and head.size < last.size:
            raise RefusedError(f"head of size {head.size} < size {last.size} cosigned before")
        if last is not None and head.size == last.size and head.root != last.root:
            raise RefusedError(f"two roots for size {head.size}")
        body = Checkpoint(origin=self._cell.origin, size=head.size, root=head.root).body()
        signature = self._sign(self._cosigner, cosigned_message(body, time_s=time_s))
        self._record = replace(self._record, cosigned=head)
        self._has_signed = True
        return Cosignature(self._me, head, time_s, signature)

    def _require_votable(self, block: Block) -> None:
        record = self._record
        if block.epoch != record.epoch:
            raise RefusedError(f"block of epoch {block.epoch}, this is epoch {record.epoch}")
        if block.round <= record.round_voted:
            raise RefusedError(f"round {block.round} <= round_voted {record.round_voted}")
        if block.round <= record.round_timed_out:
            raise RefusedError(f"round {block.round} <= round_timed_out {record.round_timed_out}")
        tc, justify_round = block.tc, block.justify.round
        if tc is None:
            if justify_round + 1 != block.round:
                raise RefusedError(f"justify {justify_round} does not enter round {block.round}")
        elif tc.round + 1 != block.round or justify_round < tc.high_qc_round:
            raise RefusedError(
                f"TC {tc.round} with a claim {tc.high_qc_round} and justify {justify_round} "
                f"do not enter round {block.round}"
            )

    def _sign_vote(self, verified: VerifiedBlock) -> Vote:
        """Sign, and learn what the vote depends on: both go into one record."""
        block = verified.block
        message = vote_signing_bytes(
            origin=self._cell.origin, epoch=block.epoch, round_=block.round, block_id=block.id
        )
        signature = self._sign(self._vote_signer, message)
        vote = Vote(block.epoch, block.round, block.id, self._me, signature)
        self._record = replace(self._record, round_voted=block.round, vote=vote)
        self._has_signed = True
        self.learn_qc(verified.entry.justify)
        if verified.entry.tc is not None:
            self.learn_tc(verified.entry.tc)
        return vote

    def _sign(self, signer: Signer | None, message: bytes) -> bytes:
        if signer is None or self._record.is_follower:
            raise RefusedError("a follower signs nothing")
        return signer.sign(message)
