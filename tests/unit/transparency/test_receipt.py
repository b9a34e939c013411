"""A receipt proves its own entry, shows its arithmetic, and proves nothing once it is touched."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import Checkpoint, TimeWindow
from heptad.transparency.errors import FormatError, ReceiptInvalidError
from heptad.transparency.merkle import leaf_hash
from heptad.transparency.notes import encode_base64
from heptad.transparency.receipt import (
    RECEIPT_BYTES_MAX,
    Receipt,
    examine_receipt,
    verify_receipt,
)

INDEX = 137
ENTRY = INDEX.to_bytes(4, "big")


@pytest.fixture(scope="module")
def receipt(cell, head, hashes, definition):
    proof = tuple(definition.inclusion(INDEX, hashes[:300]))
    return Receipt(leaf_index=INDEX, proof=proof, checkpoint=cell.note(head, cosigners=7))


def test_a_receipt_proves_its_entry(cell, head, receipt):
    assert verify_receipt(ENTRY, receipt, policy=cell.policy, verify=verify) == head


def test_every_receipt_of_a_small_log_holds(cell, hashes, definition):
    for size in range(1, 10):
        head = Checkpoint("cell.example/heptad", size, definition.root(hashes[:size]))
        note = cell.note(head, cosigners=5)
        for index in range(size):
            proof = tuple(definition.inclusion(index, hashes[:size]))
            kept = Receipt.parse(Receipt(index, proof, note).encode())

            entry = index.to_bytes(4, "big")
            assert verify_receipt(entry, kept, policy=cell.policy, verify=verify) == head


def test_the_file_is_as_the_specification_lays_it_out(receipt):
    lines = replace(receipt, extra=b"why").encode().split(b"\n")

    assert lines[:3] == [b"c2sp.org/tlog-proof@v1", b"extra d2h5", b"index 137"]
    assert lines[3].decode() == encode_base64(receipt.proof[0])
    assert lines[3 + len(receipt.proof)] == b""
    assert b"\n".join(lines[4 + len(receipt.proof) :]) == receipt.checkpoint


@pytest.mark.parametrize("extra", [b"", b"\0\xff", b"x" * 10_000])
def test_a_receipt_survives_being_written_and_read(receipt, extra):
    kept = replace(receipt, extra=extra)

    assert Receipt.parse(kept.encode()) == kept


def test_a_changed_byte_anywhere_in_the_file_is_refused_or_found(cell, receipt):
    data = receipt.encode()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            touched = Receipt.parse(bytes(changed))
        except FormatError:
            continue
        # A changed name or id makes a cosignature a stranger's, and five of six others remain.
        findings = examine_receipt(ENTRY, touched, policy=cell.policy, verify=verify).findings
        assert not all(f.holds for f in findings) or any("ignored" in f.detail for f in findings)


@given(data=st.data())
def test_whatever_is_read_is_written_back_the_same(data, receipt):
    changed = bytearray(replace(receipt, extra=b"abc").encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, 200))
        changed[position : position + 1] = data.draw(st.binary(max_size=2))
    try:
        read = Receipt.parse(bytes(changed))
    except FormatError:
        return
    assert read.encode() == bytes(changed)


def test_another_entry_is_not_proved(cell, receipt):
    with pytest.raises(ReceiptInvalidError, match=r"root: index 137 of 300: .* is not the check"):
        verify_receipt(ENTRY + b"\0", receipt, policy=cell.policy, verify=verify)


@pytest.mark.parametrize("index", [136, 138, 299])
def test_another_index_is_not_proved(cell, receipt, index):
    with pytest.raises(ReceiptInvalidError):
        verify_receipt(ENTRY, replace(receipt, leaf_index=index), policy=cell.policy, verify=verify)


def test_an_index_beyond_the_checkpoint_is_named(cell, receipt):
    with pytest.raises(ReceiptInvalidError, match="leaf index 300 is not below the tree size 300"):
        verify_receipt(ENTRY, replace(receipt, leaf_index=300), policy=cell.policy, verify=verify)


@pytest.mark.parametrize("change", [lambda proof: proof[:-1], lambda proof: (*proof, proof[0])])
def test_a_proof_with_a_hash_too_few_or_too_many_is_named(cell, receipt, change):
    touched = replace(receipt, proof=change(receipt.proof))

    with pytest.raises(ReceiptInvalidError, match="proof: inclusion proof"):
        verify_receipt(ENTRY, touched, policy=cell.policy, verify=verify)


def test_a_receipt_under_four_cosignatures_proves_nothing(cell, head, receipt):
    weak = replace(receipt, checkpoint=cell.note(head, cosigners=4))

    with pytest.raises(ReceiptInvalidError, match=r"quorum: .* needs 5 of 7, has 4"):
        verify_receipt(ENTRY, weak, policy=cell.policy, verify=verify)


def test_a_receipt_from_the_future_proves_nothing_yet(cell, receipt):
    window = TimeWindow.until(1_000_000_000, bound_s=60)

    with pytest.raises(ReceiptInvalidError, match="cosigned at"):
        verify_receipt(ENTRY, receipt, policy=cell.policy, verify=verify, window=window)


def test_an_examination_shows_each_step_of_the_arithmetic(cell, head, receipt, hashes):
    examined = examine_receipt(ENTRY, receipt, policy=cell.policy, verify=verify)

    subjects = [finding.subject for finding in examined.findings]
    steps = [finding for finding in examined.findings if finding.subject.startswith("step")]
    assert examined.holds
    assert subjects[0] == "leaf"
    assert leaf_hash(ENTRY).hex() in examined.findings[0].detail
    assert len(steps) == len(receipt.proof) == 9
    assert f"with {hashes[136].hex()} on the left" in steps[0].detail
    assert steps[-1].detail.endswith(head.root.hex())
    assert subjects[10] == "root"
    assert subjects[-2:] == ["log", "quorum"]
    assert len(examined.cosigned_at_s) == 7


def test_an_examination_goes_on_after_a_step_that_fails(cell, receipt):
    examined = examine_receipt(b"other", receipt, policy=cell.policy, verify=verify)

    failed = [finding.subject for finding in examined.findings if not finding.holds]
    assert not examined.holds
    assert failed == ["root"]
    assert examined.findings[-1].subject == "quorum"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"c2sp.org/tlog-proof@v1\n", b""),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v2\n"),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\r\n"),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nextra \n"),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nextra\n"),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nextra ?\n"),
        (b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nextra YQ==\nextra YQ==\n"),
        (b"index 137\n", b"index 137\nextra YQ==\n"),
        (b"index 137\n", b""),
        (b"index 137\n", b"\n"),
        (b"index 137\n", b"index 0137\n"),
        (b"index 137\n", b"index +137\n"),
        (b"index 137\n", b"index  137\n"),
        (b"index 137\n", b"index 137 \n"),
        (b"index 137\n", b"Index 137\n"),
        (b"index 137\n", b"index -1\n"),
        (b"index 137\n", b"index 9223372036854775807\n"),
        (b"index 137\n", b"index 137\nAAAA\n"),
        (b"index 137\n", b"index 137\n" + encode_base64(bytes(32)).encode() * 64),
        (b"index 137\n", b"index 137\n" + (encode_base64(bytes(32)) + "\n").encode() * 60),
        (b"index 137\n", b"index \xd9\xa1\n"),
        (b"\n\n", b"\n"),
        (b"\n\ncell", b"\n\n\ncell"),
        (b"\n300\n", b"\n300\n\n"),
        (b"\n300\n", b"\n0300\n"),
    ],
)
def test_what_is_not_a_receipt_is_refused(receipt, old, new):
    data = receipt.encode()
    assert old in data

    with pytest.raises(FormatError):
        Receipt.parse(data.replace(old, new, 1))


@pytest.mark.parametrize("end", [0, 10, 30, 200, -1])
def test_a_receipt_that_is_cut_off_is_refused(receipt, end):
    with pytest.raises(FormatError):
        Receipt.parse(receipt.encode()[:end])


def test_a_receipt_of_unbounded_size_is_refused_before_it_is_read():
    with pytest.raises(FormatError, match="exceeds"):
        Receipt.parse(b"\xff" * (RECEIPT_BYTES_MAX + 1))
