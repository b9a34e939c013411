"""Answers to peers out of the store: blocks, batches, and the committed chain.

The core answers what it holds in memory; this is for the rest. Every answer has a limit, whoever
asks and for whatever, and nothing that is served is trusted by the one who asked: blocks are
checked by hash and certificate, batches by digest.
"""

from heptad.consensus.chain import decode_state
from heptad.consensus.codec import decode_block, decode_proof
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    MESSAGE_BYTES_MAX,
    BatchesReply,
    BlocksReply,
    ChainReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Message,
    SnapshotReply,
)
from heptad.consensus.objects import Block, CommitProof
from heptad.consensus.ports import Store
from heptad.model.ids import Height
from heptad.transparency.subtrees import cover

_CHAIN_BLOCKS_MAX = 1_024


def answer(request: Message, *, store: Store, limits: Limits) -> Message | None:
    """The answer to a fetch, or None where the store has nothing to give."""
    match request:
        case FetchBlocks():
            return _blocks(request, store, limits)
        case FetchBatches():
            return _batches(request, store, limits)
        case FetchChain():
            return _chain(request.height, store, limits) or _snapshot(request, store)
        case _:
            return None


def _blocks(request: FetchBlocks, store: Store, limits: Limits) -> Message | None:
    blocks: list[Block] = []
    size, block_id = 0, request.block_id
    while len(blocks) < limits.reply_blocks_max and size < limits.reply_bytes_max:
        encoded = store.block(block_id)
        if encoded is None:
            break
        block = decode_block(encoded)
        blocks.append(block)
        size += len(encoded)
        if block.height <= request.height_above + 1:
            break
        block_id = block.parent_id
    return BlocksReply(tuple(blocks)) if blocks else None


def _batches(request: FetchBatches, store: Store, limits: Limits) -> Message | None:
    batches: list[bytes] = []
    size = 0
    for digest in request.digests:
        encoded = store.batch(digest)
        if encoded is None:
            continue
        size += len(encoded)
        if batches and size > limits.reply_bytes_max:
            break
        batches.append(encoded)
    return BatchesReply(tuple(batches)) if batches else None


def _chain(height: Height, store: Store, limits: Limits) -> Message | None:
    """Committed blocks from `height` up to one that has a proof of its own.

    Waves are short, so a proof stands within the ordinary limits; only a chain in which round after
    round timed out has them further apart, and then the answer grows up to the hard limit.
    """
    blocks: list[Block] = []
    proven: tuple[int, CommitProof] | None = None
    size = batch_bytes = 0
    while len(blocks) < _CHAIN_BLOCKS_MAX and size < MESSAGE_BYTES_MAX // 2:
        is_full = (
            len(blocks) >= limits.reply_blocks_max
            or size >= limits.reply_bytes_max
            or batch_bytes >= limits.reply_chain_batch_bytes_max
        )
        stored = None if is_full and proven else store.committed(Height(height + len(blocks)))
        if stored is None:
            break
        block = decode_block(stored.block)
        blocks.append(block)
        size += len(stored.block)
        batch_bytes += sum(ref.size_bytes for ref in block.batches)
        if stored.proof:
            proven = len(blocks), decode_proof(stored.proof)
    if proven is None:
        return None
    count, proof = proven
    return ChainReply(tuple(blocks[:count]), proof)


def _snapshot(request: FetchChain, store: Store) -> Message | None:
    """Where this replica stands, for a peer that asks for blocks which are gone here.

    None if it asks for what this replica has not committed yet, or if nothing leads on from the
    size of its log, because that was too long ago or lies in what this replica has jumped over.
    """
    stored = store.snapshot()
    if stored is None:
        return None
    block, state = decode_state(stored.state)
    is_gone = block.height >= request.height and store.committed(request.height) is None
    if not is_gone:
        return None
    hashes = _cover(request.size, block.head.size, store) if request.size else state.edge.hashes
    if hashes is None:
        return None
    return SnapshotReply(request.size, stored.state, decode_proof(stored.proof), hashes)


def _cover(start: int, end: int, store: Store) -> tuple[bytes, ...] | None:
    """What leads from one size of the log to another; None if a part of it is not known here."""
    hashes = []
    for subtree in cover(start, end):
        growth = store.growth(subtree.end)
        value = None if growth is None else growth.hash_of(subtree)
        if value is None:
            return None
        hashes.append(value)
    return tuple(hashes)
