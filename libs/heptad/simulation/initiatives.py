"""Initiatives: what a villain does of his own accord, whatever his core wants to say."""

from dataclasses import replace

from heptad.consensus.evidence import of_cosignatures, of_votes
from heptad.consensus.messages import Accusation, Proposal, decode_message, encode_message
from heptad.consensus.objects import LogHead, Vote
from heptad.model.canonical import MalformedError
from heptad.model.ids import BlockId, Round
from heptad.simulation.byzantine import Sending, Villain
from heptad.simulation.clock import START_MS
from heptad.simulation.lies import flipped


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
    damaged = [flipped(villain, old) for old in villain.memory[-3:] if old]
    return [Sending(villain.some(), payload) for payload in (rubbish, *damaged)]


def slander(villain: Villain) -> list[Sending]:
    """Accuse somebody of two votes: the one he gave, and one that he never did."""
    given = _vote_of_another(villain)
    if given is None:
        return []
    own = villain.vote(BlockId(villain.rng.randbytes(32)), given.round)
    # What he has heard may be another villain's, and in an epoch that does not exist.
    invented = replace(own, voter=given.voter, epoch=given.epoch)
    proof = of_votes(given, invented, origin=villain.cell.origin)
    return [Sending(villain.some(), encode_message(Accusation(proof)))]


def confess(villain: Villain) -> list[Sending]:
    """Prove himself guilty: two votes of one round, or two heads of one size."""
    if villain.high_qc is None:
        return []
    one, other = villain.rng.randbytes(32), villain.rng.randbytes(32)
    if villain.rng.random() < 0.5:
        votes = [villain.vote(BlockId(each), villain.high_qc.round) for each in (one, other)]
        proof = of_votes(*votes, origin=villain.cell.origin)
    else:
        heads = [LogHead(1 + villain.rng.randrange(9), each) for each in (one, other)]
        heads[1] = replace(heads[1], size=heads[0].size)
        signed = [villain.cosignature(head, START_MS // 1000) for head in heads]
        proof = of_cosignatures(
            *signed, root_before=max(one, other), proof=(), origin=villain.cell.origin
        )
    return [Sending(villain.some(), encode_message(Accusation(proof)))]


def _vote_of_another(villain: Villain) -> Vote | None:
    for payload in villain.rng.sample(villain.memory, min(20, len(villain.memory))):
        try:
            message = decode_message(payload)
        except MalformedError:
            continue
        if isinstance(message, Vote) and message.voter != villain.me:
            return message
        if isinstance(message, Proposal) and message.block.proposer != villain.me:
            block = message.block
            return Vote(block.epoch, block.round, block.id, block.proposer, message.signature)
    return None
