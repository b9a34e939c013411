"""Subject ids: nobody can choose one, everybody who holds the record can recompute it."""

import base64
import hashlib

import pytest

from heptad.model.subjects import (
    SubjectIdInvalidError,
    cell_code_of,
    parse_subject_id,
    subject_id,
)

WITNESS = bytes(range(32))


def test_a_subject_id_is_the_hash_that_the_specification_names() -> None:
    digest = hashlib.sha256(b"heptad/v1/subject\0" + WITNESS + b"registration").digest()
    name = base64.b32encode(digest).decode().lower()[:26]

    subject = subject_id(cell_code="c1", witness=WITNESS, payload=b"registration")

    assert subject == f"c1-{name}"
    assert parse_subject_id(subject) == subject
    assert cell_code_of(subject) == "c1"


def test_witness_payload_and_cell_all_count() -> None:
    subjects = {
        subject_id(cell_code=cell, witness=witness, payload=payload)
        for cell in ("c1", "c2")
        for witness in (WITNESS, bytes(32))
        for payload in (b"a", b"b")
    }

    assert len(subjects) == 8


@pytest.mark.parametrize("code", ["", "C1", "c-1", "c" * 17, "c1\n", "\u00e4"])
def test_a_cell_code_is_short_and_plain(code: str) -> None:
    with pytest.raises(SubjectIdInvalidError):
        subject_id(cell_code=code, witness=WITNESS, payload=b"")


@pytest.mark.parametrize(
    "text",
    ["", "c1", "c1-", "c1-" + "a" * 25, "c1-" + "a" * 27, "c1-" + "A" * 26, "c1-" + "1" * 26,
     "-" + "a" * 26, "c1-" + "a" * 26 + "\n", "c1_" + "a" * 26],
)  # fmt: skip
def test_what_has_not_the_shape_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SubjectIdInvalidError) as refusal:
        parse_subject_id(text)

    assert len(text) < 5 or text not in str(refusal.value)


def test_a_witness_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="31"):
        subject_id(cell_code="c1", witness=bytes(31), payload=b"")
