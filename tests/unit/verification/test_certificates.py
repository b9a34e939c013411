"""A certificate of erasure: each step is told apart, and whatever is changed fails one of them."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.verification.conftest import COSIGNED_AT_S, NOW_S, log_of, note_of, policy_of, seeded
from unit.verification.erasure_log import (
    CERTIFICATE,
    HASH,
    INDEX,
    KEY,
    KEYS,
    ORDER,
    ORDER_INDEX,
    RETIRED_MS,
    SUBJECT,
    made,
    statement,
)

from heptad.crypto.erasures import certificate_claims, sign_certificate, sign_order
from heptad.model.entry import Kind
from heptad.model.erasure import ErasureGround, OrderedBy
from heptad.model.requests import request_id_of
from heptad.verification import (
    CertificateFile,
    CertificateUnreadableError,
    ReceiptRefusedError,
    certificate_members,
    examine_certificate_file,
    is_certificate_file,
)
from heptad.verification.certificate_file import FILE_BYTES_MAX, to_json
from heptad.verification.entry_rules import entry_fault
from heptad.wire.convert.entry import decode_entry

MADE = made()


def file_of(erasure=MADE, **changes):
    file = CertificateFile.parse(to_json(certificate_members(erasure, links={"self": "/v1/x"})))
    return dataclasses.replace(file, **changes)


def examined(file, *, keys=KEYS, subject_id=SUBJECT):
    return examine_certificate_file(
        file, policy=policy_of(), keys=keys, now_s=NOW_S, subject_id=subject_id
    )


def failures(report):
    return [f.subject for f in (*report.in_log.findings, *report.findings) if not f.holds]


def test_a_true_certificate_proves_itself_step_by_step():
    report = examined(file_of())
    report.require()
    assert [finding.subject for finding in report.findings] == [
        "entry states", "core", "attestation", "order in log", "order", "order signed", "request",
        "subject",
    ]  # fmt: skip
    assert report.certificate == CERTIFICATE
    assert report.in_log.cosigned_at_s["replica-1"] == COSIGNED_AT_S


def test_a_file_comes_back_as_it_went():
    file = file_of()
    assert CertificateFile.parse(file.encode()) == file
    assert is_certificate_file(file.encode())
    assert not is_certificate_file(b"{}")
    assert not is_certificate_file(b"no JSON")


def test_what_the_file_shows_is_readable_without_any_library():
    members = json.loads(file_of().encode())
    assert members["core"]["slot"] == 4_711
    assert members["core"]["beyond_use_until_ms"] is None
    assert members["request_id"] == request_id_of(HASH)
    assert SUBJECT not in file_of().encode().decode()


def test_without_the_cells_keys_all_but_the_signatures_is_judged():
    subjects = [finding.subject for finding in examined(file_of(), keys=None).findings]
    assert "attestation" not in subjects
    assert "order signed" not in subjects
    assert examined(file_of(), keys=None, subject_id=None).holds


@pytest.mark.parametrize("subject_id", ["kn-" + "b" * 26, "", "é"])
def test_it_is_about_one_subject_only(subject_id):
    assert failures(examined(file_of(), subject_id=subject_id)) == ["subject"]


def test_it_answers_one_request_only():
    other = request_id_of(b"o" * 32)
    assert failures(examined(file_of(request_id=other))) == ["request"]
    assert failures(examined(file_of(salt=b"t" * 32))) == ["request", "subject"]


@pytest.mark.parametrize(
    "change", [{"slot": 4_712}, {"read_back": 1}, {"ciphertexts": 1.0}, {"more": 1}]
)
def test_what_is_shown_is_what_was_signed(change):
    file = file_of()
    assert failures(examined(dataclasses.replace(file, core={**file.core, **change}))) == ["core"]


def test_a_stranger_attests_nothing():
    report = examined(file_of(made(key=seeded(9))))
    assert failures(report) == ["attestation", "order signed"]
    with pytest.raises(ReceiptRefusedError, match="attestation"):
        report.require()


def test_a_key_that_was_stolen_after_its_end_attests_nothing():
    late = RETIRED_MS + 1
    assert failures(examined(file_of(made(entered_ms=late)))) == ["attestation", "order signed"]


def test_the_log_must_state_the_very_certificate():
    other = dataclasses.replace(CERTIFICATE, ciphertexts=2)
    signature = sign_certificate(KEY, other)
    file = file_of(signature=signature, core=certificate_claims(other))
    assert failures(examined(file)) == ["entry states"]


def test_the_entry_must_be_in_the_log():
    file = file_of()
    entry = statement(Kind.ERASED, file.signature) + b"\x48\x00"
    assert "root" in failures(examined(dataclasses.replace(file, entry=entry)))


def test_too_few_cosignatures_prove_nothing():
    log_note = note_of(log_of(20).checkpoint(), cosigners=(0, 1, 2, 3))
    file = file_of()
    receipt = dataclasses.replace(file.receipt, checkpoint=log_note)
    assert "quorum" in failures(examined(dataclasses.replace(file, receipt=receipt)))


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 1},
        {"ground": ErasureGround.OBJECTION},
        {"ordered_by": OrderedBy.OFFICER},
        {"ordered_at_ms": 1},
        {"request_digest": b"x" * 32},
        {"origin": "other.example"},
    ],
)
def test_another_order_is_not_what_was_carried_out(change):
    report = examined(file_of(made(order=dataclasses.replace(ORDER, **change))))
    assert failures(report) == ["order"]


def test_an_order_is_an_order():
    assert failures(examined(file_of(made(order_kind=Kind.ERASURE_REFUSED)))) == ["order"]
    assert "order" in failures(examined(file_of(order_entry=b"\xff")))


def test_the_order_stands_where_the_certificate_says_and_before_it():
    for index in (ORDER_INDEX - 1, INDEX, INDEX + 1):
        file = file_of(made(certificate=dataclasses.replace(CERTIFICATE, order_index=index)))
        assert failures(examined(file)) == ["order in log"]
    assert failures(examined(file_of(order_inclusion=()))) == ["order in log"]


def test_an_order_that_came_after_its_certificate_ordered_nothing():
    late = dataclasses.replace(CERTIFICATE, order_index=INDEX + 2)
    report = examined(file_of(made(certificate=late, order_index=INDEX + 2)))
    assert failures(report) == ["order in log"]


def test_an_entry_of_another_kind_is_no_certificate():
    report = examined(file_of(made(kind=Kind.ERASURE_REFUSED)))
    assert failures(report) == ["entry states"]


def test_a_certificate_of_another_cell_is_refused():
    other = dataclasses.replace(CERTIFICATE, origin="other.example")
    order = dataclasses.replace(ORDER, origin="other.example")
    assert failures(examined(file_of(made(order, other)))) == ["core"]


def test_what_is_no_certificate_is_told_and_the_rest_is_judged():
    report = examined(file_of(signature=b"a.b.c"))
    assert failures(report) == ["entry states", "certificate"]
    assert report.certificate is None
    assert report.in_log.holds


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "heptad-receipt/v1"}, "format"),
        ({"salt": "AAAA"}, "salt has 3"),
        ({"salt": 1}, "salt"),
        ({"request_id": "x"}, "request_id"),
        ({"core": []}, "core"),
        ({"signature": "é"}, "ASCII"),
        ({"entry": "*"}, "entry"),
        ({"proof": "x"}, "proof"),
        ({"order": {}}, "order"),
        ({"order": {"entry": "", "inclusion": ["AAAA"]}}, "inclusion"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_of_another_form_is_refused_by_its_member(change, reason):
    members = json.loads(file_of().encode())
    with pytest.raises(CertificateUnreadableError, match=reason):
        CertificateFile.parse(json.dumps({**members, **change}).encode())


def test_every_member_is_required():
    members = json.loads(file_of().encode())
    for name in members:
        rest = {key: value for key, value in members.items() if key != name}
        with pytest.raises(CertificateUnreadableError, match=name):
            CertificateFile.parse(json.dumps(rest).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{}" + b" " * FILE_BYTES_MAX])
def test_what_is_no_file_is_refused(data):
    with pytest.raises(CertificateUnreadableError):
        CertificateFile.parse(data)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_bit_of_what_is_signed_or_logged_may_change_unnoticed(data):
    file = file_of()
    name = data.draw(st.sampled_from(["salt", "signature", "entry", "order_entry"]))
    raw = bytearray(getattr(file, name))
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    assert not examined(dataclasses.replace(file, **{name: bytes(raw)})).holds


def fault(kind, signed, index=INDEX):
    entry = statement(kind, signed)
    return entry_fault(decode_entry(entry), data=entry, index=index)


def test_an_entry_of_an_erasure_that_states_none_is_a_fault_of_who_admitted_it():
    order, certificate = sign_order(KEY, ORDER), sign_certificate(KEY, CERTIFICATE)
    assert not fault(Kind.ERASURE_ORDERED, order)
    assert not fault(Kind.ERASED, certificate)
    for kind in (Kind.ERASURE_REFUSED, Kind.ERASED):
        assert "cannot be read" in fault(kind, order)
    assert "cannot be read" in fault(Kind.ERASURE_ORDERED, certificate)


def test_no_honest_certificate_stands_before_its_order():
    certificate = sign_certificate(KEY, CERTIFICATE)
    assert not fault(Kind.ERASED, certificate, ORDER_INDEX + 1)
    assert "whose order is at 10" in fault(Kind.ERASED, certificate, ORDER_INDEX)
