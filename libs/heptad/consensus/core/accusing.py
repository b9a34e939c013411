"""Misbehaviour that can be proved: noticed, kept, told to all others, and brought into the log.

Whoever first sees both signatures makes the proof, keeps it durably and tells everybody once;
whoever is told verifies it and does the same. So every honest leader soon has it, proposes it in a
block's control entries, and every voter verifies it once more. It is said again only with repeated
time-outs and to those who reconnect, until a committed block holds a proof of the same charge.

Where a round fails, what its leader signed is told to all others: so the two halves of a group that
were shown two blocks find each other.
"""

from heptad.consensus import facts
from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import RefusedError
from heptad.consensus.evidence import Evidence, decode_evidence, of_batches, of_votes
from heptad.consensus.messages import Accusation, Deposition
from heptad.consensus.objects import Vote
from heptad.model.batch import decode_batch
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex


def has_noticed(parts: Parts) -> bool:
    """True if there is something to make a proof of."""
    return parts.certificates.witness.has_found or parts.chain.has_rivals


def accuse(parts: Parts) -> None:
    """Make proofs of all that was noticed since the last call, and forget what is committed."""
    if has_noticed(parts):
        origin = parts.cell.origin
        for one, other in parts.certificates.witness.take():
            _take(parts, of_votes(one, other, origin=origin))
        for first, second in parts.chain.take_rivals():
            _take(parts, of_batches(decode_batch(first), decode_batch(second), origin=origin))
    parts.docket.forget(parts.chain.tree.root.state.proven)


def hear(parts: Parts, evidence: Evidence) -> None:
    """Somebody tells of a proof. One of a charge that is known is not even verified.

    Raises: RefusedError if it does not hold.
    """
    is_committed = evidence.charge in parts.chain.tree.root.state.proven
    if is_committed or evidence.charge in parts.docket:
        return
    parts.docket.add(evidence)
    _publish(parts, evidence)


def hear_ledger(parts: Parts, payload: bytes) -> None:
    """A ledger hands on what only it can see: replicas tell their cosignatures to nobody else."""
    try:
        hear(parts, decode_evidence(payload))
    except (RefusedError, MalformedError) as error:
        parts.results.fact(facts.MESSAGE_REFUSED, sender="ledger", reason=str(error))


def tell_again(parts: Parts, targets: tuple[MemberIndex, ...]) -> None:
    """Send what is not committed yet to whoever may have missed it."""
    for evidence in parts.docket.pending():
        parts.results.send(targets, Accusation(evidence))


def testify(parts: Parts, leader: MemberIndex) -> None:
    """Tell all others what the leader of this round signed, for the round comes to nothing.

    A leader that shows each half of the group another block gets neither certified, so nobody ever
    meets the other half's signature; and it is the reason that rounds fail.
    """
    vote = parts.certificates.witness.signed(leader, round_=parts.rounds.round)
    if vote is not None and leader != parts.me:
        parts.results.send(parts.others, Deposition(vote))


def listen(parts: Parts, vote: Vote) -> bool:
    """A member testifies what a leader signed: verified only where it contradicts what is known.

    True if it did. Raises: RefusedError.
    """
    witness = parts.certificates.witness
    is_news = witness.contradicts(vote.voter, round_=vote.round, block_id=vote.block_id)
    if is_news:
        parts.certificates.vote(vote)
    return is_news


def _take(parts: Parts, evidence: Evidence) -> None:
    try:
        hear(parts, evidence)
    except RefusedError as error:
        # Both sides were verified when they came, so this is a disk's doing, or a bug: no charge.
        parts.results.fact(facts.MESSAGE_REFUSED, sender=parts.me, reason=str(error))


def _publish(parts: Parts, evidence: Evidence) -> None:
    offence, accused = evidence.charge
    whose = "member" if evidence.charge.is_of_member else "validator"
    parts.results.fact(
        facts.EVIDENCE,
        **{whose: accused},
        accused=evidence.charge.name,
        offence=offence.name.lower(),
        proof=evidence.encoded,
    )
    parts.results.send(parts.others, Accusation(evidence))
