"""Frames of an evil replica: whatever it changes, the ledger refuses and nothing is written."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.consensus.codec import decode_block, decode_proof, encode_proof, new_block
from heptad.consensus.committee import LaterKey
from heptad.consensus.objects import CommitProof
from heptad.crypto import signatures
from heptad.model.batch import decode_batch, encode_batch, join_sealed
from heptad.wire.streams import (
    BlockFrame,
    FrameMalformedError,
    decode_to_ledger,
    encode_to_ledger,
)
from heptad_ledger import chain as chain_module
from heptad_ledger.chain import Chain, Tip
from heptad_ledger.errors import FetchAgainError, FollowRefusedError


def public(content):
    return content, b""


@pytest.fixture
def frames(group):
    """Three blocks: two batches, one, none; the first is proved by the second."""
    first = group.batch([public(b"a"), public(b"b")]), group.batch([public(b"c")], validator=2)
    group.commit(*first, with_proof=False)
    group.commit(group.batch([public(b"d")]))
    group.commit()
    return group.frames


def test_a_proof_at_the_last_block_proves_all_before_it(ledger, frames):
    assert list(ledger.chain.take(frames[0])) == []
    proven = ledger.chain.take(frames[1])
    assert [block.height for block in proven] == [1, 2]
    assert [block.height for block in ledger.chain.take(frames[2])] == [3]


def changed_block(frame, **fields):
    """The frame with another header; everything else as it was."""
    block = decode_block(frame.block)
    parts = {
        "epoch": block.epoch, "round_": block.round, "height": block.height,
        "proposer": block.proposer, "time_ms": block.time_ms, "justify": block.justify,
        "tc": block.tc, "batches": block.batches, "control": block.control, "head": block.head,
        "state_hash": block.state_hash,
    }  # fmt: skip
    return replace(frame, block=new_block(**{**parts, **fields}).encoded)


def changed_ref(frame, **fields):
    refs = decode_block(frame.block).batches
    return changed_block(frame, batches=(replace(refs[0], **fields), *refs[1:]))


def changed_batch(frame, **fields):
    batch = replace(decode_batch(frame.batches[0]), **fields)
    return replace(frame, batches=(encode_batch(batch), *frame.batches[1:]))


def other_proof(frame, **fields):
    proof = replace(decode_proof(frame.proof), **fields)
    return replace(frame, proof=encode_proof(proof))


LIES = {
    "height of the frame": lambda f, g: replace(f, height=2),
    "height of the block": lambda f, g: changed_block(f, height=2),
    "first index": lambda f, g: replace(f, first_index=1),
    "block cut off": lambda f, g: replace(f, block=f.block[:-1]),
    "block with a byte more": lambda f, g: replace(f, block=f.block + b"\0"),
    "no block": lambda f, g: replace(f, block=b""),
    "time": lambda f, g: changed_block(f, time_ms=1),
    "proposer": lambda f, g: changed_block(f, proposer=3),
    "head size": lambda f, g: changed_block(f, head=replace(g.head(), size=2)),
    "head root": lambda f, g: changed_block(f, head=replace(g.head(), root=b"\1" * 32)),
    "state hash": lambda f, g: changed_block(f, state_hash=b"\1" * 32),
    "control entry": lambda f, g: changed_block(f, control=(b"x",)),
    "validator of a reference": lambda f, g: changed_ref(f, validator=2),
    "unknown validator": lambda f, g: changed_ref(f, validator=9),
    "incarnation of a reference": lambda f, g: changed_ref(f, incarnation=7),
    "sequence of a reference": lambda f, g: changed_ref(f, sequence=7),
    "digest of a reference": lambda f, g: changed_ref(f, digest=b"\1" * 32),
    "count of a reference": lambda f, g: changed_ref(f, count=1),
    "size of a reference": lambda f, g: changed_ref(f, size_bytes=1),
    "a batch missing": lambda f, g: replace(f, batches=f.batches[:1]),
    "no batches": lambda f, g: replace(f, batches=()),
    "a batch too many": lambda f, g: replace(f, batches=(*f.batches, f.batches[0])),
    "batches in another order": lambda f, g: replace(f, batches=f.batches[::-1]),
    "garbage for a batch": lambda f, g: replace(f, batches=(b"x" * 50, f.batches[1])),
    "leaves of a batch": lambda f, g: changed_batch(f, leaves=b"\0\1A\0\1b"),
    "private halves changed": lambda f, g: changed_batch(f, sealed=join_sealed([b"x", b"y"])),
    "private halves left out": lambda f, g: changed_batch(f, sealed=None),
    "signature of a batch": lambda f, g: changed_batch(f, signature=b"\1" * 64),
    "proof of another block": lambda f, g: replace(f, proof=g.frames[1].proof),
    "proof cut off": lambda f, g: replace(f, proof=f.proof[:-1]),
    "too few voters": lambda f, g: other_proof(
        f, child_qc=g.certify(decode_proof(f.proof).child, voters=range(4))
    ),
    "votes for another block": lambda f, g: other_proof(
        f, child_qc=g.certify(decode_block(g.frames[1].block))
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_frame_with_one_thing_altered_is_refused_and_the_true_one_still_taken(ledger, group, lie):
    # given a true frame, and the same with one thing changed
    batches = (
        group.batch([public(b"a"), public(b"b")]), group.batch([public(b"c")], validator=2)
    )  # fmt: skip
    frame = group.commit(*batches)
    head = group.head()
    group.commit()
    altered = LIES[lie](frame, group)
    assert altered != frame
    # when the altered one comes, it is refused and nothing changes
    with pytest.raises(FollowRefusedError):
        ledger.take(altered)
    assert ledger.store.state.height == 0
    # then the true one is taken
    ledger.chain.restart(ledger.tip())
    assert ledger.take(frame).state.edge.root() == head.root


def test_a_batch_signed_with_another_validators_key_is_refused(ledger, group):
    forged = group.batch([public(b"a")], validator=1, key=group.batch_keys[2])
    with pytest.raises(FollowRefusedError, match="does not verify"):
        ledger.take(group.commit(forged))


@pytest.mark.parametrize(("starts", "is_taken"), [(2, False), (1, True)])
def test_a_batch_is_taken_by_the_key_of_its_incarnation_only(ledger, group, starts, is_taken):
    """Of incarnation 1, by the key that is validator 1's from incarnation `starts` on."""
    first, second = group.cell.validators
    rotated = replace(first, later_keys=(LaterKey(starts, second.batch_key),))
    cell = replace(group.cell, validators=(rotated, second))
    chain = Chain(cell, verifier=signatures, tip=ledger.tip())
    frame = group.commit(group.batch([public(b"a")], validator=1, key=group.batch_keys[2]))
    if is_taken:
        assert len(chain.take(frame)) == 1
    else:
        with pytest.raises(FollowRefusedError, match="does not verify"):
            chain.take(frame)


def test_another_batch_that_its_validator_signed_under_the_same_number_is_refused(ledger, group):
    """An evil validator and an evil replica together: everything verifies but the digest."""
    frame = group.commit(group.batch([public(b"a")], sequence=7))
    twin = encode_batch(group.batch([public(b"b")], sequence=7))
    with pytest.raises(FollowRefusedError, match="digest"):
        ledger.take(replace(frame, batches=(twin,)))


def test_a_block_that_skips_its_parent_is_refused(ledger, group, kit):
    group.commit(group.batch([public(b"a")]))
    other = kit.Group()
    other.commit(other.batch([public(b"b")]))
    other.commit()
    ledger.take(group.frames[0])
    with pytest.raises(FollowRefusedError, match="parent"):
        ledger.take(other.frames[1])


def test_a_child_in_a_later_round_proves_nothing(ledger, group):
    frame = group.commit(group.batch([public(b"a")]))
    proof = decode_proof(frame.proof)
    late = changed_block(replace(frame, block=proof.child.encoded), round_=9)
    child = decode_block(late.block)
    broken = encode_proof(CommitProof(child, group.certify(child)))
    with pytest.raises(FollowRefusedError, match="does not directly follow"):
        ledger.take(replace(frame, proof=broken))


def test_batches_without_a_proof_wait_only_up_to_a_limit(ledger, group, monkeypatch):
    # given more blocks before the first proof than may wait with their batches
    monkeypatch.setattr(chain_module, "UNPROVEN_BYTES_MAX", 6_000)
    for last in (False, False, False, True):
        group.commit(group.batch([public(b"x" * 3_000)]), with_proof=last)
    *unproven, proven = group.frames
    # when they come, none is refused, and the proof says that they are wanted again
    assert [list(ledger.chain.take(frame)) for frame in unproven] == [[], [], []]
    with pytest.raises(FetchAgainError):
        ledger.chain.take(proven)
    ledger.chain.restart(ledger.tip())
    # then each counts as proven when it comes again, with its batches checked
    for frame in unproven:
        with pytest.raises(FollowRefusedError, match="without its private halves"):
            ledger.chain.take(changed_batch(frame, sealed=None))
        ledger.chain.restart(ledger.tip())
        assert ledger.take(frame).state.height == frame.height
    assert ledger.take(proven).state.edge.root() == group.head().root


def test_another_block_of_a_proven_height_is_not_taken_for_it(ledger, group, monkeypatch):
    monkeypatch.setattr(chain_module, "UNPROVEN_BYTES_MAX", 1_000)
    group.commit(group.batch([public(b"x" * 3_000)]), with_proof=False)
    group.commit(group.batch([public(b"y")]))
    ledger.chain.take(group.frames[0])
    with pytest.raises(FetchAgainError):
        ledger.chain.take(group.frames[1])
    ledger.chain.restart(ledger.tip())
    lie = changed_block(group.frames[0], time_ms=1)
    assert list(ledger.chain.take(lie)) == []


def test_blocks_without_a_proof_wait_only_up_to_a_number(ledger, group, monkeypatch):
    monkeypatch.setattr(chain_module, "UNPROVEN_BLOCKS_MAX", 2)
    for _ in range(3):
        group.commit(with_proof=False)
    assert [list(ledger.chain.take(frame)) for frame in group.frames[:2]] == [[], []]
    with pytest.raises(FollowRefusedError, match="3 blocks without a proof"):
        ledger.chain.take(group.frames[2])


def test_a_claim_to_be_ahead_counts_only_with_its_proof(ledger, frames, group):
    bare = replace(frames[2], batches=())
    assert ledger.chain.prove_height(bare) == 3
    for lie in (replace(bare, proof=frames[1].proof), replace(bare, proof=b"")):
        with pytest.raises(FollowRefusedError):
            ledger.chain.prove_height(lie)


@pytest.fixture(scope="session")
def committed(kit):
    """A group with one committed block."""
    group = kit.Group()
    group.commit(group.batch([public(b"a"), public(b"b")]))
    return group


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bit_of_a_frame_can_be_flipped(committed, data):
    """Whatever is on the wire is covered by a hash or a signature, or has one spelling only."""
    body = encode_to_ledger(committed.frames[0])
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises((FrameMalformedError, FollowRefusedError)):
        _take_body(committed, bytes(flipped))


def test_the_frame_itself_is_taken(committed):
    assert len(_take_body(committed, encode_to_ledger(committed.frames[0]))) == 1


def _take_body(group, body):
    chain = Chain(group.cell, verifier=signatures, tip=Tip(0, group.genesis.id, 0))
    frame = decode_to_ledger(body)
    if not isinstance(frame, BlockFrame):
        raise FrameMalformedError("no block")
    proven = chain.take(frame)
    if not proven:
        raise FollowRefusedError("nothing is proven by it")
    return proven
