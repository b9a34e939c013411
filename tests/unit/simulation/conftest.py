"""Fabricated histories: blocks, certificates and disks made by hand, for checkers to judge."""

from dataclasses import dataclass, replace
from random import Random

import pytest

from heptad.consensus.codec import new_block, new_qc, vote_signing_bytes
from heptad.consensus.committee import Cell, Committee, Member, Validator
from heptad.consensus.genesis import genesis_block, genesis_qc
from heptad.consensus.messages import Proposal
from heptad.consensus.objects import (
    QC,
    TC,
    BatchRef,
    Block,
    CommitProof,
    CommittedBlock,
    Cosignature,
    LogHead,
    Vote,
)
from heptad.consensus.ready import Persist
from heptad.model.batch import Batch, batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import Epoch, Height, LogIndex, MemberIndex, Round, ValidatorNumber
from heptad.simulation.checkers import Checkers
from heptad.simulation.disk import Disk
from heptad.simulation.keys import FakeKeys
from heptad.transparency.checkpoint import Checkpoint, cosigned_message
from heptad.transparency.merkle import CompactRange, leaf_hashes

ORIGIN = "test.example/cell"


@dataclass
class Replica:
    """A machine as the checkers see it, and nothing more."""

    key: int
    disk: Disk

    @property
    def member(self):
        return MemberIndex(self.key)

    @property
    def name(self):
        return f"replica-{self.key + 1}"


class Forge:
    """Makes the objects of four members' and one validator's histories, rightly signed."""

    def __init__(self):
        self.keys = FakeKeys(1)
        members = tuple(
            Member(self.keys.public_key("vote", i), self.keys.public_key("cosign", i))
            for i in range(4)
        )
        validator = Validator(ValidatorNumber(1), self.keys.public_key("batch", 1))
        self.cell = Cell(ORIGIN, Epoch(1), Committee(members), (validator,))
        self.genesis = genesis_block(self.cell)
        self.genesis_qc = genesis_qc(self.cell)
        self.edges = {self.genesis.id: CompactRange.empty()}

    def vote(self, block, voter):
        message = vote_signing_bytes(
            origin=ORIGIN, epoch=Epoch(1), round_=block.round, block_id=block.id
        )
        signature = self.keys.signer("vote", voter).sign(message)
        return Vote(Epoch(1), block.round, block.id, MemberIndex(voter), signature)

    def qc(self, block, voters=(0, 1, 2)):
        votes = {MemberIndex(voter): self.vote(block, voter).signature for voter in voters}
        return new_qc(epoch=Epoch(1), round_=block.round, block_id=block.id, votes=votes)

    def batch(self, sequence, *entries, incarnation=0):
        batch = unsigned_batch(
            validator=ValidatorNumber(1), incarnation=incarnation, sequence=sequence,
            created_ms=0, records=[(entry, b"") for entry in entries],
        )  # fmt: skip
        message = batch_signing_bytes(origin=ORIGIN, digest=batch.digest)
        return signed(batch, self.keys.signer("batch", 1).sign(message))

    def block(
        self, parent, *batches, round_=None, tc: TC | None = None, justify: QC | None = None,
        **changes,
    ) -> Block:  # fmt: skip
        edge = self.edges[parent.id]
        for batch in batches:
            edge = edge.extended(leaf_hashes(batch.entries()))
        if justify is None:
            justify = self.genesis_qc if parent is self.genesis else self.qc(parent)
        fields = {
            "epoch": Epoch(1), "round_": Round(parent.round + 1 if round_ is None else round_),
            "height": Height(parent.height + 1), "proposer": MemberIndex(0), "time_ms": 1_000,
            "justify": justify, "tc": tc, "batches": tuple(ref_of(batch) for batch in batches),
            "control": (), "head": LogHead(edge.size, edge.root()), "state_hash": bytes(32),
        }  # fmt: skip
        block = new_block(**{**fields, **changes})
        self.edges[block.id] = edge
        return block

    def proof(self, block):
        child = self.block(block)
        return CommitProof(child, self.qc(child))

    def commit(self, block, *, proof=None, has_proof=True):
        first = block.head.size - sum(ref.count for ref in block.batches)
        if has_proof and proof is None:
            proof = self.proof(block)
        return CommittedBlock(block, LogIndex(first), proof)

    def proposal(self, block):
        return Proposal(block, self.vote(block, block.proposer).signature)

    def cosignature(self, head, member=0, signer=None):
        body = Checkpoint(origin=ORIGIN, size=head.size, root=head.root).body()
        key = self.keys.signer("cosign", member if signer is None else signer)
        signature = key.sign(cosigned_message(body, time_s=1))
        return Cosignature(MemberIndex(member), head, 1, signature)


def ref_of(batch: Batch) -> BatchRef:
    header = batch.header
    return BatchRef(
        header.validator, header.incarnation, header.sequence, batch.digest, header.count,
        len(encode_batch(batch)),
    )  # fmt: skip


class Scene:
    """Four watched replicas under one set of checkers."""

    def __init__(self, faulty=()):
        self.forge = Forge()
        self.checkers = Checkers(
            cell=self.forge.cell, verifier=self.forge.keys, faulty=frozenset(faulty)
        )
        self.replicas = [Replica(index, Disk(Random(index))) for index in range(4)]
        self.batches = {}
        for replica in self.replicas:
            self.checkers.watch(replica)

    def submit(self, *batches):
        for batch in batches:
            self.batches[batch.digest] = batch
            self.checkers.submitted(batch)

    def store(self, replica, block, *, record=b"record"):
        """Put header and batches of a block on a disk, as before a vote."""
        persist = Persist(
            record=record,
            blocks=(block,),
            batches=tuple(
                (ref.digest, encode_batch(self.batches[ref.digest]))
                for ref in block.batches
                if ref.digest in self.batches
            ),
        )
        self.write(replica, persist)

    def store_everywhere(self, block):
        for replica in self.replicas:
            self.store(replica, block)

    def write(self, replica, persist):
        replica.disk.write(persist)
        self.checkers.written(replica, persist)

    def commit(self, replica, *commits):
        """Have a replica commit blocks that every disk holds."""
        self.write(replica, Persist(commits=commits))

    def vote(self, replica, block):
        """A vote that keeps every rule: stored first, recorded, then released."""
        vote = self.forge.vote(block, replica.key)
        self.store(replica, block, record=b"record " + vote.signature)
        self.checkers.released(replica, vote)
        self.checkers.settled(replica, is_whole=True)


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def make_scene():
    return Scene


@pytest.fixture
def swapped():
    """`dataclasses.replace`, for objects that a test bends."""
    return replace
