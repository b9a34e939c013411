"""A replica that is so far behind that nobody holds the blocks any more."""

from dataclasses import replace

import pytest

from heptad.consensus.chain import decode_state
from heptad.consensus.codec import decode_block
from heptad.consensus.errors import RecordDamagedError
from heptad.consensus.kernel.record import decode_record
from heptad.consensus.limits import Limits
from heptad.consensus.messages import ChainReply, FetchChain, SnapshotReply
from heptad.consensus.serving import answer
from heptad.model.canonical import Writer
from heptad.model.ids import Height
from heptad.transparency.merkle import CompactRange

ORIGIN = "cell.example/log"
LATE = 6


def load(world, start, stop, every_ms=40):
    for sequence in range(start, stop):
        world.submit(world.batch(sequence=sequence))
        world.run(for_ms=every_ms)


def status(world, index=LATE):
    return world.replicas[index].driver.status()


def is_level(world, index=LATE):
    return status(world, index).committed_height == status(world, 0).committed_height


def prune(world, keep=4):
    for replica in world.replicas:
        if replica.index != LATE:
            replica.store.prune(keep)


def record_of(world, index=LATE):
    return decode_record(world.replicas[index].store.record, origin=ORIGIN, member=index)


@pytest.fixture
def behind(world):
    """Member 6 was away while blocks were committed that the others hold no more."""
    load(world, 0, 4)
    world.crash(LATE)
    load(world, 4, 40)
    prune(world)
    return world


def come_back(world, until_jumped=True):
    world.restart(LATE)
    late = world.replicas[LATE]
    world.run(until=(lambda: late.named("jumped")) if until_jumped else (lambda: False))
    return late


def test_a_replica_behind_what_is_pruned_jumps_to_a_committed_block(behind):
    late = come_back(behind, until_jumped=False)
    (jumped,) = late.named("jumped")
    assert jumped["height"] < 12 < jumped["to_height"]
    assert is_level(behind)
    assert not status(behind).is_catching_up
    behind.assert_agreement()
    behind.submit(behind.batch(sequence=40))
    behind.run()
    assert is_level(behind)
    assert status(behind).head == status(behind, 0).head


def test_a_replica_that_nobody_can_lead_on_is_stranded_and_says_so_once(behind):
    """The others remember neither the blocks nor how the log grew past what it knows."""
    grown = [replica.store.grown for replica in behind.replicas]
    for replica in behind.replicas[:LATE]:
        replica.store.grown = []
    behind.restart(LATE)
    late = behind.replicas[LATE]
    behind.run(for_ms=30_000)
    (stranded,) = late.named("stranded")
    assert stranded["height"] == status(behind).committed_height < stranded["target_height"]
    assert status(behind).is_stranded
    assert not late.named("jumped")
    behind.replicas[0].store.grown = grown[0]
    behind.run(until=lambda: late.named("jumped"))
    assert not status(behind).is_stranded


def test_a_replica_that_catches_up_is_never_stranded(behind):
    late = come_back(behind, until_jumped=False)
    assert not late.named("stranded")
    assert not status(behind).is_stranded


def test_a_jump_is_one_transaction(behind):
    late = come_back(behind)
    jumps = [persist for persist in late.store.writes for each in persist.commits if each.is_jump]
    (persist,) = jumps
    (commit,) = persist.commits
    block, state = decode_state(persist.state)
    assert (block.id, state.head()) == (commit.block.id, commit.block.head)
    assert persist.record is not None


def test_a_jump_raises_high_qc_and_touches_no_other_field_of_the_safety_record(behind):
    before = record_of(behind)
    late = come_back(behind)
    (persist,) = (each for each in late.store.writes if any(c.is_jump for c in each.commits))
    after = decode_record(persist.record, origin=ORIGIN, member=LATE)
    assert after.high_qc.round > before.high_qc.round
    # Its child was an empty flush block, so it was cosigned in the same step: by the chain's rule.
    assert replace(after, high_qc=before.high_qc, cosigned=before.cosigned) == before


def test_a_jump_to_a_block_that_an_empty_one_flushes_cosigns_its_head(behind):
    late = come_back(behind)
    (jumped,) = late.named("jumped")
    assert late.cosignatures[-1].head.size == jumped["to_size"]


def test_a_jump_cosigns_no_head_that_the_others_pass_over(behind):
    """Its child holds batches, and its parent, which might name its head, is not here."""
    late, others = behind.replicas[LATE], behind.replicas[0]
    for sequence in range(40, 60):
        behind.submit(behind.batch(sequence=sequence), to=range(LATE))
        if sequence == 48:
            prune(behind)
            behind.restart(LATE)
        behind.run(for_ms=5)
    behind.run()
    (jumped,) = late.named("jumped")
    theirs = {each.head.size for each in others.cosignatures}
    assert jumped["to_size"] not in theirs
    assert {each.head.size for each in late.cosignatures} <= theirs


def test_nothing_is_voted_for_while_catching_up_and_again_after_the_jump(behind):
    behind.restart(LATE)
    late = behind.replicas[LATE]
    before = record_of(behind).round_voted
    behind.run(until=lambda: late.named("jumped"))
    assert record_of(behind).round_voted == before
    load(behind, 40, 44)
    assert record_of(behind).round_voted > before
    assert record_of(behind).round_voted > record_of(behind).high_qc.round - 3


def test_a_jumped_replica_starts_again_where_it_had_jumped_to(behind):
    late = come_back(behind)
    height = late.store.height
    behind.crash(LATE)
    behind.restart(LATE)
    assert status(behind).committed_height == height
    behind.run()
    assert is_level(behind)
    assert len(late.named("jumped")) == 1


@pytest.mark.parametrize("is_written", [False, True])
def test_a_crash_around_the_write_of_a_jump_leaves_one_of_two_states(behind, is_written):
    behind.restart(LATE)
    late = behind.replicas[LATE]
    height, write = late.store.height, late.store.write
    jumps = []

    def crashing(persist):
        if any(commit.is_jump for commit in persist.commits):
            if is_written:
                write(persist)
            jumps.append(persist)
            raise OSError("the power is gone")
        write(persist)

    late.store.write = crashing
    with pytest.raises(OSError, match="power"):
        behind.run()
    late.store.write = write
    assert (late.store.height > height) == is_written
    behind.crash(LATE)
    behind.run(for_ms=200)
    behind.restart(LATE)
    behind.run()
    assert is_level(behind)
    behind.assert_agreement()


def test_a_replica_that_was_never_there_jumps_from_the_genesis(make_world):
    world = make_world().start(*range(6))
    load(world, 0, 40)
    prune(world)
    world.restart(LATE, is_new=True)
    world.run()
    assert is_level(world)
    assert status(world).head == status(world, 0).head


def test_near_the_tip_too_what_is_gone_everywhere_is_jumped_over(behind):
    """Too near for the committed chain to be asked for, and all in between is pruned."""
    come_back(behind, until_jumped=False)
    behind.crash(LATE)
    load(behind, 40, 45)
    prune(behind, keep=1)
    gap = status(behind, 0).committed_height - behind.replicas[LATE].store.height
    assert 1 < gap < behind.limits.chain_gap_min
    behind.restart(LATE)
    behind.run(for_ms=20_000)
    assert is_level(behind)


def test_whoever_has_jumped_helps_others_as_far_as_it_can(behind):
    """It gives the blocks since its jump, and leads on from any boundary that it knows of."""
    late = come_back(behind, until_jumped=False)
    load(behind, 40, 44)
    since = [height for height in late.store.heights if height > late.named("jumped")[0]["height"]]
    sizes = [decode_block(late.store.heights[height].block).head.size for height in since]
    before = late.named("jumped")[0]["size"]

    def leads_on_from(size):
        request = FetchChain(Height(1), size)
        return answer(request, store=late.store, limits=behind.limits) is not None

    late.store.prune(1)
    assert all(leads_on_from(size) for size in (0, before, *sizes))
    assert not leads_on_from(before + 3), "a boundary within what was skipped"


# What a liar could offer.


def snapshots_to(world, index=LATE):
    """The honest offers that reach a replica; they are kept from it."""
    offers = []

    def keep(source, target, message):
        if target == index and isinstance(message, SnapshotReply):
            offers.append((source, message))
        return target == index and isinstance(message, SnapshotReply | ChainReply)

    world.drop = keep
    world.restart(index)
    world.run(until=lambda: len(offers) >= 2)
    return offers


def with_state(reply, change):
    block, state = decode_state(reply.state)
    encoded = Writer().bytes32(block.encoded).fixed(change(state).encode()).done()
    return replace(reply, state=encoded)


def lies(world, reply, older):
    """Offers that are wrong in one thing each."""
    positions = {1: (9, 9)}
    return {
        "proof of another block": replace(reply, proof=older.proof),
        "another validator's position": with_state(
            reply, lambda state: replace(state, positions=positions)
        ),
        "another log": with_state(
            reply,
            lambda state: replace(
                state, edge=CompactRange.empty().extended([bytes(32)] * state.edge.size)
            ),
        ),
        "a cover that is cut": replace(reply, hashes=reply.hashes[:-1]),
        "a cover with a hash too many": replace(reply, hashes=(*reply.hashes, bytes(32))),
        "a cover of another log": replace(reply, hashes=(bytes(32), *reply.hashes[1:])),
        "no state at all": replace(reply, state=reply.state[:-1]),
        "a size that no log has": replace(
            reply, state=reply.state[: -8 - 32 * len(CompactRange(64, (b"",)).hashes)] + b"\xff" * 8
        ),
    }


def test_a_snapshot_is_believed_only_as_far_as_it_is_proved(behind):
    offers = snapshots_to(behind)
    (sender, reply), late = offers[0], behind.replicas[LATE]
    load_later = behind.replicas[0].store
    older = next(
        SnapshotReply(reply.size, reply.state, offer.proof, reply.hashes)
        for offer in [replace(reply, proof=proof_of(load_later))]
    )
    for what, lie in lies(behind, reply, older).items():
        refusals = len(late.named("message_refused"))
        behind.inject(sender, LATE, lie)
        assert len(late.named("message_refused")) == refusals + 1, what
    assert not late.named("jumped")
    assert status(behind).is_catching_up


def proof_of(store):
    """The proof of a block that is not the last."""
    from heptad.consensus.codec import decode_proof

    heights = sorted(height for height, stored in store.heights.items() if stored.proof)
    return decode_proof(store.heights[heights[0]].proof)


def test_a_log_that_does_not_begin_with_ours_is_not_jumped_to_whoever_signed(behind):
    """All seven sign another history: this witness stays with the head that it has cosigned."""
    late = behind.replicas[LATE]
    behind.restart(LATE)
    parts = late.driver._core._parts
    root = parts.chain.tree.root
    parts.chain.tree._root = replace_edge(root)
    parts.chain.tree._nodes[root.block.id] = parts.chain.tree._root
    behind.run(for_ms=10_000)
    assert not late.named("jumped")
    assert any("does not begin" in f["reason"] for f in late.named("message_refused"))


def replace_edge(root):
    other = CompactRange.empty().extended([bytes(32)] * root.state.edge.size)
    root.state = replace(root.state, edge=other)
    return root


def test_one_peer_alone_cannot_make_a_replica_skip_what_the_others_hold(world):
    """Member 0 says that the blocks are gone; the others have them, and are asked."""
    load(world, 0, 2)
    world.crash(LATE)
    load(world, 2, 60)
    world.replicas[0].store.prune(1)
    world.restart(LATE)
    world.run()
    assert [m for _, source, to, m in world.sent if to == LATE and isinstance(m, SnapshotReply)]
    assert not world.replicas[LATE].named("jumped")
    assert is_level(world)
    assert world.replicas[LATE].log() == world.replicas[1].log()


def test_a_jump_waits_for_more_than_f_or_for_a_second_round_of_asking(behind):
    """Two peers answer, the others are down: they might hold the blocks, so all are asked twice."""
    behind.crash(2, 3, 4, 5)
    start_ms = behind.now_ms
    late = come_back(behind)
    asked = [m for _, source, _, m in behind.sent if source == LATE and isinstance(m, FetchChain)]
    assert len(asked) >= 2
    assert behind.now_ms - start_ms >= behind.limits.fetch_retry_ms
    assert late.named("jumped")


def test_a_snapshot_that_comes_late_is_nobodys_lie(behind):
    offers = snapshots_to(behind)
    behind.drop = lambda *_: False
    behind.run()
    late = behind.replicas[LATE]
    sender, reply = offers[0]
    scores = late.driver._core._parts.sync._scores
    before = scores._strikes[sender]
    behind.inject(sender, LATE, reply)
    assert "not asked for" in late.named("message_refused")[-1]["reason"]
    assert scores._strikes[sender] == before


def test_blocks_and_batches_that_a_jump_overtakes_leave_the_disk(make_world):
    """An uncommitted block is in the part that is skipped: neither it nor its batch stays."""
    world = make_world(limits=Limits(chain_gap_min=2)).start()
    load(world, 0, 2)
    world.submit(world.batch(sequence=2))
    world.run(until=lambda: with_batches(world.replicas[LATE].store))
    (header,) = with_batches(world.replicas[LATE].store)
    world.crash(LATE)
    load(world, 3, 30)
    prune(world, keep=2)
    world.restart(LATE)
    refs = decode_block(world.replicas[LATE].store.headers[header]).batches
    world.run(for_ms=20_000)
    store = world.replicas[LATE].store
    assert world.replicas[LATE].named("jumped")
    assert header not in store.headers
    assert not any(ref.digest in store.batches for ref in refs)


def with_batches(store):
    return [each for each in store.uncommitted if decode_block(store.headers[each]).batches]


def test_a_committed_state_that_a_disk_has_damaged_starts_nobody(behind):
    """Found by simulated torn writes: with other positions it would agree with nobody."""
    store = behind.replicas[0].store
    state = store.load().state
    for at in range(0, len(state), 5):
        store.state = state[:at] + bytes([state[at] ^ 1]) + state[at + 1 :]
        with pytest.raises(RecordDamagedError):
            behind.restart(0)
    store.state = state
    behind.restart(0)


def test_snapshots_that_nobody_asked_for_do_not_hurry_a_replica_past_the_others(world):
    """Member 0 repeats that the blocks are gone before the others had the time to answer."""
    load(world, 0, 2)
    world.crash(LATE)
    load(world, 2, 60)
    world.replicas[0].store.prune(1)
    world.drop = lambda _, target, message: target == LATE and isinstance(message, ChainReply)
    world.restart(LATE)
    world.run(until=lambda: status(world).is_catching_up)
    request = FetchChain(Height(status(world).committed_height + 1), status(world).head.size)
    store = world.replicas[0].store
    for _ in range(40):
        world.inject(0, LATE, answer(request, store=store, limits=world.limits))
    world.drop = lambda *_: False
    world.run()
    assert not world.replicas[LATE].named("jumped")
    assert world.replicas[LATE].log() == world.replicas[1].log()


def test_a_snapshot_of_the_only_peer_that_is_not_aside_does_not_stand_for_all(world):
    """Members 1 to 5 hold the blocks, and were all left aside for what they did before."""
    load(world, 0, 2)
    world.crash(LATE)
    load(world, 2, 60)
    world.replicas[0].store.prune(1)
    world.restart(LATE)
    scores = world.replicas[LATE].driver._core._parts.chain.scores
    for peer in range(1, 6):
        for _ in range(5):
            scores.lied(peer, world.now_ms)
    world.drop = lambda source, _, message: isinstance(message, ChainReply) and source != 5
    world.run()
    late = world.replicas[LATE]
    assert not late.named("jumped")
    assert late.log() == world.replicas[1].log()
