"""Outstanding batches: numbered without gaps, sent again as the same bytes, settled once."""

from dataclasses import replace

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.signatures import verify
from heptad.model.batch import batch_signing_bytes, decode_batch
from heptad.model.ids import ValidatorNumber
from heptad.wire.streams import CommittedBatch, decode_from_validator
from heptad_validator.dispatching.batching import Gathered
from heptad_validator.dispatching.submission import Submission
from heptad_validator.tickets import Ticket

ORIGIN = "cell.example"
KEY = Ed25519Key(b"B" * 32)


def gathered(count=1):
    tickets = [
        Ticket(request_id=bytes(32), claims_digest=bytes(32), exp_s=0, time_ms=0)
        for _ in range(count)
    ]
    return Gathered([(b"entry", b"sealed")] * count, tickets, 11 * count, 0.0)


@pytest.fixture(name="submission")
def _submission():
    return Submission(
        validator=ValidatorNumber(3),
        origin=ORIGIN,
        incarnation=7,
        fault_count=2,
        resend_s=2.0,
        sign=KEY.sign,
    )


def row(sent, *, first_index=10):
    batch = decode_batch(decode_from_validator(sent.frame).batch)
    return CommittedBatch(
        batch.header.incarnation, batch.header.sequence, batch.digest, first_index, bytes(32), 1
    )


def frames(submission, sequence=0):
    """What a replica would be sent from this number on."""
    while (found := submission.frame_from(sequence)) is not None:
        yield found
        sequence = found[0] + 1


def test_batches_are_numbered_from_0_without_gaps_and_signed(submission):
    for number in range(3):
        sent = submission.send(gathered(number), now_ms=5, now_s=0.0)
        batch = decode_batch(decode_from_validator(sent.frame).batch)
        header = batch.header
        assert (header.validator, header.incarnation, header.sequence) == (3, 7, number)
        assert (header.count, header.created_ms) == (number, 5)
        verify(
            public_key=KEY.public_key,
            message=batch_signing_bytes(origin=ORIGIN, digest=batch.digest),
            signature=batch.signature,
        )


def test_whoever_asks_again_gets_the_same_bytes(submission):
    for _ in range(3):
        submission.send(gathered(), now_ms=1, now_s=0.0)
    assert list(frames(submission)) == list(frames(submission))
    assert [number for number, _ in frames(submission, 1)] == [1, 2]


def test_a_settled_batch_is_sent_no_more_and_settles_once(submission):
    sent = submission.send(gathered(2), now_ms=1, now_s=4.0)
    later = submission.send(gathered(), now_ms=1, now_s=5.0)
    notices = [submission.notice(f"replica-{n}", row(sent), 6.0) for n in range(1, 8)]
    assert [n for n, notice in enumerate(notices) if notice is not None] == [2]
    assert notices[2].row.first_index == 10
    assert notices[2].duration_s == 2.0
    assert [number for number, _ in frames(submission)] == [later.sequence]
    assert submission.records_outstanding == 1


def test_batches_settle_in_any_order(submission):
    sent = [submission.send(gathered(), now_ms=1, now_s=0.0) for _ in range(3)]
    for batch in (sent[2], sent[0], sent[1]):
        settled = [submission.notice(f"replica-{n}", row(batch), 1.0) for n in (1, 2, 3)][-1]
        assert settled.tickets is batch.tickets
    assert len(submission) == 0


def test_notices_of_another_life_or_of_unknown_batches_settle_nothing(submission):
    sent = submission.send(gathered(), now_ms=1, now_s=0.0)
    for n in range(1, 8):
        assert submission.notice(f"replica-{n}", replace(row(sent), incarnation=6), 1.0) is None
        assert submission.notice(f"replica-{n}", replace(row(sent), sequence=9), 1.0) is None
    assert len(submission) == 1


def test_what_is_not_committed_in_two_seconds_is_due_again_and_then_more_slowly(submission):
    submission.send(gathered(), now_ms=1, now_s=0.0)
    due = [moment / 10 for moment in range(800) if submission.rewind_due(moment / 10) is not None]
    assert due == [2.0, 6.0, 14.0, 30.0, 46.0, 62.0, 78.0]


def test_the_oldest_batch_that_is_due_is_where_sending_starts_again(submission):
    for second in range(3):
        submission.send(gathered(), now_ms=1, now_s=float(second))
    assert submission.rewind_due(1.9) is None
    assert submission.rewind_due(3.0) == 0
    assert submission.rewind_due(4.0) == 2


def test_the_age_of_what_is_outstanding_is_that_of_its_oldest(submission):
    assert submission.oldest_age_s(9.0) == 0.0
    first = submission.send(gathered(), now_ms=1, now_s=1.0)
    submission.send(gathered(), now_ms=1, now_s=3.0)
    assert submission.oldest_age_s(9.0) == 8.0
    for n in (1, 2, 3):
        submission.notice(f"replica-{n}", row(first), 9.0)
    assert submission.oldest_age_s(9.0) == 6.0
