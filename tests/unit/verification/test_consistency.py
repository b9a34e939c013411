"""One log continues another, or two histories are shown and the text says so."""

from dataclasses import replace

import pytest

from heptad.transparency.tiled_tree import consistency_proof
from heptad.transparency.tiles import FetchedTiles
from heptad.verification import (
    LogInvalidError,
    verify_continuation,
    verify_continuation_by_tiles,
)


@pytest.fixture
def grown(make_log):
    log = make_log(100)
    old_note = log.files["checkpoint"]
    log.append([b"%d" % n for n in range(250)])
    return log, old_note, log.files["checkpoint"]


def test_a_log_continues_its_own_past(grown, policy, now_s):
    log, old, new = grown
    proof = consistency_proof(old_size=100, new_size=350, tiles=FetchedTiles(log.read))
    verify_continuation(old_note=old, new_note=new, proof=proof, policy=policy, now_s=now_s)
    heads = verify_continuation_by_tiles(
        old_note=old, new_note=new, read=log.read, policy=policy, now_s=now_s
    )
    assert [head.size for head in heads] == [100, 350]


def test_every_log_continues_the_empty_one_and_itself(make_log, grown, policy, now_s):
    log, _, new = grown
    empty = make_log(0).files["checkpoint"]
    for old in (empty, new):
        verify_continuation_by_tiles(
            old_note=old, new_note=new, read=log.read, policy=policy, now_s=now_s
        )


def test_two_histories_of_one_size_are_found(make_log, policy, now_s):
    ours, theirs = make_log(9), make_log(0)
    theirs.append([b"other", *ours.entries[1:]])
    with pytest.raises(LogInvalidError, match="keep both checkpoints"):
        verify_continuation(
            old_note=ours.files["checkpoint"],
            new_note=theirs.files["checkpoint"],
            proof=[],
            policy=policy,
            now_s=now_s,
        )


def test_a_rewritten_past_is_found_from_the_tiles(make_log, grown, policy, now_s):
    _, old, _ = grown
    rewritten = make_log(0)
    rewritten.append([b"rewritten", *[b"%d" % n for n in range(349)]])
    with pytest.raises(LogInvalidError, match="old root"):
        verify_continuation_by_tiles(
            old_note=old,
            new_note=rewritten.files["checkpoint"],
            read=rewritten.read,
            policy=policy,
            now_s=now_s,
        )


def test_a_log_that_shrinks_is_refused(grown, policy, now_s):
    _, old, new = grown
    with pytest.raises(LogInvalidError, match="had 350 entries and now says 100"):
        verify_continuation(old_note=new, new_note=old, proof=[], policy=policy, now_s=now_s)


def test_two_logs_that_are_both_known_do_not_continue_each_other(
    grown, make_other_note, policy, now_s
):
    _, old, _ = grown
    other_note, other_log = make_other_note(350)
    both = replace(policy, logs=(*policy.logs, other_log))
    with pytest.raises(LogInvalidError, match=r"two logs: cell\.example and other\.example"):
        verify_continuation(old_note=old, new_note=other_note, proof=[], policy=both, now_s=now_s)


def test_heads_that_nobody_signed_prove_nothing(grown, make_note, make_log, policy, now_s):
    _, old, new = grown
    weak = make_note(make_log(100).checkpoint(), cosigners=(0, 1, 2, 3))
    with pytest.raises(LogInvalidError, match="the old checkpoint: quorum"):
        verify_continuation(old_note=weak, new_note=new, proof=[], policy=policy, now_s=now_s)
    with pytest.raises(LogInvalidError, match="the new checkpoint"):
        verify_continuation(old_note=old, new_note=b"junk", proof=[], policy=policy, now_s=now_s)


def test_an_altered_proof_is_refused(grown, policy, now_s):
    log, old, new = grown
    proof = consistency_proof(old_size=100, new_size=350, tiles=FetchedTiles(log.read))
    for bad in (proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]], []):
        with pytest.raises(LogInvalidError):
            verify_continuation(old_note=old, new_note=new, proof=bad, policy=policy, now_s=now_s)
