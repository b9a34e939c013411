"""Known bug 32 by chance: whatever one member sends, no step raises, and no refusal leaves a trace.

Two kinds of messages: what a group has really said, with bits turned, cut and joined; and messages
that are well made and well signed by an evil member, with any numbers in them. They go to a replica
in the middle of its work, with the bounds on its sender taken away, so that all of them are heard.
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from heptad.consensus.codec import new_block, new_timeout
from heptad.consensus.events import BatchReceived, MessageReceived, TimerFired
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    ChainReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Proposal,
    decode_message,
    encode_message,
)
from heptad.consensus.objects import BatchRef, CommitProof, LogHead, Timeout, Vote
from heptad.model.batch import decode_batch, encode_batch
from heptad.model.canonical import MalformedError
from heptad.model.ids import (
    BatchDigest,
    BlockId,
    Epoch,
    Height,
    MemberIndex,
    Round,
    ValidatorNumber,
)

EVIL = 5
VICTIM = 3
PATIENT = Limits(
    forgeries_max=1 << 60, peer_work_us_per_ms=1 << 40, validator_work_us_per_ms=1 << 40
)

numbers = st.one_of(st.integers(0, 12), st.integers(0, (1 << 64) - 1))
digests = st.binary(min_size=32, max_size=32)
slow = settings(
    max_examples=30,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
"""Worlds are dear, and what fails prints itself: nothing is shrunk."""


@pytest.fixture(scope="module")
def told(make_world):
    """What a group has said while it worked, lost its leader, gave up, and let one catch up."""
    world = make_world()
    world.start()
    for sequence in range(3):
        world.submit(world.batch(sequence=sequence))
        world.run()
    world.crash(0, 6)
    for sequence in range(3, 6):
        world.submit(world.batch(sequence=sequence), to=[1, 2])
        world.run()
    world.restart(6)
    world.run()
    for fetch in (FetchChain(Height(1), 0), FetchBlocks(tip_of(world, 2).id, Height(0))):
        world.inject(4, 2, fetch)
    messages = [message for *_, message in world.sent]
    kinds = {type(message) for message in messages}
    assert {Proposal, Vote, Timeout, Certificates, BlocksReply, BatchesReply, ChainReply} <= kinds
    return sorted({encode_message(message) for message in messages})


def tip_of(world, index):
    return world.replicas[index].commits[-1].block


def working(make_world):
    """A group that has committed a batch and is about to commit another one."""
    world = make_world(limits=PATIENT)
    world.start()
    world.submit(world.batch())
    world.run()
    world.submit(world.batch(sequence=1))
    world.run(for_ms=2)
    return world


def state_of(world, index=VICTIM):
    """All that a message might change, without what only counts."""
    core = world.replicas[index].driver._core
    parts, rounds = core._parts, core._parts.rounds
    votes = {
        (round_, block_id): (set(ballot.verified), set(ballot.waiting))
        for round_, ballots in rounds.votes._rounds.items()
        for block_id, ballot in ballots.items()
    }
    return (
        core.status(),
        parts.kernel.record,
        {node.block.id for node in parts.chain.tree},
        {parked.block.id for parked in parts.chain.parked.all()},
        set(parts.chain.pool._by_digest),
        set(parts.chain._offers._offers),
        set(parts.chain.blocks_wanted._wants),
        set(parts.chain.batches_wanted._wants),
        votes,
        set(core._voting._proposals),
        {who: each.timeout.encoded for who, each in rounds.timeouts._timeouts.items()},
        set(parts.docket._pending),
    )


def goes_on(world):
    """Whatever was sent, the others commit all that they have, and agree."""
    world.submit(world.batch(sequence=2))
    world.run()
    world.assert_agreement()
    for replica in world.replicas:
        assert replica.log()[-1] == (1, 1, 2)


mutations = st.lists(
    st.tuples(
        st.integers(0, 1 << 20), st.integers(0, 255), st.sampled_from(["set", "cut", "join"])
    ),
    max_size=4,
)


def mutated(payload, changes, other):
    data = bytearray(payload)
    for place, value, how in changes:
        at = place % max(1, len(data))
        if how == "set" and data:
            data[at] = value
        elif how == "cut":
            del data[at:]
        else:
            data[at:] = other[at:]
    return bytes(data)


@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_message_or_malformed(data):
    try:
        message = decode_message(data)
    except MalformedError:
        return
    assert encode_message(message) == data


@given(pick=st.integers(0, 1 << 20), other=st.integers(0, 1 << 20), changes=mutations)
@settings(max_examples=400)
def test_a_message_with_bits_turned_is_that_very_message_or_malformed(told, pick, other, changes):
    payload = mutated(told[pick % len(told)], changes, told[other % len(told)])
    try:
        message = decode_message(payload)
    except MalformedError:
        return
    assert encode_message(message) == payload


@given(changes=mutations, records=st.integers(0, 4))
def test_a_batch_with_bits_turned_is_that_very_batch_or_malformed(make_world, changes, records):
    whole = encode_batch(make_world().batch(records=records))
    payload = mutated(whole, changes, whole[::-1])
    try:
        batch = decode_batch(payload)
    except MalformedError:
        return
    assert encode_batch(batch) == payload


@given(
    picks=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20), mutations, st.integers(0, 7)),
        min_size=1,
        max_size=25,
    )
)
@slow
def test_no_step_raises_whatever_was_said_comes_again_with_bits_turned(make_world, picks):
    world = working(make_world)
    told = sorted({encode_message(message) for *_, message in world.sent})
    for pick, other, changes, sender in picks:
        payload = mutated(told[pick % len(told)], changes, told[other % len(told)])
        before = state_of(world)
        facts = len(world.replicas[VICTIM].facts)
        world.deliver(
            VICTIM, MessageReceived(MemberIndex(sender if sender == 7 else EVIL), payload)
        )
        named = {fact.name for fact in world.replicas[VICTIM].facts[facts:]}
        if named == {"message_refused"}:
            assert state_of(world) == before
    goes_on(world)


@st.composite
def evil_messages(draw):
    """A function of a world: a message that is well made, and signed where that is needed."""
    kind = draw(st.sampled_from(sorted(MAKERS)))
    values = {name: draw(strategy) for name, strategy in INGREDIENTS.items()}
    return lambda world: MAKERS[kind](world, **values)


INGREDIENTS = {
    "round_": numbers,
    "other_round": st.integers(0, 12),
    "height": numbers,
    "epoch": st.sampled_from((1, 1, 1, 0, 2)),
    "digest": digests,
    "time_ms": numbers,
    "count": st.integers(0, 3),
    "size": st.integers(0, (1 << 32) - 1),
    "known": st.integers(0, 1 << 20),
    "voters": st.sets(st.integers(0, 6), max_size=7),
}


def known_blocks(world):
    core = world.replicas[VICTIM].driver._core
    return [node.block for node in core._parts.chain.tree] + [
        commit.block for commit in world.replicas[VICTIM].commits
    ]


def known_block(world, known):
    blocks = known_blocks(world)
    return blocks[known % len(blocks)]


def some_qc(world, known, voters, **_):
    """A certificate that the group has, or one that a few members have signed for nothing."""
    block = known_block(world, known)
    return block.justify if known % 3 else world.qc(int(block.round), block.id, sorted(voters))


def some_tc(world, other_round, known, voters, **rest):
    if known % 2 or not voters:
        return None
    high_qc = some_qc(world, known // 2, voters)
    return world.tc(other_round, dict.fromkeys(sorted(voters), int(high_qc.round)), high_qc)


def some_ref(digest, height, size, count, known, **_):
    return BatchRef(ValidatorNumber(known % 4), height, known % 5, BatchDigest(digest), count, size)


def make_vote(world, round_, digest, epoch, known, **_):
    block_id = known_block(world, known).id if known % 2 else BlockId(digest)
    return replace(world.vote(EVIL, round_, block_id), epoch=Epoch(epoch))


def make_timeout(world, round_, epoch, **values):
    high_qc = some_qc(world, **values)
    round_ = int(high_qc.round) + 1 if values["known"] % 2 else round_
    signature = world.claim(EVIL, round_, int(high_qc.round)).signature
    return new_timeout(
        epoch=Epoch(epoch),
        round_=Round(round_),
        high_qc=high_qc,
        tc=some_tc(world, **values),
        fast_vote=b"",
        voter=MemberIndex(EVIL),
        signature=signature,
    )


def make_proposal(world, round_, height, *, epoch, time_ms, digest, **values):
    justify = some_qc(world, **values)
    block = new_block(
        epoch=Epoch(epoch),
        round_=Round(int(justify.round) + 1 if values["known"] % 2 else round_),
        height=Height(height),
        proposer=MemberIndex(EVIL),
        time_ms=time_ms,
        justify=justify,
        tc=some_tc(world, **values),
        batches=tuple(
            some_ref(digest=digest, height=height, **values) for _ in range(values["count"])
        ),
        control=(b"?",) * (values["count"] // 2),
        head=LogHead(values["size"], digest),
        state_hash=digest,
    )
    return Proposal(block, world.vote(EVIL, int(block.round), block.id).signature)


def make_certificates(world, **values):
    return Certificates(some_qc(world, **values), some_tc(world, **values))


def make_offer(world, count, **values):
    return BatchOffer(tuple(some_ref(count=count, **values) for _ in range(count)))


def make_blocks(world, known, count, **_):
    blocks = known_blocks(world)
    return BlocksReply(tuple(blocks[(known + step) % len(blocks)] for step in range(count)))


def make_chain(world, known, count, voters, **_):
    blocks = make_blocks(world, known, count).blocks
    child = known_block(world, known // 3)
    return ChainReply(blocks, CommitProof(child, some_qc(world, known, voters)))


def make_batches(world, known, count, **_):
    made = [world.batch(sequence=known % 4, records=1 + step) for step in range(count)]
    if known % 3 == 0:
        made = [replace(batch, signature=bytes(64)) for batch in made]
    return BatchesReply(tuple(encode_batch(batch) for batch in made))


MAKERS = {
    "vote": make_vote,
    "timeout": make_timeout,
    "proposal": make_proposal,
    "certificates": make_certificates,
    "offer": make_offer,
    "blocks": make_blocks,
    "chain": make_chain,
    "batches": make_batches,
    "fetch blocks": lambda world, digest, height, **_: FetchBlocks(BlockId(digest), Height(height)),
    "fetch known": lambda world, known, height, **_: FetchBlocks(
        known_block(world, known).id, Height(height)
    ),
    "fetch batches": lambda world, digest, count, **_: FetchBatches((BatchDigest(digest),) * count),
    "fetch chain": lambda world, height, size, **_: FetchChain(Height(height), size),
}


@given(messages=st.lists(evil_messages(), min_size=1, max_size=25), pause_ms=st.integers(0, 300))
@slow
def test_no_step_raises_whatever_an_evil_member_signs(make_world, messages, pause_ms):
    """Certificates of fewer members than a quorum are refused; the victim's timers run as well."""
    world = working(make_world)
    for make in messages:
        before, facts = state_of(world), len(world.replicas[VICTIM].facts)
        message = make(world)
        quorum = world.cell.committee.quorum
        for certificate in certificates_in(message):
            signers = getattr(certificate, "votes", None) or getattr(certificate, "claims", ())
            if len(signers) >= quorum and not is_known(world, certificate):
                return  # what a quorum has signed is no fuzz
        world.inject(EVIL, VICTIM, message)
        named = {fact.name for fact in world.replicas[VICTIM].facts[facts:]}
        if named == {"message_refused"}:
            assert state_of(world) == before
        world.now_ms += pause_ms
        world.deliver(VICTIM, TimerFired())
    goes_on(world)


def certificates_in(message):
    match message:
        case Certificates(high_qc, tc) | Timeout(high_qc=high_qc, tc=tc):
            found = [high_qc, tc]
        case Proposal(block, _):
            found = [block.justify, block.tc]
        case ChainReply(_, proof):
            found = [proof.child_qc]
        case _:
            found = []
    found = [each for each in found if each is not None]
    return found + [each.high_qc for each in found if hasattr(each, "high_qc")]


def is_known(world, certificate):
    return any(certificate == block.justify for block in known_blocks(world))


@given(
    payloads=st.lists(st.one_of(st.binary(max_size=300), mutations), min_size=1, max_size=20),
    validator=st.integers(0, 3),
)
@slow
def test_no_step_raises_whatever_a_validator_sends(make_world, payloads, validator):
    world = working(make_world)
    whole = encode_batch(world.batch(sequence=2))
    for each in payloads:
        payload = each if isinstance(each, bytes) else mutated(whole, each, whole[::-1])
        before = len(world.replicas[VICTIM].outcomes)
        world.deliver(VICTIM, BatchReceived(ValidatorNumber(validator), payload))
        assert len(world.replicas[VICTIM].outcomes) == before + 1
    goes_on(world)


def test_what_thousands_of_well_made_messages_leave_behind_is_bounded(make_world):
    """All kinds of messages without end, and every map within its limit."""
    world = working(make_world)
    world.drop = lambda source, target, _: VICTIM in (source, target)
    core = world.replicas[VICTIM].driver._core
    for number in range(3_000):
        digest = number.to_bytes(32, "big")
        values = {
            "round_": number % 40,
            "other_round": number % 13,
            "height": number,
            "epoch": 1,
            "digest": digest,
            "time_ms": number,
            "count": number % 4,
            "size": number,
            "known": number,
            "voters": {0, 1, 2},
        }
        message = list(MAKERS.values())[number % len(MAKERS)](world, **values)
        # Whatever it is, a refusal stays within the step.
        world.inject(EVIL, VICTIM, message)
    parts, limits = core._parts, core._parts.limits
    assert len(parts.chain.tree) <= limits.tree_blocks_max
    assert len(parts.chain.parked) <= limits.parked_blocks_max
    assert len(parts.chain.blocks_wanted) <= limits.wants_max
    assert len(parts.chain.batches_wanted) <= limits.wants_max
    assert len(parts.chain._offers._offers) <= 64 * 6
    assert len(parts.chain._invalid) <= 1_024
    assert len(parts.rounds.votes._rounds) <= limits.round_window + 1
    assert len(parts.rounds.timeouts._timeouts) <= 7
    assert len(core._voting._proposals) <= 7
    assert len(core._voting._reported) <= 14 * limits.round_window
    assert len(parts.certificates._remembered) <= 1_024
    assert len(parts.certificates._votes) <= 1_024
