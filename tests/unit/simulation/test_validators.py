"""A simulated validator: incarnations, fences, re-sending, and its manners."""

import pytest

from heptad.model.batch import decode_batch
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex, ValidatorNumber
from heptad.model.problems import Problem
from heptad.simulation.chance import stream
from heptad.simulation.clock import Timeline
from heptad.simulation.network import Network, NodeId, Weather
from heptad.simulation.reports import Report
from heptad.simulation.validators import RESEND_US, Manner, Validator


class Post:
    """Four replicas' letter boxes, and one validator that writes to them."""

    def __init__(self, scene, manner=Manner.HONEST, seed=1):
        self.timeline = Timeline()
        network = Network(self.timeline, stream(seed, "network"), Weather())
        self.boxes = {NodeId(index): [] for index in range(4)}
        for node, box in self.boxes.items():
            network.attach(node, Box(box))
        self.validator = Validator(
            number=ValidatorNumber(1), cell=scene.forge.cell,
            signer=scene.forge.keys.signer("batch", 1), manner=manner,
            replicas=tuple(self.boxes), network=network, timeline=self.timeline,
            checkers=scene.checkers, rng=stream(seed, "validator"),
        )  # fmt: skip
        self.at_us = 0

    def wait(self, span_us=10_000):
        self.at_us += span_us
        self.timeline.run(self.at_us, count_max=10**6)

    def report(self, *last, members=(0, 1)):
        for member in members:
            self.validator.receive(NodeId(member), Report(MemberIndex(member), last))

    def batches(self, node=0):
        """What one replica has received, decoded; rubbish is left out."""
        found = []
        for parcel in self.boxes[NodeId(node)]:
            try:
                found.append(decode_batch(parcel))
            except MalformedError:
                continue
        return found


class Box:
    def __init__(self, parcels):
        self.parcels = parcels

    def receive(self, source, parcel):
        self.parcels.append(parcel)


def numbers(batches):
    return [(batch.header.incarnation, batch.header.sequence) for batch in batches]


def records(batches):
    return [entry for batch in batches for entry in batch.entries()]


def test_batches_go_to_all_replicas_numbered_from_zero(scene):
    post = Post(scene)
    post.validator.submit(12)
    post.wait()

    sent = post.batches()
    assert numbers(sent) == [(0, sequence) for sequence in range(len(sent))]
    assert len(records(sent)) == 12
    assert all(numbers(post.batches(node)) == numbers(sent) for node in range(4))


def test_what_is_not_reported_is_sent_again_with_the_same_bytes(scene):
    post = Post(scene)
    post.validator.submit(1)
    post.wait(RESEND_US + 10_000)

    first, second = post.boxes[NodeId(0)]
    assert first == second


def test_it_believes_f_plus_one_members_and_not_fewer(scene):
    post = Post(scene)
    post.validator.submit(1)
    post.report((0, 0), members=(2,))
    post.report((0, 0), members=(2,))
    assert not post.validator.is_satisfied

    post.report((0, 0), members=(3,))
    assert post.validator.is_satisfied


def test_nothing_more_is_sent_once_all_is_committed(scene):
    post = Post(scene)
    post.validator.submit(1)
    post.report((0, 5))
    post.wait(10 * RESEND_US)

    assert post.timeline.is_empty


def test_a_restart_fences_the_old_incarnation_before_anything_else(scene):
    post = Post(scene)
    post.validator.submit(1)
    post.validator.restart()
    post.validator.submit(1)
    post.wait()

    assert numbers(post.batches()) == [(0, 0), (1, 0)]
    assert post.batches()[1].header.count == 0


def test_what_the_old_incarnation_did_not_commit_is_packed_again(scene):
    post = Post(scene)
    post.validator.submit(40)
    post.wait()
    old = post.batches()
    post.validator.restart()
    post.report((0, 1), (1, 0))
    post.wait()

    again = [batch for batch in post.batches() if numbers([batch])[0] > (1, 0)]
    assert sorted(records(again)) == sorted(records(old[2:]))


def test_members_must_agree_on_the_end_of_the_old_incarnation(scene):
    post = Post(scene)
    post.validator.submit(1)
    post.validator.restart()
    post.report((0, 0), (1, 0), members=(1,))
    post.report((1, 0), members=(2,))
    assert not post.validator.is_satisfied

    post.report((0, 0), (1, 0), members=(3,))
    assert post.validator.is_satisfied


def test_three_only_means_three_only(scene):
    post = Post(scene, Manner.THREE_ONLY)
    post.validator.submit(1)
    post.wait(3 * RESEND_US)

    assert sorted(bool(box) for box in post.boxes.values()) == [False, True, True, True]


def test_an_equivocator_puts_two_batches_under_one_number(scene):
    post = Post(scene, Manner.EQUIVOCATING)
    for _ in range(40):
        post.validator.submit(1)
        post.report((0, 1_000))
    post.wait()
    digests = {}
    for node in range(4):
        for batch in post.batches(node):
            digests.setdefault(numbers([batch])[0], set()).add(batch.digest)

    assert {len(found) for found in digests.values()} == {1, 2}


def test_a_gappy_validator_leaves_numbers_out(scene):
    post = Post(scene, Manner.GAPPY)
    for _ in range(40):
        post.validator.submit(1)
        post.report((0, 1_000))
    post.wait()
    sequences = [sequence for _, sequence in numbers(post.batches())]

    assert sequences[-1] >= len(sequences)


def test_garbage_is_no_batch_or_wears_no_valid_signature(scene):
    post = Post(scene, Manner.GARBAGE)
    for _ in range(40):
        post.validator.submit(1)
        post.report((0, 1_000))
    post.wait()

    bad = 0
    for batch in post.batches():
        try:
            scene.forge.keys.verify(
                public_key=scene.forge.keys.public_key("batch", 1), message=b"",
                signature=batch.signature,
            )  # fmt: skip
        except Problem:
            bad += batch.signature == bytes(64)
    assert bad > 0
    assert len(post.batches()) < len(post.boxes[NodeId(0)])


@pytest.mark.parametrize("manner", list(Manner))
def test_it_says_what_it_waits_for(scene, manner):
    post = Post(scene, manner)
    post.validator.submit(1)

    assert manner.value in post.validator.describe()
