"""f + 1 equal notices settle a batch, and nothing less or else does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.ids import BatchDigest
from heptad.wire.streams import CommittedBatch
from heptad_validator.dispatching.settlement import NoticeContradictsError, Settlement

DIGEST = BatchDigest(b"d" * 32)
ROW = CommittedBatch(
    incarnation=7, sequence=3, digest=DIGEST, first_index=40, block_id=b"b" * 32, block_time_ms=9
)
LIES = [
    replace(ROW, first_index=41),
    replace(ROW, block_id=b"x" * 32),
    replace(ROW, block_time_ms=10),
]


def settlement():
    return Settlement(DIGEST, fault_count=2)


def test_f_equal_notices_settle_nothing_and_one_more_does():
    batch = settlement()
    assert batch.notice("replica-1", ROW) is None
    assert batch.notice("replica-2", ROW) is None
    assert batch.notice("replica-3", ROW) == ROW


def test_a_replica_has_one_voice_however_often_it_speaks():
    batch = settlement()
    for _ in range(10):
        assert batch.notice("replica-1", ROW) is None
    assert batch.notice("replica-2", ROW) is None


@pytest.mark.parametrize("lie", LIES)
def test_f_liars_settle_nothing_and_stop_nobody(lie):
    batch = settlement()
    assert batch.notice("replica-1", lie) is None
    assert batch.notice("replica-2", lie) is None
    assert batch.notice("replica-3", ROW) is None
    assert batch.notice("replica-4", ROW) is None
    assert batch.notice("replica-5", ROW) == ROW


@pytest.mark.parametrize("lie", LIES)
def test_who_changes_its_word_is_named_and_its_first_word_counts(lie):
    batch = settlement()
    batch.notice("replica-1", ROW)
    with pytest.raises(NoticeContradictsError, match="replica-1"):
        batch.notice("replica-1", lie)
    batch.notice("replica-2", ROW)
    assert batch.notice("replica-3", ROW) == ROW


def test_a_notice_about_other_bytes_counts_for_nothing():
    batch = settlement()
    for replica in ("replica-1", "replica-2", "replica-3"):
        with pytest.raises(NoticeContradictsError, match="digest"):
            batch.notice(replica, replace(ROW, digest=b"x" * 32))


@given(
    notices=st.lists(
        st.tuples(st.integers(1, 7), st.sampled_from([ROW, *LIES])), min_size=1, max_size=40
    )
)
def test_what_settles_was_first_said_by_f_plus_one_replicas(notices):
    batch = settlement()
    first_words = {}
    for replica, row in notices:
        first_words.setdefault(replica, row)
        try:
            settled = batch.notice(f"replica-{replica}", row)
        except NoticeContradictsError:
            assert first_words[replica] != row
            continue
        backing = sum(word == row for word in first_words.values())
        assert (settled == row) == (backing >= 3)
