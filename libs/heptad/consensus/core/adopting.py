"""Adopting verified certificates, and committing what they commit.

The commit rule: a QC of C commits C's parent B iff C.round == B.round + 1, and with B all its
uncommitted ancestors, oldest first, found by walking justify hashes down to the last committed
block. Rounds that are not consecutive commit nothing, however many certificates there are.
"""

from heptad.consensus import facts
from heptad.consensus.chain import Wave
from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import RefusedError
from heptad.consensus.objects import QC, Block, CommitProof
from heptad.consensus.tree import Node, cosignable
from heptad.consensus.validity import committed_head
from heptad.consensus.verified import VerifiedQC, VerifiedTC


def adopt_qc(parts: Parts, verified: VerifiedQC) -> bool:
    """Learn a quorum certificate; True if it is higher than any before."""
    round_before = parts.rounds.round
    _look_for_two_votes(parts, verified.qc)
    look_for_own_past(parts)
    if not parts.rounds.adopt_qc(verified, parts.now_ms):
        return False
    parts.chain.certify(verified.qc.block_id)
    _compare_clocks(parts, verified.qc)
    if parts.rounds.round > round_before:
        parts.results.fact(facts.ROUND_ENTERED, round=parts.rounds.round, by="qc")
    commit_by(parts, verified)
    return True


def adopt_tc(parts: Parts, verified: VerifiedTC) -> bool:
    """Learn a time-out certificate and the quorum certificate in it; True if either is news."""
    is_news = adopt_qc(parts, verified.high_qc)
    round_before = parts.rounds.round
    is_news |= parts.rounds.adopt_tc(verified, parts.now_ms)
    if parts.rounds.round > round_before:
        parts.results.fact(facts.ROUND_ENTERED, round=parts.rounds.round, by="tc")
    return is_news


def commit_by(parts: Parts, verified: VerifiedQC) -> None:
    """Commit what this certificate commits, if its block and that block's parent are here."""
    tree = parts.chain.tree
    child = tree.get(verified.qc.block_id)
    if child is None or child is tree.root or child.block.round != verified.qc.round:
        return
    parent = tree.get(child.block.parent_id)
    if parent is None or parent is tree.root or child.block.round != parent.block.round + 1:
        return
    _commit(parts, parent, CommitProof(child.block, verified.qc))


def commit_chunk(parts: Parts) -> bool:
    """Commit a fetched chunk once its last block, which its proof is of, is in the tree.

    However the block came there: some may have come as proposals before the chunk did.
    """
    commit = parts.sync.chunk
    node = parts.chain.tree.get(commit.proof.block_id) if commit is not None else None
    if commit is None or node is None:
        return False
    _commit(parts, node, commit.proof)
    return True


def jump(parts: Parts) -> bool:
    """Go on from a snapshot that peers have proved, if nobody gives the blocks before it.

    What was promised stays promised: of the safety record only high_qc may rise. The head is
    cosigned only where its child alone says so, for the parent that might is not here.
    """
    snapshot = parts.sync.snapshot(parts.now_ms)
    if snapshot is None:
        return False
    before, proof = parts.chain.tree.root.block, snapshot.commit.proof
    node = parts.chain.tree.get(snapshot.block.id)
    if node is not None:
        _commit(parts, node, proof)
    else:
        parts.chain.jump(snapshot, parts.results)
        parts.rounds.pacemaker.committed()
        if proof.child.is_empty:
            _cosign_head(parts, parts.chain.tree.root)
        parts.results.fact(
            facts.JUMPED,
            height=before.height,
            to_height=snapshot.block.height,
            size=before.head.size,
            to_size=snapshot.block.head.size,
        )
        parts.sync.on_commit()
    adopt_qc(parts, snapshot.commit.child_qc)
    return True


def cosign_again(parts: Parts) -> None:
    """After a restart: the last cosignature may have been lost with the process; make it anew.

    A follower may have a record that says what was cosigned, and makes nothing anew.
    """
    head, record = committed_head(parts.chain.tree.root), parts.kernel.record
    if record.cosigned == head.head and not record.is_follower:
        time_s = parts.now_ms // 1000
        parts.results.cosignatures.append(parts.kernel.cosign(head, time_s=time_s))


def look_for_own_past(parts: Parts) -> None:
    """Sign no more where a signature of mine was verified of a later round than my record knows.

    Nobody else holds its key, and what it signs is durable before it is said: so the record is not
    the one by which that was signed. Its operator has said wrongly that it is new, or its disk is
    yesterday's copy. Any verified certificate will do, adopted or not: of a block that was fetched,
    of a commit, or a time-out of it in a TC.
    """
    record = parts.kernel.record
    known = max(record.round_voted, record.round_timed_out)
    round_ = parts.certificates.last_signed(parts.me)
    if round_ is None or round_ <= known or record.is_follower or not parts.heeds_own_past:
        return
    parts.kernel.retire()
    parts.results.fact(facts.RECORD_LOST, round=round_, round_known=known)


def _compare_clocks(parts: Parts, qc: QC) -> None:
    """Tell where the group's time is well ahead of mine: its blocks get no vote here, or soon none.

    Among a quorum are more than f honest members, and none votes for what is far ahead of its own
    clock. Half of what is tolerated is enough to tell, for some time has passed since the proposal.
    """
    node = parts.chain.tree.get(qc.block_id)
    if node is None:
        return
    ahead_ms = node.block.time_ms - parts.now_ms
    if ahead_ms > parts.limits.time_ahead_ms_max // 2:
        parts.results.fact(facts.CLOCK_BEHIND, time_ms=node.block.time_ms, ahead_ms=ahead_ms)


def _look_for_two_votes(parts: Parts, qc: QC) -> None:
    """Verify what contradicts a certificate: with the vote in it, it proves its voter guilty."""
    for vote in parts.rounds.votes.against(qc):
        try:
            parts.certificates.vote(vote)
        except RefusedError as error:
            parts.results.fact(facts.MESSAGE_REFUSED, sender=vote.voter, reason=str(error))


def _commit(parts: Parts, node: Node, proof: CommitProof) -> None:
    wave = parts.chain.commit(node.block.id, proof=proof, results=parts.results)
    parts.rounds.pacemaker.committed()
    _cosign(parts, wave, proof.child)
    parts.sync.on_commit()


def _cosign(parts: Parts, wave: Wave, child: Block) -> None:
    """Cosign the heads that the chain names; while catching up, only the last of each wave."""
    nodes = cosignable(wave.final, wave.before.block, child)
    if parts.sync.is_active:
        nodes = nodes[-1:]
    for node in nodes:
        _cosign_head(parts, node)


def _cosign_head(parts: Parts, node: Node) -> None:
    head = committed_head(node)
    if parts.kernel.record.is_follower or head.head == parts.kernel.record.cosigned:
        return
    try:
        cosignature = parts.kernel.cosign(head, time_s=parts.now_ms // 1000)
    except RefusedError as error:
        parts.results.fact(facts.COSIGN_REFUSED, size=head.head.size, reason=str(error))
    else:
        parts.results.cosignatures.append(cosignature)
