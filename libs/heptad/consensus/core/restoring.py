"""Building a replica's parts, from nothing or from what its disk kept.

A restart needs no mode of its own: the record gives the certificates and so the round, the stored
state gives the root, and the stored headers go through the same validation as any others.
"""

from dataclasses import replace

from heptad.consensus.allowance import Allowances, MeteredVerifier
from heptad.consensus.certificates import Certificates
from heptad.consensus.chain import Chain, decode_committed
from heptad.consensus.codec import decode_block
from heptad.consensus.committee import Cell
from heptad.consensus.core.parts import Parts
from heptad.consensus.decoding import Decoding
from heptad.consensus.docket import Docket
from heptad.consensus.errors import RecordDamagedError, RefusedError
from heptad.consensus.genesis import genesis_qc
from heptad.consensus.judging import Judge
from heptad.consensus.kernel.record import FOLLOWER, decode_record, first_record
from heptad.consensus.kernel.rules import Kernel
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Proposal
from heptad.consensus.objects import SafetyRecord
from heptad.consensus.parking import Parked
from heptad.consensus.pool import BatchReader
from heptad.consensus.ports import Restored, SignatureVerifier, Signer
from heptad.consensus.results import Results
from heptad.consensus.rounds import Rounds
from heptad.consensus.sync import Sync
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex, ValidatorNumber


def restore(
    *,
    cell: Cell,
    me: MemberIndex,
    limits: Limits,
    vote_signer: Signer | None,
    cosigner: Signer | None,
    verifier: SignatureVerifier,
    restored: Restored | None,
    decoding: Decoding,
) -> Parts:
    """All parts of one replica. Raises: RecordDamagedError."""
    meter = MeteredVerifier(verifier)
    certificates = Certificates(cell, meter)
    record = _record(cell, me, restored, is_follower=vote_signer is None)
    kernel = Kernel(cell=cell, me=me, vote_signer=vote_signer, cosigner=cosigner, record=record)
    others = cell.committee.others(me)
    reader = BatchReader(cell, meter, decoding.batch)
    judge = Judge(cell, meter)
    docket = Docket(judge)
    try:
        docket.restore(restored.evidence if restored is not None else b"")
        root = decode_committed(restored.state if restored is not None else None, cell)
        rounds = Rounds(
            committee=cell.committee,
            limits=limits,
            record=record,
            learner=kernel,
            certificates=certificates,
        )
    except (MalformedError, RefusedError) as error:
        raise RecordDamagedError(f"stored state: {error}") from error
    chain = Chain(
        cell=cell,
        limits=limits,
        certificates=certificates,
        judge=judge,
        others=others,
        root=root,
    )
    sync = Sync(limits=limits, chain=chain, certificates=certificates, reader=reader, others=others)
    parts = Parts(
        cell=cell,
        me=me,
        others=others,
        limits=limits,
        certificates=certificates,
        kernel=kernel,
        reader=reader,
        chain=chain,
        rounds=rounds,
        sync=sync,
        docket=docket,
        meter=meter,
        peers=Allowances(others, limits=limits, work_us_per_ms=limits.peer_work_us_per_ms),
        validators=_validators(cell, limits),
    )
    if restored is not None:
        _restore_tree(parts, restored)
    return parts


def stored_proposal(record: SafetyRecord) -> Proposal | None:
    """The last proposal made, bit for bit."""
    if record.proposal is None:
        return None
    header, vote = record.proposal
    return Proposal(decode_block(header), vote.signature)


def _validators(cell: Cell, limits: Limits) -> Allowances[ValidatorNumber]:
    numbers = [validator.number for validator in cell.validators]
    return Allowances(numbers, limits=limits, work_us_per_ms=limits.validator_work_us_per_ms)


def may_sign(restored: Restored | None, *, is_new: bool) -> bool:
    """True if the keys of this member may be used: its record is here, or it has never signed.

    That it is new can only be said of an empty store: where blocks are and no record is, there was
    one. And a follower stays one, for its record says nothing of what its key has signed before.
    """
    if restored is None:
        return is_new
    return restored.record is not None and restored.record[:1] != bytes([FOLLOWER])


def _record(
    cell: Cell, me: MemberIndex, restored: Restored | None, *, is_follower: bool
) -> SafetyRecord:
    if restored is None or restored.record is None:
        return first_record(cell.epoch, genesis_qc(cell), is_follower=is_follower)
    record = decode_record(restored.record, origin=cell.origin, member=me)
    if record.epoch != cell.epoch:
        raise RecordDamagedError(f"record of epoch {record.epoch}, this is epoch {cell.epoch}")
    return replace(record, is_follower=record.is_follower or is_follower)


def _restore_tree(parts: Parts, restored: Restored) -> None:
    """Put stored batches into the pool and stored headers, lowest first, into the tree.

    What cannot be put there (an orphan, a batch gone) is left out: it can be fetched again. Headers
    that a commit has overtaken are dropped with the first write.
    """
    chain, positions = parts.chain, parts.chain.tree.root.state.positions
    for encoded in restored.batches:
        batch = parts.reader.decode(encoded)
        position = positions.get(batch.header.validator, (-1, -1))
        if (batch.header.incarnation, batch.header.sequence) > position:
            chain.add_batch(parts.reader.trusted(batch, encoded, now_ms=0))
            chain.pool.mark(batch.digest, is_durable=True)
    for block in sorted(map(decode_block, restored.blocks), key=lambda each: each.round):
        if block.height > chain.tree.root.block.height:
            entry = parts.certificates.entry(block)
            chain.park_proposal(Parked(block, entry, None, False, parts.me))
        else:
            parts.results.blocks_dropped.append(block.id)
    for arrival in chain.advance(keep=parts.rounds.high_qc.qc.block_id, results=Results()):
        arrival.node.is_durable = True
    chain.forget(parts.rounds.round, parts.results)
