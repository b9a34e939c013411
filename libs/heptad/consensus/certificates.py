"""Checking signatures and quorums: what arrives goes in, what may be acted on comes out.

Rules, each with a test of its own:

- QC: exactly n - f distinct members, each signature over this epoch, round and block. Round 0 has
  one certificate, the genesis block's own, byte for byte.
- TC: exactly n - f distinct members; each high_qc_round < round; its QC verifies and its round
  *equals* the greatest claim. (A claim without the certificate behind it would let one liar demand
  a justify that nobody can show: TC poisoning.)
- Time-out: signature; its QC verifies at the claimed round; it shows why its sender is in this
  round: high_qc.round + 1 == round, or the TC of round - 1.
- Entry of a block: justify.round + 1 == round and no TC, or tc.round + 1 == round and justify.round
  >= the greatest claim.
- Commit proof: QC of the child, whose justify is a QC, rounds consecutive.

Verified certificates are remembered by the hash of all their bytes, so that the same QC in seven
time-outs costs one verification; a certificate made here from verified votes is remembered too. So
are single votes, by all that was verified: the QC in a proposal nearly always holds this replica's
own vote, and that of the proposer, which came with the proposal before.

All votes that were verified, wherever they came from, are shown to the `witness`. And of each
member it is remembered that it has signed, a vote or a time-out: one that believes itself new
learns that it is not from whatever certificate was verified, also if nothing came of that.
"""

from collections import OrderedDict
from hashlib import sha256

from heptad.consensus.codec import new_qc, new_tc, timeout_signing_bytes, vote_signing_bytes
from heptad.consensus.committee import Cell
from heptad.consensus.errors import ForgedError, RefusedError
from heptad.consensus.genesis import genesis_qc
from heptad.consensus.objects import QC, TC, Block, CommitProof, Timeout, TimeoutClaim, Vote
from heptad.consensus.ports import SignatureVerifier
from heptad.consensus.verified import (
    SEAL,
    VerifiedCommit,
    VerifiedEntry,
    VerifiedQC,
    VerifiedTC,
    VerifiedTimeout,
)
from heptad.consensus.witness import Witness
from heptad.model.ids import BlockId, Epoch, MemberIndex, Round
from heptad.model.problems import Problem

_REMEMBERED_MAX = 1_024


class Certificates:
    """Verifies for one cell and epoch. Every method raises RefusedError if something is wrong."""

    def __init__(self, cell: Cell, verifier: SignatureVerifier) -> None:
        self._origin = cell.origin
        self._epoch = cell.epoch
        self._committee = cell.committee
        self._verifier = verifier
        self._genesis_qc = genesis_qc(cell)
        self.witness = Witness(cell.epoch)
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._votes: OrderedDict[tuple[MemberIndex, bytes], bytes] = OrderedDict()
        self._signed: dict[MemberIndex, Round] = {}

    def last_signed(self, member: MemberIndex) -> Round | None:
        """The highest round of which a signature by this member was verified here; None if none."""
        return self._signed.get(member)

    def genesis(self) -> VerifiedQC:
        """The genesis block's certificate."""
        return VerifiedQC(self._genesis_qc, SEAL)

    def vote(self, vote: Vote) -> None:
        """Check one vote's epoch and signature."""
        self._require_epoch(vote.epoch, "vote")
        message = self._vote_bytes(vote.round, vote.block_id)
        if self._votes.get((vote.voter, vote.signature)) != message:
            self._signature(vote.voter, message, vote.signature)
            self.remember_vote(vote)

    def remember_vote(self, vote: Vote) -> None:
        """Need not check this vote again: it was checked, or this replica's kernel has made it."""
        message = self._vote_bytes(vote.round, vote.block_id)
        self._votes[(vote.voter, vote.signature)] = message
        self._has_signed(vote.voter, vote.round)
        self.witness.saw(
            vote.voter, round_=vote.round, block_id=vote.block_id, signature=vote.signature
        )
        if len(self._votes) > _REMEMBERED_MAX:
            self._votes.popitem(last=False)

    def qc(self, qc: QC) -> VerifiedQC:
        """Check a quorum certificate."""
        self._require_epoch(qc.epoch, "QC")
        if qc.round == 0:
            if qc.encoded != self._genesis_qc.encoded:
                raise RefusedError("a QC of round 0 that is not the genesis block's")
            return self.genesis()
        key = _key(qc)
        if key not in self._remembered:
            self._require_quorum([voter for voter, _ in qc.votes], f"QC of round {qc.round}")
            message = self._vote_bytes(qc.round, qc.block_id)
            for voter, signature in qc.votes:
                if self._votes.get((voter, signature)) != message:
                    self._signature(voter, message, signature)
                    self.witness.saw(
                        voter, round_=qc.round, block_id=qc.block_id, signature=signature
                    )
                self._has_signed(voter, qc.round)
            self._remember(key)
        return VerifiedQC(qc, SEAL)

    def tc(self, tc: TC) -> VerifiedTC:
        """Check a time-out certificate and the quorum certificate in it."""
        self._require_epoch(tc.epoch, "TC")
        key = _key(tc)
        is_new = key not in self._remembered
        if is_new:  # What costs nothing to see comes before the first signature.
            self._require_quorum([claim.voter for claim in tc.claims], f"TC of round {tc.round}")
            self._require_claims(tc)
        high_qc = self.qc(tc.high_qc)
        if is_new:
            for claim in tc.claims:
                self._claim(tc.round, claim)
            self._remember(key)
        return VerifiedTC(tc, high_qc, SEAL)

    def timeout(self, timeout: Timeout) -> VerifiedTimeout:
        """Check a time-out's signature and certificates."""
        self._require_epoch(timeout.epoch, "time-out")
        if timeout.fast_vote:
            raise RefusedError(f"{len(timeout.fast_vote)} bytes of fast_vote, which is reserved")
        follows_qc = timeout.high_qc.round + 1 == timeout.round
        if not follows_qc:
            _require_entered_by_tc(timeout)
        high_qc = self.qc(timeout.high_qc)
        tc = self.tc(timeout.tc) if timeout.tc is not None and not follows_qc else None
        claim = TimeoutClaim(
            timeout.voter, timeout.high_qc.round, timeout.fast_vote, timeout.signature
        )
        self._claim(timeout.round, claim)
        return VerifiedTimeout(timeout, high_qc, tc, SEAL)

    def entry(self, block: Block) -> VerifiedEntry:
        """Check the certificates that a block carries, and that they enter its round."""
        self._require_epoch(block.epoch, "block")
        if block.justify.round >= block.round:
            raise RefusedError(f"justify of round {block.justify.round} >= round {block.round}")
        if block.tc is None:
            if block.justify.round + 1 != block.round:
                raise RefusedError(
                    f"no TC, and justify of round {block.justify.round} "
                    f"does not enter round {block.round}"
                )
            return VerifiedEntry(block.id, self.qc(block.justify), None, SEAL)
        if block.tc.round + 1 != block.round:
            raise RefusedError(f"TC of round {block.tc.round} does not enter round {block.round}")
        if block.justify.round < block.tc.high_qc_round:
            raise RefusedError(
                f"justify of round {block.justify.round} < {block.tc.high_qc_round} "
                f"claimed in the TC of round {block.tc.round}"
            )
        return VerifiedEntry(block.id, self.qc(block.justify), self.tc(block.tc), SEAL)

    def proposer(self, block: Block, signature: bytes) -> Vote:
        """Check a proposal's signature, which is its proposer's vote; return that vote."""
        vote = Vote(block.epoch, block.round, block.id, block.proposer, signature)
        self.vote(vote)
        return vote

    def commit(self, proof: CommitProof) -> VerifiedCommit:
        """Check a commit proof."""
        child, child_qc = proof.child, proof.child_qc
        if child_qc.block_id != child.id or child_qc.round != child.round:
            raise RefusedError(f"commit proof: QC of round {child_qc.round} is not of the child")
        if child.round != child.justify.round + 1:
            raise RefusedError(
                f"commit proof: child of round {child.round} "
                f"does not directly follow round {child.justify.round}"
            )
        verified = self.qc(child_qc)
        self.entry(child)
        return VerifiedCommit(proof, verified, SEAL)

    def qc_of_votes(
        self, *, round_: Round, block_id: BlockId, votes: dict[MemberIndex, bytes]
    ) -> VerifiedQC:
        """Make a certificate of a quorum of votes, each of which `vote` has let pass."""
        assert len(votes) == self._committee.quorum, len(votes)
        qc = new_qc(epoch=self._epoch, round_=round_, block_id=block_id, votes=votes)
        self._remember(_key(qc))
        return VerifiedQC(qc, SEAL)

    def tc_of_timeouts(self, timeouts: list[VerifiedTimeout]) -> VerifiedTC:
        """Make a certificate of a quorum of time-outs of one round by distinct members."""
        assert len(timeouts) == self._committee.quorum, len(timeouts)
        values = [verified.timeout for verified in timeouts]
        high_qc = max((value.high_qc for value in values), key=lambda qc: qc.round)
        claims = [
            TimeoutClaim(value.voter, value.high_qc.round, value.fast_vote, value.signature)
            for value in values
        ]
        tc = new_tc(epoch=self._epoch, round_=values[0].round, claims=claims, high_qc=high_qc)
        self._remember(_key(tc))
        return VerifiedTC(tc, VerifiedQC(high_qc, SEAL), SEAL)

    def _require_claims(self, tc: TC) -> None:
        for claim in tc.claims:
            if claim.fast_vote:
                raise RefusedError(f"{len(claim.fast_vote)} bytes of fast_vote in a TC")
            if claim.high_qc_round >= tc.round:
                raise RefusedError(
                    f"TC of round {tc.round}: claim {claim.high_qc_round} by {claim.voter}"
                )
        if tc.high_qc.round != tc.high_qc_round:
            raise RefusedError(
                f"TC of round {tc.round}: its QC has round {tc.high_qc.round}, "
                f"the greatest claim is {tc.high_qc_round}"
            )

    def _require_quorum(self, signers: list[MemberIndex], what: str) -> None:
        if len(signers) != self._committee.quorum or len(set(signers)) != len(signers):
            raise ForgedError(
                f"{what}: {len(set(signers))} distinct of {len(signers)} signers, "
                f"{self._committee.quorum} make a quorum"
            )

    def _require_epoch(self, epoch: Epoch, what: str) -> None:
        if epoch != self._epoch:
            raise RefusedError(f"{what} of epoch {epoch}, this is epoch {self._epoch}")

    def _vote_bytes(self, round_: Round, block_id: BlockId) -> bytes:
        return vote_signing_bytes(
            origin=self._origin, epoch=self._epoch, round_=round_, block_id=block_id
        )

    def _claim(self, round_: Round, claim: TimeoutClaim) -> None:
        message = timeout_signing_bytes(
            origin=self._origin,
            epoch=self._epoch,
            round_=round_,
            high_qc_round=claim.high_qc_round,
            fast_vote=claim.fast_vote,
        )
        self._signature(claim.voter, message, claim.signature)
        self._has_signed(claim.voter, round_)

    def _signature(self, signer: MemberIndex, message: bytes, signature: bytes) -> None:
        if signer >= self._committee.n:
            raise ForgedError(f"member {signer} of a group of {self._committee.n}")
        key = self._committee.members[signer].vote_key
        try:
            self._verifier.verify(public_key=key, message=message, signature=signature)
        except Problem as problem:
            raise ForgedError(f"signature of member {signer}: {problem.detail}") from problem

    def _has_signed(self, member: MemberIndex, round_: Round) -> None:
        self._signed[member] = max(round_, self._signed.get(member, round_))

    def _remember(self, key: bytes) -> None:
        self._remembered[key] = None
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)


def _require_entered_by_tc(timeout: Timeout) -> None:
    """Refuse a time-out that shows neither the QC nor the TC which entered its round."""
    if timeout.high_qc.round >= timeout.round:
        raise RefusedError(
            f"time-out of round {timeout.round} with a QC of round {timeout.high_qc.round}"
        )
    if timeout.tc is None or timeout.tc.round + 1 != timeout.round:
        raise RefusedError(f"time-out of round {timeout.round} does not show what entered it")


def _key(certificate: QC | TC) -> bytes:
    """Kind and bytes: what was verified as a QC must not pass as a TC."""
    kind = b"qc" if isinstance(certificate, QC) else b"tc"
    return sha256(kind + certificate.encoded).digest()
