"""`heptad subject-key`: two keys sign for an addition, and a rotation can break off anywhere."""

import json

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.crypto.device_keys import read_revocation, verify_addition
from heptad.crypto.private_jwk import load_request_key
from heptad.crypto.requests import parse_request, verify_request
from heptad.model.problems import Problem

ORIGIN, SUBJECT = "cell.example", "kn-" + "a" * 26


def run(*arguments, stdin=None):
    words = [str(word) for word in arguments]
    return CliRunner().invoke(build(words), words, input=stdin)


class Cell:
    """A gateway with a validator behind it that knows whose keys are active; `refusals` come
    first, one for each request."""

    def __init__(self, *kids):
        self.active, self.known = set(kids), set(kids)
        self.heard = []
        self.refusals = []

    def post(self, path, body, *, media_type, headers):
        assert (path, media_type) == ("/v1/requests", "application/jose")
        request = parse_request(body)
        self.heard.append(request)
        if self.refusals and (code := self.refusals.pop(0)):
            raise Problem(code, "not now")
        if request.kid not in self.active:
            raise Problem("key_revoked" if request.kid in self.known else "key_unknown", "no")
        assert (request.iss, request.aud, request.svc) == (SUBJECT, ORIGIN, "heptad")
        if request.act == "key.add":
            self._add(verify_addition(request).kid)
        else:
            self._revoke(read_revocation(request))
        return self

    def get(self, path, *, headers):
        assert path == "/v1/subjects/me/keys"
        scheme, jws = headers["Authorization"].split(" ")
        request = parse_request(jws.encode())
        assert (scheme, request.svc, request.act) == ("Heptad", "heptad", "subject.keys")
        assert request.kid in self.active
        return self

    def _add(self, kid):
        if kid in self.known:
            raise Problem("key_exists", "there already")
        self.known.add(kid)
        self.active.add(kid)

    def _revoke(self, kid):
        if kid not in self.active:
            raise Problem("key_not_active", "revoked already")
        self.active.remove(kid)

    def json(self):
        keys = [
            {"kid": kid, "active": kid in self.active, "index": 1, "added_ms": 0, "revoked_ms": 0}
            for kid in sorted(self.known)
        ]
        return {"keys": keys, "request_id": "r", "state": "COMMITTED", "index": len(self.heard)}


@pytest.fixture
def cell(alice, monkeypatch):
    fake = Cell(kid_of(alice))
    monkeypatch.setattr("heptad.cli.subject_key.GatewayHttp", lambda url: fake)
    monkeypatch.setattr("heptad.cli.subject_key._PAUSE_S", 0.001)
    return fake


@pytest.fixture
def alice(tmp_path):
    path = made(tmp_path / "alice.jwk")
    content = {"subject_id": SUBJECT, "origin": ORIGIN, "kid": kid_of(path)}
    path.with_suffix(".subject").write_text(json.dumps(content))
    return path


@pytest.fixture
def phone(tmp_path):
    return made(tmp_path / "phone.jwk", alg="EdDSA")


def made(path, alg="ES256"):
    assert run("keygen", "--out", path, "--alg", alg).exit_code == 0
    return path


def kid_of(path):
    return load_request_key(path).public.kid


def subject_beside(path):
    return json.loads(path.with_suffix(".subject").read_text())


def test_a_key_at_hand_is_added_and_remembers_whose_it_is(cell, alice, phone):
    result = run("subject-key", "add", "--key", alice, "--new", phone, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"added": kid_of(phone), "request_id": "r", "index": 1}
    assert cell.active == {kid_of(alice), kid_of(phone)}
    verify_request(cell.heard[0], load_request_key(alice).public)
    assert subject_beside(phone) == {
        "subject_id": SUBJECT, "origin": ORIGIN, "kid": kid_of(phone)
    }  # fmt: skip


def test_a_key_of_another_device_is_added_by_its_offer(cell, alice, phone):
    offer = run("subject-key", "offer", "--key", phone, "--subject", SUBJECT, "--audience", ORIGIN)
    assert offer.exit_code == 0, offer.stderr
    private = json.loads(phone.read_text())
    assert private["d"] not in offer.stdout
    assert subject_beside(phone)["subject_id"] == SUBJECT
    phone.unlink()  # it is on the other device
    result = run("subject-key", "add", "--key", alice, "--offer", "-", stdin=offer.stdout)
    assert result.exit_code == 0, result.stderr
    assert len(cell.active) == 2


def test_an_offer_for_another_subject_is_not_even_sent(cell, alice, phone):
    other = "kn-" + "b" * 26
    offer = run("subject-key", "offer", "--key", phone, "--subject", other, "--audience", ORIGIN)
    result = run("subject-key", "add", "--key", alice, "--offer", "-", stdin=offer.stdout)
    assert result.exit_code == 1
    assert "key_proof_invalid" in result.stderr
    assert cell.heard == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"jti": 5}', '{"jti": "x", "data": 7}'])
@pytest.mark.usefixtures("cell")
def test_what_is_no_offer_is_a_usage_error(alice, text):
    result = run("subject-key", "add", "--key", alice, "--offer", "-", stdin=text)
    assert result.exit_code == 2


@pytest.mark.usefixtures("cell")
def test_an_addition_names_either_a_key_or_an_offer(alice, phone):
    assert run("subject-key", "add", "--key", alice).exit_code == 2
    both = run("subject-key", "add", "--key", alice, "--new", phone, "--offer", "-")
    assert both.exit_code == 2


@pytest.mark.usefixtures("cell")
def test_a_key_that_is_nobodys_changes_nothing(phone, tmp_path):
    result = run("subject-key", "rotate", "--key", phone, "--new", tmp_path / "new.jwk")
    assert result.exit_code == 2
    assert "heptad register" in result.stderr
    assert not (tmp_path / "new.jwk").exists()


def test_a_key_is_revoked_by_another(cell, alice, phone):
    run("subject-key", "add", "--key", alice, "--new", phone)
    result = run("subject-key", "revoke", "--key", phone, "--kid", kid_of(alice))
    assert result.exit_code == 0, result.stderr
    assert cell.active == {kid_of(phone)}


def test_all_keys_are_listed_and_the_one_that_asks_is_marked(cell, alice, phone):
    run("subject-key", "add", "--key", alice, "--new", phone)
    run("subject-key", "revoke", "--key", phone, "--kid", kid_of(alice))
    result = run("subject-key", "list", "--key", phone)
    assert result.exit_code == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "revoked" in rows[kid_of(alice)]
    assert "active" in rows[kid_of(phone)]
    assert rows[kid_of(phone)].endswith("<- this one")
    assert set(cell.active) == {kid_of(phone)}


def test_an_officer_revokes_a_lost_key(monkeypatch, tmp_path):
    said = []

    class Officer:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def revoke_key(self, subject, *, kid, reason):
            said.append((subject, kid, reason))
            return 17

    monkeypatch.setattr("heptad.client.officer.connect_officer", lambda profile: Officer())
    words = ("--subject", SUBJECT, "--kid", "k" * 43, "--reason", "stolen", "--json")
    result = run("subject-key", "revoke-lost", "--profile", tmp_path, *words)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"revoked": "k" * 43, "index": 17}
    assert said == [(SUBJECT, "k" * 43, "stolen")]


def test_a_refusal_ends_with_1_and_its_code(cell, alice):
    cell.refusals = ["key_last"]
    result = run("subject-key", "revoke", "--key", alice, "--kid", kid_of(alice), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["code"] == "key_last"


def test_a_rotation_makes_the_new_key_adds_it_and_revokes_the_old_one_by_it(cell, alice, tmp_path):
    new = tmp_path / "new.jwk"
    result = run("subject-key", "rotate", "--key", alice, "--new", new, "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["added"], said["revoked"]) == (kid_of(new), kid_of(alice))
    assert cell.active == {kid_of(new)}
    assert [request.kid for request in cell.heard] == [kid_of(alice), kid_of(new)]
    assert new.stat().st_mode & 0o777 == 0o600
    assert subject_beside(new)["kid"] == kid_of(new)


def test_a_rotation_waits_until_the_new_key_is_known(cell, alice, tmp_path):
    cell.refusals = ["", "key_unknown", "key_unknown"]
    result = run("subject-key", "rotate", "--key", alice, "--new", tmp_path / "new.jwk")
    assert result.exit_code == 0, result.stderr
    assert len(cell.heard) == 4


@pytest.mark.parametrize("broken_at", [1, 2])
def test_a_rotation_that_broke_off_is_ended_by_the_same_command(cell, alice, tmp_path, broken_at):
    """Refused before the addition, or before the revocation: and then run again, twice."""
    new = tmp_path / "new.jwk"
    cell.refusals = [*["", ""][: broken_at - 1], "overloaded"]
    arguments = ("subject-key", "rotate", "--key", alice, "--new", new)
    assert run(*arguments).exit_code == 1
    kid = kid_of(new)
    for _ in range(2):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        assert cell.active == {kid}
