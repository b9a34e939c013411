"""`heptad erase`: a subject waits for its certificate, an officer decides and lists."""

import json
import time

import pytest
from unit.cli.test_request_commands import FakeGateway, problem, run, serving
from unit.verification.erasure_log import HASH, SUBJECT, made

from heptad import client
from heptad.cli import erase
from heptad.cli.subject_file import SubjectFile, path_beside, save
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.private_jwk import save_jwk
from heptad.crypto.requests import parse_request
from heptad.model.erasing import Erasure, Hold, Ordered
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.verification import CertificateFile, certificate_members
from heptad.verification.certificate_file import to_json

ID = request_id_of(HASH)
PATH = f"/v1/erasures/{ID}"
CERTIFICATE = to_json(certificate_members(made(), links={}))
RECEIVED = {"request_id": ID, "state": "received", "decide_by_ms": 1_762_592_000_000}
ORDERED = {"request_id": ID, "state": "ordered"}
UNPROVED = {"request_id": ID, "state": "erased"}
ERASED = {**UNPROVED, "certificate": json.loads(CERTIFICATE)}
REFUSED = {"request_id": ID, "state": "refused", "refusal_ground": "legal_hold"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(erase, "_PAUSE_S", 0.0)


@pytest.fixture
def gateway():
    with serving() as fake:
        fake.answers["POST", "/v1/subjects/me/erasure"] = [(202, RECEIVED)]
        fake.answers["GET", f"{PATH}/certificate"] = [(200, CERTIFICATE)]
        yield fake


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "alice.jwk"
    save_jwk(path, Ed25519Key(b"k" * 32))
    save(path_beside(path), SubjectFile(SUBJECT, "cell.example", "kid"))
    return path


def stands(gateway: FakeGateway, *answers):
    gateway.answers["GET", PATH] = [
        answer if isinstance(answer, tuple) else (200, answer) for answer in answers
    ]


def test_a_subject_waits_through_the_states_and_gets_its_certificate(gateway, key, tmp_path):
    stands(gateway, (404, problem("erasure_unknown")), RECEIVED, ORDERED, UNPROVED, ERASED)
    out = tmp_path / "certificate.json"
    result = run("erase", "--key", key, "--out", out, "--url", gateway.url)
    assert result.exit_code == 0, result.output
    states = [line.split()[0] for line in result.stdout.splitlines()]
    assert states[:4] == ["recorded", "received", "ordered", "erased"]
    assert "2025-11-08" in result.stdout
    assert CertificateFile.parse(out.read_bytes()).request_id == ID
    [posted] = [heard for heard in gateway.heard if heard[0] == "POST"]
    scheme, _, jws = posted[2]["Authorization"].partition(" ")
    signed = parse_request(jws.encode())
    assert (scheme, signed.svc, signed.act) == ("Heptad", "heptad", "subject.erase")
    assert (signed.iss, dict(signed.data)) == (SUBJECT, {})


def test_a_subject_may_name_its_ground(gateway, key, tmp_path):
    stands(gateway, ERASED)
    options = ("--out", tmp_path / "c", "--url", gateway.url)
    assert run("erase", "--key", key, "--ground", "objection", *options).exit_code == 0
    jws = gateway.heard[0][2]["Authorization"].split()[1]
    assert dict(parse_request(jws.encode()).data) == {"ground": "objection"}
    assert run("erase", "--key", key, "--ground", "legal_hold", *options).exit_code == 2


def test_json_is_one_object_with_the_certificate_and_its_file(gateway, key, tmp_path):
    stands(gateway, RECEIVED, ERASED)
    out = tmp_path / "c.json"
    result = run("erase", "--key", key, "--out", out, "--url", gateway.url, "--json")
    said = json.loads(result.stdout)
    assert (said["state"], said["file"]) == ("erased", str(out))
    assert said["certificate"]["request_id"] == ID


def test_a_refusal_ends_with_1_and_says_why(gateway, key, tmp_path):
    stands(gateway, REFUSED)
    result = run("erase", "--key", key, "--out", tmp_path / "c", "--url", gateway.url)
    assert result.exit_code == 1
    assert "legal_hold" in result.stdout
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("wait", "status"), [("0", 0), ("0.01", 1)])
def test_who_does_not_wait_is_told_how_to_ask_again(gateway, key, wait, status):
    stands(gateway, RECEIVED)
    result = run("erase", "--key", key, "--wait", wait, "--url", gateway.url)
    assert result.exit_code == status
    assert f"heptad erase --request {ID}" in result.stdout


def test_a_request_can_be_followed_by_its_id(gateway, tmp_path):
    stands(gateway, ERASED)
    out = tmp_path / "c.json"
    result = run("erase", "--request", ID, "--out", out, "--url", gateway.url)
    assert result.exit_code == 0
    assert out.read_bytes() == CERTIFICATE
    assert not [heard for heard in gateway.heard if heard[0] == "POST"]


def test_a_request_that_nobody_knows_is_not_waited_for_for_ever(gateway, monkeypatch):
    stands(gateway, (404, problem("erasure_unknown")))
    monkeypatch.setattr(erase, "_UNKNOWN_S_MAX", -1.0)
    result = run("erase", "--request", ID, "--url", gateway.url)
    assert result.exit_code == 1
    assert "erasure_unknown" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--key", "k", "--profile", "p"), ("--request", "r", "--profile", "p"),
        ("--key", "k", "--list"), ("--key", "k", SUBJECT), ("--request", "r", "--hold"),
        ("--profile", "p", "--hold", "--lift"), ("--profile", "p", SUBJECT),
        ("--profile", "p", "--ground", "objection", "--reason", "r"),
        ("--profile", "p", SUBJECT, "--ground", "objection"),
        ("--profile", "p", SUBJECT, "--ground", "legal_hold", "--reason", "r"),
        ("--profile", "p", SUBJECT, "--refuse", "--ground", "objection", "--reason", "r"),
    ],
)  # fmt: skip
def test_what_is_not_complete_is_no_attempt(arguments):
    assert run("erase", *arguments).exit_code == 2


# Officers.


class FakeOfficer:
    """An officer's client that remembers what it was asked for."""

    def __init__(self):
        self.asked, self.open, self.refusals = [], [], {}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def order(self, subjects, *, ground, reason):
        self.asked.append(("order", tuple(subjects), ground, reason))
        return [
            Ordered(subject, b"" if code else HASH, code)
            for subject in subjects
            for code in (self.refusals.get(subject, ""),)
        ]

    async def certificate(self, request_id, *, wait_s):
        self.asked.append(("certificate", request_id))
        return CertificateFile.parse(CERTIFICATE)

    async def refuse(self, subject, *, ground, reason):
        self.asked.append(("refuse", subject, ground, reason))
        return erasure(ErasureState.REFUSED)

    async def set_hold(self, subject, *, ground, reason):
        self.asked.append(("hold", subject, ground, reason))
        if subject in self.refusals:
            raise Problem(self.refusals[subject], "no")
        return (Hold(ground, 1),)

    async def lift_hold(self, subject, *, ground, reason):
        self.asked.append(("lift", subject, ground, reason))
        return ()

    async def open_erasures(self):
        for each in self.open:
            yield each


def erasure(state, decide_by_ms=0):
    return Erasure(
        request_id=HASH, salt=b"s" * 32, state=state, ordered_by=OrderedBy.SUBJECT,
        ground=ErasureGround.OBJECTION, received_at_ms=1_760_000_000_000,
        decide_by_ms=decide_by_ms, subject_id=SUBJECT,
    )  # fmt: skip


@pytest.fixture
def officer(monkeypatch):
    fake = FakeOfficer()
    monkeypatch.setattr(client, "connect_officer", lambda profile: fake)
    return fake


LETTER = ("--reason", "by letter")
OTHER = "kn-" + "b" * 26


def test_an_officer_orders_for_many_at_once(officer, tmp_path):
    file = tmp_path / "ids"
    file.write_text(f"# of May\n{OTHER}\n\n{SUBJECT}\n")
    result = run(
        "erase", "--profile", "p", SUBJECT, "--file", file, "--ground", "no_longer_needed", *LETTER
    )
    assert result.exit_code == 0, result.output
    assert officer.asked == [
        ("order", (SUBJECT, OTHER), ErasureGround.NO_LONGER_NEEDED, "by letter")
    ]
    assert f"{SUBJECT}  {ID}" in result.stdout


def test_one_that_is_refused_is_told_and_ends_with_1(officer):
    officer.refusals[OTHER] = "subject_on_hold"
    result = run(
        "erase", "--profile", "p", SUBJECT, OTHER, "--ground", "objection", *LETTER, "--json"
    )
    assert result.exit_code == 1
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"subject_id": SUBJECT, "request_id": ID},
        {"subject_id": OTHER, "code": "subject_on_hold"},
    ]


def test_certificates_of_an_order_go_into_a_folder(officer, tmp_path):
    out = tmp_path / "certificates"
    result = run("erase", "--profile", "p", SUBJECT, "--ground", "objection", *LETTER, "--out", out)
    assert result.exit_code == 0
    assert CertificateFile.parse((out / f"{ID}.json").read_bytes()).request_id == ID


@pytest.mark.parametrize(
    ("option", "act", "shown"),
    [
        ("--refuse", "refuse", "refused"),
        ("--hold", "hold", "on hold: legal_hold\n"),
        ("--lift", "lift", "no hold\n"),
    ],
)
def test_an_officer_refuses_holds_and_lifts(officer, option, act, shown):
    result = run("erase", "--profile", "p", SUBJECT, option, "--ground", "legal_hold", *LETTER)
    assert result.exit_code == 0, result.output
    assert officer.asked == [(act, SUBJECT, RefusalGround.LEGAL_HOLD, "by letter")]
    assert shown in result.stdout


def test_a_decision_that_is_refused_leaves_the_others(officer):
    officer.refusals[OTHER] = "subject_unknown"
    result = run(
        "erase", "--profile", "p", OTHER, SUBJECT, "--hold", "--ground", "legal_hold", *LETTER
    )
    assert result.exit_code == 1
    assert [asked[1] for asked in officer.asked] == [OTHER, SUBJECT]
    assert "subject_unknown" in result.stdout


def test_the_list_shows_how_long_there_is_to_decide(officer):
    now_ms, day_ms = time.time_ns() // 1_000_000, 86_400_000
    officer.open = [
        erasure(ErasureState.RECEIVED, now_ms - 1),
        erasure(ErasureState.RECEIVED, now_ms + 3 * day_ms + 60_000),
        erasure(ErasureState.ORDERED, now_ms - 1),
    ]
    late, due, ordered = run("erase", "--profile", "p", "--list").stdout.splitlines()
    assert "OVERDUE" in late
    assert SUBJECT in late
    assert "3 days left" in due
    assert "decide by" not in ordered
    listed = run("erase", "--profile", "p", "--list", "--json").stdout.splitlines()
    assert json.loads(listed[0])["decide_by_ms"] == now_ms - 1
    officer.open = []
    assert "nothing is open" in run("erase", "--profile", "p", "--list").stdout
