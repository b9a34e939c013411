"""A transcript tells every kind of message in a few words, and rubbish as rubbish."""

import pytest

from heptad.consensus.codec import new_timeout
from heptad.consensus.messages import (
    BatchesReply,
    BatchOffer,
    BlocksReply,
    Certificates,
    ChainReply,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    encode_message,
)
from heptad.model.ids import Epoch, Height, MemberIndex, Round
from heptad.simulation.rules import round_of
from heptad.simulation.transcript import Transcript, describe_payload


def told(message):
    return describe_payload(encode_message(message))


@pytest.fixture
def block(scene):
    batch = scene.forge.batch(0, b"a")
    scene.submit(batch)
    return scene.forge.block(scene.forge.genesis, batch)


@pytest.fixture
def timeout(scene):
    return new_timeout(
        epoch=Epoch(1), round_=Round(4), high_qc=scene.forge.genesis_qc, tc=None, fast_vote=b"",
        voter=MemberIndex(0), signature=bytes(64),
    )  # fmt: skip


def test_each_kind_of_message_is_told_with_its_numbers(scene, block, timeout):
    proof = scene.forge.proof(block)
    for message, wanted in (
        (scene.forge.proposal(block), "proposal round 1 height 1"),
        (scene.forge.proposal(block), "[v1.0.0]"),
        (scene.forge.vote(block, 2), "vote round 1"),
        (timeout, "time-out round 4 with QC 0"),
        (Certificates(scene.forge.qc(block), None), "QC 1"),
        (BatchOffer(block.batches), "offers v1.0.0"),
        (FetchBlocks(block.id, Height(3)), "down to height 3"),
        (BlocksReply((block,)), "1 blocks from height 1"),
        (FetchBatches((block.batches[0].digest,)), "asks for 1 batches"),
        (BatchesReply((b"x",)), "1 batches"),
        (FetchChain(Height(9), 0), "from height 9"),
        (ChainReply((block,), proof), "up to height 1"),
    ):
        assert wanted in told(message)


def test_rubbish_is_called_so():
    assert describe_payload(b"\xff\xff").startswith("rubbish")


def test_a_line_has_its_time_and_who_speaks():
    lines = []
    transcript = Transcript(lines.append)
    transcript.note(12_345, "replica-1", "dies")

    assert lines == ["     12.345  replica-1       dies"]


def test_rules_know_the_round_of_each_message(scene, block, timeout):
    proof = scene.forge.proof(block)

    assert [
        round_of(message)
        for message in (
            scene.forge.proposal(block), scene.forge.vote(block, 1), timeout,
            Certificates(scene.forge.qc(block), None), BlocksReply((block,)),
            ChainReply((block,), proof), FetchChain(Height(1), 0), BlocksReply(()),
        )
    ] == [1, 1, 4, 1, 1, 1, 0, 0]  # fmt: skip
