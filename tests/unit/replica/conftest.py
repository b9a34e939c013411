"""Chains of well-formed blocks and batches for a store that checks nothing of them."""

from dataclasses import dataclass

import pytest

from heptad.consensus.codec import new_block, new_qc
from heptad.consensus.objects import BatchRef, Block, CommitProof, CommittedBlock, LogHead
from heptad.consensus.ready import Persist
from heptad.model.batch import encode_batch, signed, unsigned_batch
from heptad.model.ids import Epoch, Height, LogIndex, MemberIndex, Round, ValidatorNumber

ROOT = bytes(32)
SIGNATURE = bytes(64)


@dataclass
class Chain:
    """Makes blocks one on top of the other; nothing in it is signed."""

    parent: Block | None = None
    sequence: int = 0
    size: int = 0

    def batch(self, count: int, *, validator: int = 1) -> tuple[BatchRef, bytes]:
        """The next batch of a validator, and its reference."""
        records = [(b"entry %d" % n, b"sealed %d" % n) for n in range(count)]
        batch = signed(
            unsigned_batch(
                validator=ValidatorNumber(validator),
                incarnation=1,
                sequence=self.sequence,
                created_ms=1,
                records=records,
            ),
            SIGNATURE,
        )
        encoded = encode_batch(batch)
        ref = BatchRef(
            ValidatorNumber(validator), 1, self.sequence, batch.digest, count, len(encoded)
        )
        self.sequence += 1
        return ref, encoded

    def block(
        self, *refs: BatchRef, round_: int | None = None, control: tuple[bytes, ...] = ()
    ) -> Block:
        """The child of the last block."""
        height = 1 if self.parent is None else self.parent.height + 1
        parent_id = bytes(32) if self.parent is None else self.parent.id
        number = Round(height if round_ is None else round_)
        self.size += sum(ref.count for ref in refs) + len(control)
        self.parent = new_block(
            epoch=Epoch(0),
            round_=number,
            height=Height(height),
            proposer=MemberIndex(0),
            time_ms=1_000 + height,
            justify=new_qc(epoch=Epoch(0), round_=Round(number - 1), block_id=parent_id, votes={}),
            tc=None,
            batches=refs,
            control=control,
            head=LogHead(self.size, ROOT),
            state_hash=ROOT,
        )
        return self.parent

    def commit(self, block: Block, *, proven: bool = True) -> CommittedBlock:
        """The block as final, its proof being the next round's made-up certificate."""
        first = block.head.size - block.entry_count
        if not proven:
            return CommittedBlock(block, LogIndex(first), None)
        child = Chain(parent=block, size=block.head.size).block(round_=block.round + 1)
        qc = new_qc(epoch=Epoch(0), round_=child.round, block_id=child.id, votes={})
        return CommittedBlock(block, LogIndex(first), CommitProof(child, qc))

    def grow(self, blocks: int, *, count: int = 3) -> Persist:
        """So many committed blocks with a batch each, as one wave."""
        batches = [self.batch(count) for _ in range(blocks)]
        made = [self.block(ref) for ref, _ in batches]
        return Persist(
            record=b"record %d" % self.sequence,
            blocks=tuple(made),
            batches=tuple((ref.digest, encoded) for ref, encoded in batches),
            commits=tuple(self.commit(block) for block in made),
            state=b"state %d" % self.sequence,
        )


@pytest.fixture(name="chain")
def _chain() -> Chain:
    return Chain()
