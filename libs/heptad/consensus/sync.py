"""Fetching what this replica missed, and giving others what they missed.

Near the tip, blocks are fetched by hash, walking down from a certified block until its chain meets
the tree. Far behind, committed blocks are fetched upwards in chunks, each proved by the commit
proof of its last block, applied and made durable before the next is asked for: memory stays flat
and a crash loses one chunk. How far behind is told by the height in a *certified* header, never by
what a peer claims; who is silent or answers rubbish costs one retry, and is left aside for a while
(`scores`). Each chunk is asked for from the next peer in the ring, so that no one has to serve all.

Where the next chunk is gone everywhere, because it was pruned, peers answer with a *snapshot* of
where they stand, and the replica jumps there (`snapshots` says when). Near the tip too: what nobody
gives by hash, in two rounds of asking, is asked for as committed chain, and then jumped over.

Where nobody can give the next chunk (nobody has committed it yet, or nobody is heard), blocks are
fetched by hash for as long as the asking took, and then chunks again. As in `chain`, what is wanted
is derived and not remembered: while there is a target, either a chunk is here and can be applied,
or one is being asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from heptad.consensus import facts
from heptad.consensus.certificates import Certificates
from heptad.consensus.chain import Chain, decode_state
from heptad.consensus.errors import RefusedError, UnwantedError
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    ChainReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    SnapshotReply,
    is_reply,
)
from heptad.consensus.objects import QC, Block
from heptad.consensus.parking import Parked
from heptad.consensus.pool import BatchReader
from heptad.consensus.ready import Lookup
from heptad.consensus.results import Results
from heptad.consensus.snapshots import SnapshotOffers
from heptad.consensus.verified import VerifiedCommit, VerifiedSnapshot
from heptad.consensus.wants import Wants, earliest
from heptad.model.canonical import MalformedError
from heptad.model.ids import BatchDigest, BlockId, Height, MemberIndex

_DIGESTS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Committed blocks, oldest first, that are being applied; `commit` proves the last one."""

    blocks: tuple[Block, ...]
    commit: VerifiedCommit
    server: MemberIndex


class Sync:
    """Fetches for one chain, and serves from it."""

    def __init__(
        self,
        *,
        limits: Limits,
        chain: Chain,
        certificates: Certificates,
        reader: BatchReader,
        others: tuple[MemberIndex, ...],
    ) -> None:
        self._limits = limits
        self._chain = chain
        self._certificates = certificates
        self._reader = reader
        self._others = others
        self._chunk_wanted: Wants[Height] = Wants(
            others=others, retry_ms=limits.fetch_retry_ms, count_max=1, scores=chain.scores
        )
        self._scores = chain.scores
        self._tries_max = 2 * len(others)
        self._snapshots = SnapshotOffers(peers_count=len(others), f=chain.validity.cell.committee.f)
        self._target: Height | None = None
        self._chunk: Chunk | None = None
        self._server: MemberIndex | None = None
        self._walk_until_ms = 0
        self.is_stranded = False
        """True from when everybody was asked twice for the next committed block, in vain, until a
        commit: nobody holds it, and nobody can lead on from here, or nobody is heard."""

    @property
    def is_active(self) -> bool:
        """True while the committed chain is being fetched: no votes are given."""
        return self._target is not None

    @property
    def chunk(self) -> VerifiedCommit | None:
        """The proof that commits the chunk which is being applied."""
        return self._chunk.commit if self._chunk is not None else None

    def require_asked(self, kind: type[BlocksReply | ChainReply | SnapshotReply] | None) -> None:
        """Refuse blocks, before they are read, where nothing of their kind is asked for.

        Raises: UnwantedError.
        """
        if kind is None:
            return
        if kind is BlocksReply and not len(self._chain.blocks_wanted):
            raise UnwantedError("blocks that were not asked for")
        is_open = self._chunk is None and bool(len(self._chunk_wanted))
        if kind in (ChainReply, SnapshotReply) and not is_open:
            raise UnwantedError("a piece of the chain that was not asked for")

    def on_blocks(
        self, sender: MemberIndex, reply: BlocksReply, *, now_ms: int, results: Results
    ) -> None:
        """Blocks that were asked for by hash. Raises: RefusedError."""
        if not reply.blocks or reply.blocks[0].id not in self._chain.blocks_wanted:
            raise UnwantedError("blocks that were not asked for")
        _require_links(reply.blocks[::-1])
        newest = reply.blocks[0]
        if self._is_far(newest.height) and now_ms >= self._walk_until_ms:
            self._start(newest.height, sender, results)
            return
        for block in reversed(reply.blocks):
            self._chain.park_certified(block, source=sender)
        if self._chain.knows(newest.id):  # else there was no room, and it is asked for later
            self._chain.blocks_wanted.done(newest.id)
        self._scores.useful(sender)
        self._chain.touch()

    def on_batches(
        self, sender: MemberIndex, reply: BatchesReply, *, now_ms: int, results: Results
    ) -> bool:
        """Batches that were asked for by digest; False if none of them was of any use.

        Raises: RefusedError at the first bad one.
        """
        is_useful = False
        for encoded in reply.batches:
            batch_id = self._reader.identify(encoded)
            if self._chain.pool.has_same(batch_id, encoded):
                continue
            is_overtaken = self._chain.is_committed(batch_id)
            if not len(self._chain.batches_wanted):  # then it is not worth reading either
                if is_overtaken:
                    continue
                raise UnwantedError(f"batch {batch_id} was not asked for")
            batch = self._reader.decode(encoded)
            if batch.digest in self._chain.pool:
                continue
            if batch.digest not in self._chain.batches_wanted:
                if is_overtaken:
                    continue
                raise UnwantedError(f"batch {batch.digest.hex()} was not asked for")
            verified = self._reader.verify(batch, encoded, now_ms=now_ms)
            self._chain.add_fetched(verified, results)
            self._scores.useful(sender)
            self._chain.batches_wanted.expedite(sender, now_ms)
            is_useful = True
        return is_useful

    def on_chain(self, sender: MemberIndex, reply: ChainReply) -> None:
        """A chunk of the committed chain. Raises: RefusedError."""
        if self._chunk is not None or not len(self._chunk_wanted):
            raise UnwantedError("a chunk of the chain that was not asked for")
        _require_links(reply.blocks)
        root = self._chain.tree.root.block
        blocks = tuple(block for block in reply.blocks if block.height > root.height)
        if not blocks:
            raise UnwantedError(f"a chunk of the chain up to height {root.height}, which is here")
        if blocks[0].parent_id != root.id:
            raise RefusedError(f"a chunk of the chain that does not extend height {root.height}")
        if reply.proof.block_id != blocks[-1].id:
            raise RefusedError("a chunk of the chain whose proof is of another block")
        commit = self._certificates.commit(reply.proof)
        for block in blocks:
            self._chain.park_certified(block, source=sender, is_urgent=True)
        self._chunk, self._server = Chunk(blocks, commit, sender), self._next_server(sender)
        self._scores.useful(sender)

    def on_snapshot(self, sender: MemberIndex, reply: SnapshotReply, *, now_ms: int) -> None:
        """Where a peer stands that has no blocks behind the root. Raises: RefusedError."""
        root, following = self._chain.tree.root, Height(self._height + 1)
        if self._chunk is not None or following not in self._chunk_wanted:
            raise UnwantedError("a snapshot that was not asked for")
        block, state = decode_state(reply.state)
        if reply.size != root.state.edge.size or block.height <= root.block.height:
            raise UnwantedError(f"a snapshot of height {block.height} for size {reply.size}")
        snapshot = self._chain.validity.snapshot(
            block,
            state,
            self._certificates.commit(reply.proof),
            root=root,
            hashes=reply.hashes,
        )
        self._snapshots.add(snapshot, root=root.block.id, sender=sender)
        self._scores.useful(sender)
        self._chunk_wanted.pass_on(following, sender, now_ms)

    def on_refused(
        self, sender: MemberIndex, payload: bytes, error: Exception, *, now_ms: int
    ) -> None:
        """A message was refused: if it is an answer, or nothing at all, its sender is left aside.

        Late answers to what was asked for are not held against anybody.
        """
        is_answer = is_reply(payload) or isinstance(error, MalformedError)
        if is_answer and not isinstance(error, UnwantedError) and sender in self._others:
            self._scores.lied(sender, now_ms)

    def snapshot(self, now_ms: int) -> VerifiedSnapshot | None:
        """The snapshot to jump to, if the blocks behind the root are to be had nowhere."""
        if not self._chunk_wanted:
            return None
        following, due_ms = Height(self._height + 1), self._chunk_wanted.due_ms()
        if following not in self._chunk_wanted or due_ms is None or due_ms > now_ms:
            return None
        asked = self._chunk_wanted.asked(following)
        return self._snapshots.best(root=self._chain.tree.root.block.id, asked=asked)

    def on_commit(self) -> None:
        """The root has moved up: a chunk may be done with, and the target near enough."""
        self.is_stranded = False
        if self._chunk is not None and self._height >= self._chunk.blocks[-1].height:
            self._chunk = None
        if self._target is not None and not self._is_far(self._target):
            self._stop()

    def request(self, *, certified: QC, now_ms: int, results: Results) -> None:
        """Find out what is missing, and send all requests that are due.

        `certified` is the highest certificate: its block, and all below it, are wanted.
        """
        self._chain.expire_offers()
        self._seek_chain(now_ms, results)
        self._want_chunk(now_ms, results)
        self._chain.update_wants(certified=certified, walk=not self.is_active, now_ms=now_ms)
        height = self._height
        for peer, block_ids in self._chain.blocks_wanted.due(now_ms).items():
            for block_id in block_ids:
                results.send((peer,), FetchBlocks(block_id, height))
        for peer, digests in self._chain.batches_wanted.due(now_ms).items():
            for start in range(0, len(digests), _DIGESTS_MAX):
                part = tuple(digests[start : start + _DIGESTS_MAX])
                results.send((peer,), FetchBatches(part))
        for peer, heights in self._chunk_wanted.due(now_ms).items():
            results.send((peer,), FetchChain(heights[0], self._chain.tree.root.state.edge.size))

    def due_ms(self) -> int | None:
        """When the next request is due; None if nothing is missing."""
        chain = self._chain
        return earliest(
            chain.blocks_wanted.due_ms(), chain.batches_wanted.due_ms(), self._chunk_wanted.due_ms()
        )

    def serve_blocks(self, peer: MemberIndex, request: FetchBlocks, results: Results) -> None:
        """Answer from memory, or leave it to the store."""
        blocks: list[Block] = []
        size = 0
        block = self._held(request.block_id)
        while block is not None and block.height > max(request.height_above, 0):
            size += len(block.encoded)
            if blocks and size > self._limits.reply_bytes_max:
                break
            blocks.append(block)
            if len(blocks) >= self._limits.reply_blocks_max:
                break
            block = self._held(block.parent_id)
        if blocks:
            results.send((peer,), BlocksReply(tuple(blocks)))
        else:
            results.lookups.append(Lookup(peer, request))

    def serve_batches(self, peer: MemberIndex, request: FetchBatches, results: Results) -> None:
        """Answer from the pool what is there, and leave the rest to the store."""
        batches: list[bytes] = []
        absent: list[BatchDigest] = []
        size = 0
        for digest in request.digests:
            batch = self._chain.pool.get(digest)
            if batch is None:
                absent.append(digest)
                continue
            size += len(batch.encoded)
            if batches and size > self._limits.reply_bytes_max:
                break
            batches.append(batch.encoded)
        if batches:
            results.send((peer,), BatchesReply(tuple(batches)))
        if absent:
            results.lookups.append(Lookup(peer, FetchBatches(tuple(absent))))

    @property
    def _height(self) -> Height:
        return self._chain.tree.root.block.height

    def _is_far(self, height: Height) -> bool:
        return height > self._height + self._limits.chain_gap_min

    def _start(self, target: Height, sender: MemberIndex, results: Results) -> None:
        if self._target is None:
            results.fact(facts.CATCHING_UP, height=self._height, target_height=target)
            self._server = sender
        self._target = max(target, self._target or target)
        self._chain.touch()

    def _stop(self) -> None:
        self._target = None
        self._chain.touch()

    def _seek_chain(self, now_ms: int, results: Results) -> None:
        """Near the tip: what nobody gives in two rounds of asking may be gone everywhere.

        Of batches only those in certified blocks count: what one peer offers or proposes may never
        have been anywhere.
        """
        wanted = (self._chain.blocks_wanted, self._chain.batches_wanted)
        if max(wanted[0].asked_max(), wanted[1].asked_max()) < self._tries_max:
            return
        certified = [each for each in self._chain.parked.all() if each.is_certified]
        if max(wanted[0].asked_max(), self._asked_for_batches(certified)) < self._tries_max:
            return
        if self._chunk is not None:
            self._chunk = None  # Its batches were pruned while it was being applied.
            return
        if certified and not self.is_active and now_ms >= self._walk_until_ms:
            highest = max(certified, key=lambda each: each.block.height)
            self._start(highest.block.height, highest.source, results)

    def _asked_for_batches(self, waiting: Sequence[Parked]) -> int:
        """How many peers were asked for what these blocks lack, at most."""
        asked = self._chain.batches_wanted.asked
        return max((asked(ref.digest) for each in waiting for ref in each.block.batches), default=0)

    def _want_chunk(self, now_ms: int, results: Results) -> None:
        """Ask for the chunk above the root, unless one is here or everybody was asked twice."""
        if self._target is None and self._chunk is None and not self._chunk_wanted:
            return
        following = Height(self._height + 1)
        tries_max = self._tries_max
        due_ms = self._chunk_wanted.due_ms()
        is_due = due_ms is not None and due_ms <= now_ms
        if is_due and self._chunk_wanted.asked(following) >= tries_max:
            self._walk_until_ms = now_ms + tries_max * self._limits.fetch_retry_ms
            self._report_stranded(results)
            self._stop()
        if self._chunk is not None and not self._is_applicable(self._chunk):
            self._chunk = None
        is_wanted = self._target is not None and self._chunk is None
        self._chunk_wanted.retain((following,) if is_wanted else ())
        if is_wanted:
            hints = () if self._server is None else self._ring_from(self._server)
            self._chunk_wanted.add(following, hints=hints, now_ms=now_ms)

    def _report_stranded(self, results: Results) -> None:
        """Tell once, for it goes on like this until a commit."""
        if self._target is not None and not self.is_stranded:
            self.is_stranded = True
            results.fact(facts.STRANDED, height=self._height, target_height=self._target)

    def _next_server(self, peer: MemberIndex) -> MemberIndex:
        return self._others[(self._others.index(peer) + 1) % len(self._others)]

    def _ring_from(self, peer: MemberIndex) -> tuple[MemberIndex, ...]:
        start = self._others.index(peer) if peer in self._others else 0
        return (*self._others[start:], *self._others[:start])

    def _is_applicable(self, chunk: Chunk) -> bool:
        """False if a full tree has let go of a block, so that the others wait in vain."""
        height = self._height
        return all(self._chain.knows(block.id) for block in chunk.blocks if block.height > height)

    def _held(self, block_id: BlockId) -> Block | None:
        node = self._chain.tree.get(block_id)
        if node is not None:
            return node.block
        parked = self._chain.parked.get(block_id)
        return parked.block if parked is not None else None


def _require_links(blocks: tuple[Block, ...]) -> None:
    """Refuse blocks, oldest first, of which one is not the parent of the next."""
    for parent, child in pairwise(blocks):
        if child.parent_id != parent.id or child.height != parent.height + 1:
            raise RefusedError(f"height {child.height} does not extend height {parent.height}")
