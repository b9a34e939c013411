"""From headers and batches to validated blocks, and from those to the committed log.

A header goes through three places: *parked* until its parent and batches are here, the *tree* once
it is validated against them, and out through a *commit*. What is missing is not remembered but
derived: after each change the needs of all that is parked are computed anew and the wants adjusted,
so nothing is fetched that nobody waits for any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final

from heptad.consensus import facts
from heptad.consensus.certificates import Certificates
from heptad.consensus.codec import BLOCK_BYTES_MAX, decode_block
from heptad.consensus.committee import Cell
from heptad.consensus.errors import RefusedError
from heptad.consensus.extras import Extras
from heptad.consensus.genesis import genesis_block
from heptad.consensus.judging import Judge
from heptad.consensus.leaders import Schedule
from heptad.consensus.limits import Limits
from heptad.consensus.objects import QC, BatchId, BatchRef, Block, CommitProof, CommittedBlock
from heptad.consensus.offers import Offers
from heptad.consensus.parking import Parked, ParkedBlocks
from heptad.consensus.pool import BatchPool, PooledBatch
from heptad.consensus.results import Results
from heptad.consensus.scores import Scores
from heptad.consensus.state import ChainState
from heptad.consensus.tree import BlockTree, Node
from heptad.consensus.validity import Validity, require_sizes
from heptad.consensus.verified import VerifiedBlock, VerifiedSnapshot
from heptad.consensus.wants import Wants
from heptad.model.batch import BATCH_BYTES_MAX
from heptad.model.canonical import DIGEST_BYTES, MalformedError, Reader, Writer
from heptad.model.ids import BatchDigest, BlockId, LogIndex, MemberIndex, Round, ValidatorNumber

_INVALID_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A block that has just entered the tree, and how it came."""

    node: Node
    parked: Parked


@dataclass(frozen=True, slots=True)
class Wave:
    """Blocks that have just become final, oldest first; `before` was the last final one."""

    before: Node
    final: list[Node]


class Chain:
    """The blocks of one replica: parked, in the tree, committed."""

    def __init__(
        self,
        *,
        cell: Cell,
        limits: Limits,
        certificates: Certificates,
        judge: Judge,
        others: tuple[MemberIndex, ...],
        root: Node,
    ) -> None:
        self._certificates = certificates
        self.schedule = Schedule(cell.committee, limits.term_rounds)
        self.validity = Validity(cell, cell.membership_hash(), self.schedule, judge)
        self.tree = BlockTree(root, blocks_max=limits.tree_blocks_max)
        self.pool = BatchPool(limits)
        self.parked = ParkedBlocks(count_max=limits.parked_blocks_max)
        self.scores = Scores(limits)
        ask = partial(Wants, others=others, retry_ms=limits.fetch_retry_ms, scores=self.scores)
        self.blocks_wanted: Wants[BlockId] = ask(count_max=limits.wants_max)
        self.batches_wanted: Wants[BatchDigest] = ask(count_max=limits.wants_max)
        self._validators = {validator.number for validator in cell.validators}
        self._tries_max = 2 * len(others)
        self._fetch_after_ms = limits.fetch_after_ms
        self._offers = Offers()
        self._extras = Extras(bytes_max=limits.extra_bytes_max_per_leader)
        self._invalid: set[BlockId] = set()
        self._rivals: list[tuple[bytes, bytes]] = []
        self._is_dirty = True

    def knows(self, block_id: BlockId) -> bool:
        """True if the block is in the tree or parked, or was found to be invalid."""
        return (
            self.tree.get(block_id) is not None
            or self.parked.get(block_id) is not None
            or block_id in self._invalid
        )

    def park_proposal(self, parked: Parked) -> None:
        """Take in a proposal of the current round; a fetched copy of it learns its vote."""
        known = self.parked.get(parked.block.id)
        if known is not None:
            known.vote = parked.vote
        elif not self.knows(parked.block.id):
            self._is_dirty |= self.parked.add(parked)

    def park_certified(self, block: Block, *, source: MemberIndex, is_urgent: bool = False) -> None:
        """Take in a block that a verified certificate names, directly or through justify hashes.

        An urgent one comes in even where there is no room: a chunk of the committed chain is
        limited by itself. Raises: RefusedError if its own certificates do not hold.
        """
        known = self.parked.get(block.id)
        if known is not None:
            known.is_certified = True
        elif not self.knows(block.id) and block.height > self.tree.root.block.height:
            entry = self._certificates.entry(block)
            parked = Parked(block, entry, None, True, source)
            self._is_dirty |= self.parked.add(parked, is_urgent=is_urgent)

    def certify(self, block_id: BlockId) -> None:
        """A quorum has voted for this block, and so for its ancestors: they will be needed."""
        parked = self.parked.get(block_id)
        while parked is not None and not parked.is_certified:
            parked.is_certified = True
            parked = self.parked.get(parked.block.parent_id)
        self._is_dirty = True

    def is_committed(self, batch_id: BatchId) -> bool:
        """True if what is committed goes as far as this batch, or further."""
        position = self.tree.root.state.positions.get(batch_id.validator, (-1, -1))
        return (batch_id.incarnation, batch_id.sequence) <= position

    def require_fetchable(self, block: Block) -> None:
        """Refuse a proposal whose batches are not worth asking for, whatever its ancestors are.

        More than any block may hold, or what is committed already: each member would fetch from
        all others what they have on disk, and use up what they let it take. Raises: RefusedError.
        """
        require_sizes(block)
        for ref in block.batches:
            if self.is_committed(ref.id):
                raise RefusedError(f"round {block.round}: batch {ref.id} is committed already")

    def add_batch(self, batch: PooledBatch) -> None:
        """Take a verified batch into the pool."""
        self.notice(batch)
        self.pool.add(batch)
        self.batches_wanted.done(batch.ref.digest)
        self._offers.remove(batch.ref.digest)
        self._is_dirty = True

    def notice(self, batch: PooledBatch) -> None:
        """See whether this verified batch contradicts the one that came first under its number."""
        first = self.pool.under(batch.ref.id)
        if first is not None and first.ref.digest != batch.ref.digest:
            self._rivals.append((first.encoded, batch.encoded))

    @property
    def has_rivals(self) -> bool:
        """True if `take_rivals` would give something."""
        return bool(self._rivals)

    def take_rivals(self) -> list[tuple[bytes, bytes]]:
        """Pairs of verified batches under one number that have met since the last call."""
        rivals, self._rivals = self._rivals, []
        return rivals

    def has_room(self, batch_id: BatchId, size_bytes: int) -> bool:
        """True if a batch of this number and size may come in, even if others give way to it."""
        return self._giving_way(batch_id, size_bytes) is not None

    def add_waiting(self, batch: PooledBatch, results: Results) -> bool:
        """Take in a verified batch that no block asks for; False if there is no room for it.

        What gives way to it is answered OVERLOADED: it has to be sent again.
        """
        gone = self._giving_way(batch.ref.id, batch.ref.size_bytes)
        if gone is None:
            return False
        self._give_way(gone, results)
        self.add_batch(batch)
        return True

    def add_fetched(self, batch: PooledBatch, results: Results) -> None:
        """Take in a verified batch that was asked for.

        One that a certified block names comes in whatever it takes. Others need room in their
        validator's share, or beyond it on the account of a leader who proposes them; a proposal for
        which there is none gets no vote here, and is fetched again if a quorum votes for it.
        """
        digest = batch.ref.digest
        naming = [each for each in self.parked.all() if each.block.names(digest)]
        if any(each.is_certified for each in naming):
            self.add_batch(batch)
        elif not self.add_waiting(batch, results):
            leaders = [each.block.proposer for each in naming]
            if self._extras.take(digest, batch.ref.size_bytes, leaders):
                self.add_batch(batch)
            else:
                self._decline(digest)
                self._refuse(naming, f"no room for batch {batch.ref.id}", results)

    def offer(self, refs: Sequence[BatchRef], sender: MemberIndex) -> bool:
        """A peer holds batches that have waited; True if any is fetched: not here, and has room.

        Offers come in order, so where one of a validator has no room, those behind it have none;
        and to find that out costs too much to do it for each of them.
        """
        full: set[ValidatorNumber] = set()
        has_news = False
        for ref in refs:
            is_known = self.is_committed(ref.id) or self.pool.under(ref.id) is not None
            is_possible = ref.validator in self._validators and ref.size_bytes <= BATCH_BYTES_MAX
            if is_known or not is_possible or ref.validator in full:
                continue
            if not self._offers.may_add(ref, sender):
                continue
            if self.has_room(ref.id, ref.size_bytes):
                self._offers.add(ref, sender)
                self._is_dirty = has_news = True
            else:
                full.add(ref.validator)
        return has_news

    def expire_offers(self) -> None:
        """Stop asking for what nobody has given in two rounds of asking: the offer was empty."""
        if not self._offers:
            return
        for ref, _ in list(self._offers):
            if self.batches_wanted.asked(ref.digest) > self._tries_max:
                self._decline(ref.digest)

    def touch(self) -> None:
        """Have the next `advance` look again at everything."""
        self._is_dirty = True

    def advance(self, *, keep: BlockId, results: Results) -> list[Arrival]:
        """Move every parked block whose parent and batches are here into the tree.

        Parents come before children in what is returned. Blocks that turn out to be invalid are
        dropped. `keep` is the highest certified block.
        """
        arrivals: list[Arrival] = []
        progressed = self._is_dirty
        while progressed:
            progressed = False
            for parked in self.parked.all():
                arrival = self._try_insert(parked, keep, results)
                if arrival is not None:
                    arrivals.append(arrival)
                    progressed = True
        return arrivals

    def update_wants(self, *, certified: QC, walk: bool, now_ms: int) -> None:
        """Ask for exactly what is missing: parents and batches of what is parked, and offers.

        `certified` is the highest certificate: its block is wanted too. Without `walk` no block is
        asked for one by one, because the committed chain is being fetched instead.
        """
        if not self._is_dirty:
            return
        self._is_dirty = False
        blocks: dict[BlockId, tuple[MemberIndex, ...]] = {}
        batches: dict[BatchDigest, tuple[int, tuple[MemberIndex, ...]]] = {}
        if walk and not self.knows(certified.block_id):
            blocks[certified.block_id] = voters(certified)
        for parked in self.parked.all():
            block = parked.block
            if walk and not self.knows(block.parent_id):
                blocks[block.parent_id] = (parked.source, *voters(block.justify))
            for ref in block.batches:
                if ref.digest not in self.pool:
                    # A proposal's batches are most likely on their way from their validator.
                    wait_ms = self._fetch_after_ms if parked.vote is not None else 0
                    peers = (parked.source, block.proposer)
                    batches[ref.digest] = (parked.parked_ms + wait_ms, peers)
        for ref, sender in self._offers:
            batches.setdefault(ref.digest, (now_ms, (sender,)))
        self.blocks_wanted.retain(blocks)
        self.batches_wanted.retain(batches)
        for block_id, hints in blocks.items():
            self.blocks_wanted.add(block_id, hints=hints, now_ms=now_ms)
        for digest, (ask_ms, hints) in batches.items():
            self.batches_wanted.add(digest, hints=hints, now_ms=max(ask_ms, now_ms))

    def insert_own(self, verified: VerifiedBlock, *, keep: BlockId) -> Node:
        """Put a block of my own into the tree."""
        self._is_dirty = True
        return self.tree.insert(verified, keep=keep)

    def persist(self, node: Node, results: Results) -> None:
        """Have header and batches of a block written, unless they are on disk already."""
        if node.is_durable:
            return
        node.is_durable = True
        for ref in node.block.batches:
            batch = self.pool.get(ref.digest)
            assert batch is not None, f"batch {ref.id} of a block in the tree"
            if not batch.is_durable:
                results.keep(ref.digest, batch.encoded)
                self.pool.mark(ref.digest, is_durable=True)
        results.blocks.append(node.block)

    def commit(self, block_id: BlockId, *, proof: CommitProof, results: Results) -> Wave:
        """Make a block and its uncommitted ancestors final, oldest first."""
        before = self.tree.root
        for node in self.tree.path(block_id):
            self.persist(node, results)
        final, abandoned = self.tree.commit(block_id)
        index = before.state.edge.size
        for node in final:
            own_proof = proof if node is final[-1] else None
            commit = CommittedBlock(node.block, LogIndex(index), own_proof, node.state.grown)
            results.commits.append(commit)
            index = node.state.edge.size
        results.state = encode_committed(self.tree.root)
        results.blocks_dropped += [node.block.id for node in abandoned if node.is_durable]
        self._let_go(final, results)
        self._is_dirty = True
        return Wave(before, final)

    def jump(self, snapshot: VerifiedSnapshot, results: Results) -> None:
        """Go on from a committed block, without the blocks between the last one and this.

        Whatever was on disk and not committed can be committed no more, or was in what is skipped.
        """
        block, state = snapshot.block, snapshot.state
        first_index = LogIndex(block.head.size - block.entry_count)
        root = Node(block, replace(state, grown=()), None, is_durable=True, is_unproven=True)
        abandoned = self.tree.restart(root)
        commit = CommittedBlock(
            block, first_index, snapshot.commit.proof, state.grown, is_jump=True
        )
        results.commits.append(commit)
        results.state = encode_committed(root)
        results.blocks_dropped += [node.block.id for node in abandoned if node.is_durable]
        self._let_go([], results)
        self._is_dirty = True

    def forget(self, round_: Round, results: Results) -> None:
        """Let go of what a new round or a commit has made useless.

        These are parked blocks, and batches beyond their share that no block names any more.
        """
        if self.parked.forget(height=self.tree.root.block.height, round_=round_):
            self._is_dirty = True
        positions = self.tree.root.state.positions
        gone = self.pool.surplus(committed=positions, pinned=self._referenced)
        self._give_way(gone, results)
        if self._extras:
            self._extras.retain(self._referenced())

    def _giving_way(self, batch_id: BatchId, size_bytes: int) -> list[PooledBatch] | None:
        """See `BatchPool.giving_way`; what a block here refers to stays."""
        positions = self.tree.root.state.positions
        return self.pool.giving_way(
            batch_id, size_bytes, committed=positions, pinned=self._referenced
        )

    def _give_way(self, gone: Sequence[PooledBatch], results: Results) -> None:
        """Let go of batches that are not committed, and tell their validators."""
        self.pool.remove(gone)
        for each in gone:
            results.gave_way(each.ref)
            if each.is_durable:
                results.batches_dropped.append(each.ref.digest)

    def _refuse(self, proposals: Sequence[Parked], reason: str, results: Results) -> None:
        """Give these proposals no vote."""
        for each in proposals:
            block = each.block
            self.parked.remove(block.id)
            results.fact(
                facts.VOTE_REFUSED, round=block.round, proposer=block.proposer, reason=reason
            )
        self._is_dirty = True

    def _referenced(self) -> set[BatchDigest]:
        """What the blocks in the tree and the parked ones refer to."""
        blocks = [node.block for node in self.tree]
        blocks += [parked.block for parked in self.parked.all()]
        return {ref.digest for block in blocks for ref in block.batches}

    def _decline(self, digest: BatchDigest) -> None:
        """Stop asking for a batch that was only offered."""
        self._is_dirty |= self._offers.remove(digest)

    def _let_go(self, final: list[Node], results: Results) -> None:
        """Drop batches that are committed, or can never be any more."""
        committed = {ref.digest for node in final for ref in node.block.batches}
        for batch in self.pool.committed(self.tree.root.state.positions):
            if batch.is_durable and batch.ref.digest not in committed:
                results.batches_dropped.append(batch.ref.digest)
        self._offers.forget(self.tree.root.state.positions)

    def _try_insert(self, parked: Parked, keep: BlockId, results: Results) -> Arrival | None:
        block = parked.block
        parent = self.tree.get(block.parent_id)
        if parent is None:
            return None
        batches = [self.pool.get(ref.digest) for ref in block.batches]
        held = [batch for batch in batches if batch is not None]
        if len(held) < len(batches):
            return None
        self.parked.remove(block.id)
        try:
            verified = self.validity.check(block, parked.entry, parent=parent, batches=held)
        except RefusedError as error:
            name = facts.CERTIFIED_BLOCK_INVALID if parked.is_certified else facts.VOTE_REFUSED
            results.fact(name, round=block.round, proposer=block.proposer, reason=str(error))
            if len(self._invalid) < _INVALID_MAX:
                self._invalid.add(block.id)
            return None
        return Arrival(self.tree.insert(verified, keep=keep), parked)


def voters(qc: QC) -> tuple[MemberIndex, ...]:
    """Who has voted for a block, and so has it."""
    return tuple(voter for voter, _ in qc.votes)


def encode_committed(node: Node) -> bytes:
    """The committed state for the store: bytes32 header ‖ the state after it ‖ SHA-256 of both.

    The header binds most of the state, but nothing on the disk binds the header: a replica that
    started from a damaged one would agree with nobody, and not know why.
    """
    body = Writer().bytes32(node.block.encoded).fixed(node.state.encode()).done()
    return body + sha256(body).digest()


def decode_committed(encoded: bytes | None, cell: Cell) -> Node:
    """The root to start from: what `encode_committed` wrote, or the genesis block.

    Whether the chain itself proves it is not stored, so a block on top of it has to. That the state
    is the block's is looked at here: on a state that a disk has spoiled a replica would refuse
    every honest block, and nobody would know why.
    Raises: MalformedError.
    """
    if encoded is None:
        return Node(genesis_block(cell), ChainState.genesis(), None, is_durable=True)
    block, state = decode_state(encoded)
    hashed = state.hash(epoch=cell.epoch, membership_hash=cell.membership_hash())
    if (state.head(), hashed) != (block.head, block.state_hash):
        raise MalformedError(f"it is not the state after block {block.id.hex()}")
    return Node(block, state, None, is_durable=True, is_unproven=True)


def decode_state(encoded: bytes) -> tuple[Block, ChainState]:
    """The block and the state after it that `encode_committed` wrote. Raises: MalformedError."""
    body, checksum = encoded[:-DIGEST_BYTES], encoded[-DIGEST_BYTES:]
    if sha256(body).digest() != checksum:
        raise MalformedError(f"a committed state of {len(encoded)} bytes: its checksum is wrong")
    reader = Reader(body)
    block = decode_block(reader.bytes32(size_max=BLOCK_BYTES_MAX))
    return block, ChainState.decode(reader)
