"""One log: no fork, nothing lost, nothing twice, nothing invented, every head right.

The checker keeps the one chain that the whole group has committed: the first machine whose disk
holds a commit at a new height extends it, everybody after that must agree. So each block is looked
into once, however many machines there are, and agreement is one comparison of hashes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heptad.consensus.codec import vote_signing_bytes
from heptad.consensus.committee import Cell
from heptad.consensus.control import control_entries
from heptad.consensus.objects import (
    QC,
    BatchRef,
    Block,
    CommitProof,
    CommittedBlock,
    Cosignature,
    LogHead,
)
from heptad.consensus.ports import SignatureVerifier
from heptad.model.batch import Batch
from heptad.model.ids import BatchDigest, Height, MemberIndex, ValidatorNumber
from heptad.model.problems import Problem
from heptad.simulation.evidence_checker import EvidenceChecker
from heptad.simulation.leader_checker import LeaderChecker
from heptad.simulation.violations import Broken, ViolationError
from heptad.transparency.checkpoint import Checkpoint, cosigned_message
from heptad.transparency.merkle import CompactRange, leaf_hashes

if TYPE_CHECKING:
    from heptad.simulation.checkers import Watched


class LogChecker:
    """Follows the log of the group, and each machine's copy of it."""

    def __init__(
        self,
        *,
        cell: Cell,
        verifier: SignatureVerifier,
        honest: frozenset[MemberIndex],
        is_tolerable: bool,
        evidence: EvidenceChecker,
        leaders: LeaderChecker,
    ) -> None:
        self.chain: list[Block] = []
        self.records = 0
        self._cell = cell
        self._verifier = verifier
        self._honest = honest
        self._is_tolerable = is_tolerable
        self._evidence = evidence
        self._leaders = leaders
        self._machines: list[Watched] = []
        self._heights_told: dict[int, Height] = {}
        self._made: dict[BatchDigest, Batch] = {}
        self._committed_last: dict[ValidatorNumber, tuple[int, int]] = {}
        self._entries: set[bytes] = set()
        self._edge = CompactRange.empty()
        self._roots: dict[int, bytes] = {0: self._edge.root()}
        self._proven: set[bytes] = set()
        self._ahead: dict[int, Block] = {}

    def watch(self, who: "Watched") -> None:
        """Count `who` among those who must agree."""
        self._machines.append(who)
        self._heights_told[who.key] = Height(0)

    def submitted(self, batch: Batch) -> None:
        """A validator has made this batch."""
        self._made[batch.digest] = batch

    def is_committed_head(self, head: LogHead) -> bool:
        """True if the log had this head at some time, or somebody has jumped to it with a proof."""
        if any(block.head == head for block in self._ahead.values()):
            return True
        return self._roots.get(head.size) == head.root

    def is_signed(self, cosignature: Cosignature) -> bool:
        """True if the member's cosigning key signed this head, as witnesses sign."""
        head = cosignature.head
        body = Checkpoint(origin=self._cell.origin, size=head.size, root=head.root).body()
        try:
            self._verifier.verify(
                public_key=self._cell.committee.members[cosignature.member].cosign_key,
                message=cosigned_message(body, time_s=cosignature.time_s),
                signature=cosignature.signature,
            )
        except Problem:
            return False
        return True

    def last_committed(self, validator: ValidatorNumber) -> tuple[int, int] | None:
        """The last (incarnation, sequence) of a validator that the group has committed."""
        return self._committed_last.get(validator)

    def restarted(self, who: "Watched") -> None:
        """The sink of a new process is told from the disk's height on."""
        self._heights_told[who.key] = who.disk.height

    def written(self, who: "Watched", commits: Sequence[CommittedBlock]) -> None:
        """These commits are on `who`'s disk: compare or extend. Raises: ViolationError."""
        for commit in commits:
            block = commit.block
            if block.height <= len(self.chain):
                self._compare(who, block)
            elif commit.is_jump or block.height - 1 in self._ahead:
                # It has jumped over blocks that nobody who is watched has committed yet.
                self._require_same(who, self._ahead.setdefault(block.height, block), block)
            else:
                self._extend(who, block)
            if commit.first_index != block.head.size - block.entry_count:
                raise ViolationError(Broken.HEAD, f"{who.name}: first index {commit.first_index}")
            if commit.proof is not None:
                self._verify_proof(who, block, commit.proof)
        if commits and commits[-1].proof is None:
            raise ViolationError(
                Broken.UNPROVEN, f"{who.name}: no proof at height {commits[-1].block.height}"
            )

    def told(self, who: "Watched", commits: Sequence[CommittedBlock]) -> None:
        """Commits reach the sink: durable, in order, each once. Raises: ViolationError."""
        for commit in commits:
            height = commit.block.height
            if height != self._heights_told[who.key] + 1 and not commit.is_jump:
                raise ViolationError(
                    Broken.TWICE,
                    f"{who.name} tells height {height} after {self._heights_told[who.key]}",
                )
            held = who.disk.chain.get(height)
            if held is None or held.block.id != commit.block.id:
                raise ViolationError(
                    Broken.NOT_DURABLE, f"{who.name} tells height {height} before it is on disk"
                )
            self._heights_told[who.key] = height

    def _compare(self, who: "Watched", block: Block) -> None:
        self._require_same(who, self.chain[block.height - 1], block)

    def _require_same(self, who: "Watched", agreed: Block, block: Block) -> None:
        if agreed.id != block.id:
            raise ViolationError(
                Broken.FORK,
                f"height {block.height}: {who.name} commits {block.id.hex()[:8]} of round "
                f"{block.round}, others {agreed.id.hex()[:8]} of round {agreed.round}",
            )

    def _extend(self, who: "Watched", block: Block) -> None:
        self._require_same(who, self._ahead.pop(block.height, block), block)
        if block.height != len(self.chain) + 1:
            raise ViolationError(
                Broken.LOST, f"{who.name} commits height {block.height} on {len(self.chain)} blocks"
            )
        if self.chain:
            parent = self.chain[-1]
            if block.parent_id != parent.id:
                raise ViolationError(
                    Broken.FORK, f"{who.name}'s height {block.height} extends another block"
                )
            if block.round <= parent.round or block.time_ms < parent.time_ms:
                raise ViolationError(
                    Broken.VOTE_RULE, f"height {block.height} goes back in rounds or time"
                )
        if self._is_tolerable:
            self._leaders.extend(block)
        self._require_held(block)
        for ref in block.batches:
            self._take(ref)
        if block.control:
            self._evidence.committed(block)
            self._edge = self._edge.extended(leaf_hashes(control_entries(block)))
        if block.head != LogHead(self._edge.size, self._edge.root()):
            raise ViolationError(Broken.HEAD, f"the head of height {block.height} is wrong")
        self._roots[block.head.size] = block.head.root
        self.chain.append(block)

    def _require_held(self, block: Block) -> None:
        """A quorum voted, and whoever voted honestly had it all on disk before."""
        if not self._is_tolerable:
            return
        committee = self._cell.committee
        holders = sum(who.disk.holds(block) for who in self._machines if who.member in self._honest)
        wanted = committee.quorum - (committee.n - len(self._honest))
        if holders < wanted:
            raise ViolationError(
                Broken.LOST, f"height {block.height} is held by {holders} disks, {wanted} voted"
            )

    def _take(self, ref: BatchRef) -> None:
        batch = self._made.get(ref.digest)
        if batch is None or (ref.validator, ref.incarnation, ref.sequence, ref.count) != (
            batch.header.validator,
            batch.header.incarnation,
            batch.header.sequence,
            batch.header.count,
        ):
            raise ViolationError(Broken.INVENTED, f"{ref.id} was sent by no validator")
        last = self._committed_last.get(ref.validator)
        follows = last is not None and (ref.incarnation, ref.sequence) == (last[0], last[1] + 1)
        begins = ref.sequence == 0 and (last is None or ref.incarnation > last[0])
        if not (follows or begins):
            raise ViolationError(Broken.TWICE, f"{ref.id} is committed after {last}")
        self._committed_last[ref.validator] = (ref.incarnation, ref.sequence)
        entries = batch.entries()
        for entry in entries:
            if entry in self._entries:
                raise ViolationError(Broken.TWICE, f"a record of {ref.id} is in the log already")
            self._entries.add(entry)
        self.records += len(entries)
        self._edge = self._edge.extended(leaf_hashes(entries))

    def _verify_proof(self, who: "Watched", block: Block, proof: CommitProof) -> None:
        """Source: the commit rule of the design, the row "Commit proof" of its objects."""
        child = proof.child
        is_shaped = (
            child.justify.block_id == block.id
            and child.justify.round == block.round
            and child.round == block.round + 1
            and proof.child_qc.block_id == child.id
            and proof.child_qc.round == child.round
        )
        if not is_shaped or not (self._holds(child.justify) and self._holds(proof.child_qc)):
            raise ViolationError(
                Broken.UNPROVEN, f"{who.name}: the proof of height {block.height} does not hold"
            )

    def _holds(self, qc: QC) -> bool:
        if qc.encoded in self._proven:
            return True
        voters = {voter for voter, _ in qc.votes}
        if len(voters) < self._cell.committee.quorum or len(voters) != len(qc.votes):
            return False
        message = vote_signing_bytes(
            origin=self._cell.origin, epoch=qc.epoch, round_=qc.round, block_id=qc.block_id
        )
        members = self._cell.committee.members
        try:
            for voter, signature in qc.votes:
                self._verifier.verify(
                    public_key=members[voter].vote_key, message=message, signature=signature
                )
        except Problem:
            return False
        self._proven.add(qc.encoded)
        return True
