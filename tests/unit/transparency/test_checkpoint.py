"""A checkpoint has one spelling, and counts only with the signatures that the policy asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import (
    ANY_TIME,
    Checkpoint,
    TimeWindow,
    cosigned_message,
    examine_checkpoint,
    verify_checkpoint,
    verify_cosignature,
    verify_signature,
)
from heptad.transparency.errors import CheckpointRejectedError, FormatError
from heptad.transparency.merkle import EMPTY_ROOT
from heptad.transparency.notes import Note, NoteSignature, SignatureType

NOW_S = 1_760_000_000

# The example of c2sp.org/tlog-cosignature, section "Ed25519 signed message".
PUBLISHED_MESSAGE = b"""\
cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""
PUBLISHED_BODY = PUBLISHED_MESSAGE.split(b"\n", 2)[2]
# The cosignature under the checkpoint in the first example of the same page.
PUBLISHED_LINE = (
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJs"
    "X3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
)


def note_of(checkpoint, *lines):
    return Note(checkpoint.body(), lines).encode()


def reject(note, cell, reason, *, window=ANY_TIME):
    with pytest.raises(CheckpointRejectedError, match=reason):
        verify_checkpoint(note, policy=cell.policy, verify=verify, window=window)


def test_the_published_checkpoint_is_read_and_written_the_same():
    checkpoint = Checkpoint.parse(PUBLISHED_BODY)

    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.body() == PUBLISHED_BODY


def test_a_cosigned_message_is_the_published_one():
    assert cosigned_message(PUBLISHED_BODY, time_s=1679315147) == PUBLISHED_MESSAGE


def test_a_cosignature_is_eight_bytes_of_time_and_a_signature(cell, head):
    published = NoteSignature.parse(PUBLISHED_LINE)
    ours = cell.replicas[0].sign(head, time_s=1679315147)

    assert published.signature[:8] == ours.signature[:8] == (1679315147).to_bytes(8, "big")
    assert len(published.signature) == len(ours.signature) == 72


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    "body",
    [
        "",
        "origin\n",
        "origin\n1\n",
        f"origin\n1\n{ROOT}",
        f"origin\n1\n{ROOT}\nextension\n",
        f"origin\n1\n{ROOT}\nx",
        f"origin\n1\n{ROOT}\n\n",
        f"\n1\n{ROOT}\n",
        f"ori gin\n1\n{ROOT}\n",
        f"ori+gin\n1\n{ROOT}\n",
        f"origin\r\n1\n{ROOT}\n",
        f"origin\n01\n{ROOT}\n",
        f"origin\n+1\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n 1\n{ROOT}\n",
        f"origin\n1_0\n{ROOT}\n",
        f"origin\n\u0661\n{ROOT}\n",
        f"origin\n\n{ROOT}\n",
        f"origin\n{2**63}\n{ROOT}\n",
        f"origin\n1{'0' * 5000}\n{ROOT}\n",
        f"origin\n1\n{ROOT[:-1]}\n",
        f"origin\n1\n{ROOT}=\n",
        f"origin\n1\n {ROOT}\n",
        f"origin\n1\n{ROOT[:-2]}J=\n",
        "origin\n1\nAAAA\n",
        f"origin\n0\n{ROOT}\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(body):
    with pytest.raises(FormatError):
        Checkpoint.parse(body.encode())


def test_a_body_that_is_not_utf8_is_refused():
    with pytest.raises(FormatError, match="UTF-8"):
        Checkpoint.parse(b"\xff\n1\n" + ROOT.encode() + b"\n")


@given(size=st.integers(1, 2**63 - 1), root=st.binary(min_size=32, max_size=32))
def test_a_checkpoint_survives_being_written_and_read(size, root):
    checkpoint = Checkpoint("cell.example/heptad", size, root)

    assert Checkpoint.parse(checkpoint.body()) == checkpoint


def test_the_empty_log_has_a_checkpoint(cell):
    empty = Checkpoint("cell.example/heptad", 0, EMPTY_ROOT)

    assert Checkpoint.parse(empty.body()) == empty
    assert verify_checkpoint(cell.note(empty, cosigners=5), policy=cell.policy, verify=verify)


@pytest.mark.parametrize("cosigners", [5, 6, 7])
def test_a_checkpoint_with_a_quorum_of_cosignatures_is_believed(cell, head, cosigners):
    note = cell.note(head, cosigners=cosigners)

    assert verify_checkpoint(note, policy=cell.policy, verify=verify) == head


@pytest.mark.parametrize("cosigners", [0, 4])
def test_a_checkpoint_without_a_quorum_is_rejected_and_says_who_is_missing(cell, head, cosigners):
    note = cell.note(head, cosigners=cosigners)

    reject(note, cell, f"replicas needs 5 of 7, has {cosigners} .* lacks .*replica-7")


def test_a_checkpoint_that_its_log_did_not_sign_is_rejected(cell, head):
    note = note_of(head, *(replica.sign(head) for replica in cell.replicas))

    reject(note, cell, "no good signature by cell.example/heptad itself")


def test_a_log_that_the_policy_does_not_know_is_rejected(cell, new_signer):
    stranger = new_signer("other.example", SignatureType.LOG, 200)
    head = Checkpoint("other.example", 300, bytes(32))
    note = note_of(head, stranger.sign(head), *(replica.sign(head) for replica in cell.replicas))

    reject(note, cell, "other.example is not a known log; known: cell.example/heptad")


def test_a_known_log_cannot_speak_for_another_log(cell):
    head = Checkpoint("other.example", 300, bytes(32))
    key = cell.log.key
    line = NoteSignature(key.name, key.key_id, cell.log.private.sign(head.body()))
    note = note_of(head, line, *(replica.sign(head) for replica in cell.replicas))

    reject(note, cell, "other.example is not a known log")


def test_cosignatures_of_strangers_are_ignored(cell, head, new_signer):
    strangers = [
        new_signer(f"{head.origin}/replica-{number}", SignatureType.COSIGNATURE, 200 + number)
        for number in range(1, 8)
    ]
    lines = [cell.log.sign(head), *(stranger.sign(head) for stranger in strangers)]

    reject(note_of(head, *lines), cell, "replicas needs 5 of 7, has 0")
    good = note_of(head, *lines, *(replica.sign(head) for replica in cell.replicas[:5]))
    examined = examine_checkpoint(good, policy=cell.policy, verify=verify)
    assert all(finding.holds for finding in examined.findings)
    assert sum("ignored" in finding.detail for finding in examined.findings) == 7


def test_one_witness_that_cosigns_often_counts_once(cell, head):
    lines = [cell.replicas[0].sign(head, time_s=NOW_S + second) for second in range(7)]

    reject(note_of(head, cell.log.sign(head), *lines), cell, "needs 5 of 7, has 1 ")


def test_one_bad_signature_by_a_known_key_spoils_the_note(cell, head):
    other = Checkpoint(head.origin, head.size + 1, head.root)
    good = [cell.log.sign(head), *(replica.sign(head) for replica in cell.replicas[:6])]

    reject(note_of(head, *good, cell.replicas[6].sign(other)), cell, "replica-7.* does not verify")
    reject(note_of(head, cell.log.sign(other), *good[1:]), cell, "does not verify")


def test_a_cosignature_does_not_verify_with_another_time_or_as_a_plain_signature(cell, head):
    replica = cell.replicas[0]
    line = replica.sign(head)
    moved = NoteSignature(
        line.key_name, line.key_id, (NOW_S + 1).to_bytes(8, "big") + line.signature[8:]
    )
    plain = NoteSignature(
        line.key_name,
        line.key_id,
        NOW_S.to_bytes(8, "big") + replica.private.sign(head.body()),
    )
    for forged in (moved, plain):
        with pytest.raises(CheckpointRejectedError, match="does not verify"):
            verify_cosignature(head.body(), forged, key=replica.key, verify=verify)


@pytest.mark.parametrize("bit", range(0, 72 * 8, 7))
def test_a_changed_bit_in_a_cosignature_breaks_it(cell, head, bit):
    line = cell.replicas[0].sign(head)
    flipped = bytearray(line.signature)
    flipped[bit // 8] ^= 1 << bit % 8

    with pytest.raises(CheckpointRejectedError):
        verify_cosignature(
            head.body(),
            NoteSignature(line.key_name, line.key_id, bytes(flipped)),
            key=cell.replicas[0].key,
            verify=verify,
        )


def test_a_changed_byte_of_the_checkpoint_breaks_every_signature(cell, head):
    note = cell.note(head, cosigners=7)
    body = head.body()
    for position in range(len(body)):
        changed = bytearray(note)
        changed[position] ^= 1

        with pytest.raises((CheckpointRejectedError, FormatError)):
            verify_checkpoint(bytes(changed), policy=cell.policy, verify=verify)


@pytest.mark.parametrize("length", [1, 8, 63, 71, 73, 100])
def test_a_signature_of_a_wrong_length_is_rejected_before_it_is_checked(cell, head, length):
    key = cell.replicas[0].key

    with pytest.raises(CheckpointRejectedError, match=f"of {length} bytes has the wrong length"):
        verify_signature(
            head.body(),
            NoteSignature(key.name, key.key_id, bytes(length)),
            key=key,
            verify=lambda **_: None,
        )


def test_a_time_beyond_all_times_is_rejected(cell, head):
    key = cell.replicas[0].key

    with pytest.raises(CheckpointRejectedError, match="over 2"):
        verify_signature(
            head.body(),
            NoteSignature(key.name, key.key_id, b"\x80" + bytes(71)),
            key=key,
            verify=lambda **_: None,
        )


def test_a_signature_is_not_taken_for_another_keys(cell, head):
    line = cell.replicas[0].sign(head)

    with pytest.raises(CheckpointRejectedError, match=r"claims to be by .*replica-1"):
        verify_signature(head.body(), line, key=cell.replicas[1].key, verify=lambda **_: None)


@pytest.mark.parametrize("late_s", [-60, 0, 60])
def test_a_cosignature_within_its_window_is_good(cell, head, late_s):
    line = cell.replicas[0].sign(head, time_s=NOW_S + late_s)

    time_s = verify_cosignature(
        head.body(),
        line,
        key=cell.replicas[0].key,
        verify=verify,
        window=TimeWindow.around(NOW_S, bound_s=60),
    )

    assert time_s == NOW_S + late_s


@pytest.mark.parametrize("late_s", [-61, 61])
def test_a_cosignature_outside_of_its_window_spoils_the_note(cell, head, late_s):
    lines = [cell.log.sign(head), *(replica.sign(head) for replica in cell.replicas[:6])]
    late = cell.replicas[6].sign(head, time_s=NOW_S + late_s)
    window = TimeWindow.around(NOW_S, bound_s=60)

    assert verify_checkpoint(
        note_of(head, *lines), policy=cell.policy, verify=verify, window=window
    )
    reject(note_of(head, *lines, late), cell, f"cosigned at {NOW_S + late_s}", window=window)


def test_an_auditor_believes_an_old_cosignature_and_not_one_from_the_future(cell, head):
    old, future = (
        cell.note(head, cosigners=5, time_s=time_s) for time_s in (1_000_000_000, NOW_S + 61)
    )
    window = TimeWindow.until(NOW_S, bound_s=60)

    assert verify_checkpoint(old, policy=cell.policy, verify=verify, window=window) == head
    reject(future, cell, "which is not in 0..", window=window)


def test_every_signature_is_a_finding_with_its_time(cell, head):
    examined = examine_checkpoint(cell.note(head, cosigners=6), policy=cell.policy, verify=verify)

    assert examined.checkpoint == head
    assert examined.cosigned_at_s == {f"replica-{number}": NOW_S for number in range(1, 7)}
    assert len(examined.findings) == 7 + 2
    assert f"replica-6's, good, made at {NOW_S}" in examined.findings[6].detail


def test_nothing_is_signed_under_the_wrong_kind_of_key(cell, head):
    with pytest.raises(AssertionError):
        cell.log.sign(Checkpoint("other.example", 1, bytes(32)))
    with pytest.raises(AssertionError):
        cell.replicas[0].sign(head, time_s=-1)
