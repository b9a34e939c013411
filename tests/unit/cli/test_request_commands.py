"""keygen, register, sign, submit, receipt: against a gateway that is played by a small server."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jws as jose
from joserfc.jwk import import_key
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.crypto.private_jwk import load_request_key
from heptad.crypto.requests import parse_request, verify_request
from heptad.model.problems import PROBLEMS

ORIGIN = "cell.example"
SUBJECT = "kn-" + "a" * 26
ID = "A" * 42 + "E"


def run(*arguments, stdin=None):
    return CliRunner().invoke(build([str(word) for word in arguments]),
                              [str(word) for word in arguments], input=stdin)  # fmt: skip


@dataclass
class FakeGateway:
    """Answers by method and path; the last answer of a list stays."""

    answers: dict[tuple[str, str], list[tuple[int, object]]] = field(default_factory=dict)
    heard: list[tuple[str, str, dict, bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, method, path):
        queue = self.answers.get((method, path), [(404, problem("not_found"))])
        return queue.pop(0) if len(queue) > 1 else queue[0]


def problem(code, **more):
    kind = PROBLEMS.get(code)
    status = kind.http if kind else 400
    return {"type": f"/errors/{code}", "status": status, "code": code, "detail": "because", **more}


def handler_of(fake):
    class Handler(BaseHTTPRequestHandler):
        def _serve(self):
            length = int(self.headers.get("Content-Length", 0))
            self.server.fake.heard.append(
                (self.command, self.path, dict(self.headers), self.rfile.read(length))
            )
            status, content = self.server.fake.answer(self.command, self.path)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            is_problem = isinstance(content, dict) and "code" in content
            self.send_response(status)
            kind = "application/problem+json" if is_problem else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _serve  # noqa: N815  the names that http.server looks for

        def log_message(self, *_):
            """Nothing: the test says what it hears."""

    return Handler


@contextmanager
def serving():
    fake = FakeGateway({("GET", "/v1"): [(200, {"origin": ORIGIN})]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(fake))
    server.fake = fake
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def gateway():
    with serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr("heptad.cli.submit._PAUSE_S", 0.001)
    monkeypatch.setattr("heptad.cli.receipt._PAUSE_S", 0.001)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "alice.jwk"
    assert run("keygen", "--out", path).exit_code == 0
    return path


@pytest.fixture
def registered(key):
    content = {"subject_id": SUBJECT, "origin": ORIGIN, "kid": "k" * 43}
    key.with_suffix(".subject").write_text(json.dumps(content))
    return key


@pytest.mark.parametrize(("alg", "kty"), [("ES256", "EC"), ("EdDSA", "OKP")])
def test_keygen_writes_a_private_jwk_for_its_owner_and_a_public_one(tmp_path, alg, kty):
    path = tmp_path / "key.jwk"
    result = run("keygen", "--out", path, "--alg", alg, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert path.stat().st_mode & 0o777 == 0o600
    private, public = (
        json.loads(path.read_text()),
        json.loads((tmp_path / "key.pub.jwk").read_text()),
    )
    assert private["kty"] == public["kty"] == said["jwk"]["kty"] == kty
    assert "d" in private
    assert "d" not in public
    assert import_key(public).thumbprint() == public["kid"]


def test_keygen_never_overwrites_a_key(key):
    before = key.read_text()
    result = run("keygen", "--out", key)
    assert result.exit_code == 2
    assert key.read_text() == before


def test_register_proves_possession_and_remembers_the_subject(gateway, key):
    gateway.answers["POST", "/v1/subjects"] = [
        (201, {"subject_id": SUBJECT, "kid": "k", "state": "COMMITTED", "index": 4})
    ]
    result = run("register", "--key", key, "--url", gateway.url)
    assert result.exit_code == 0, result.stderr
    _, _, headers, body = gateway.heard[-1]
    request = parse_request(body)
    assert headers["Content-Type"] == "application/jose"
    assert (request.aud, request.act, request.svc) == (ORIGIN, "subject.register", "heptad")
    verify_request(request, load_request_key(key).public)
    kept = key.with_suffix(".subject")
    assert json.loads(kept.read_text())["subject_id"] == SUBJECT
    assert kept.stat().st_mode & 0o777 == 0o600


def test_sign_prints_the_jws_and_nothing_else(registered):
    result = run("sign", "--key", registered, "--service", "tax", "--action", "consent.grant",
                 "--data", '{"purpose": "x"}')  # fmt: skip
    assert result.exit_code == 0, result.stderr
    request = parse_request(result.stdout.encode())
    assert (request.iss, request.aud, request.svc) == (SUBJECT, ORIGIN, "tax")
    assert dict(request.data) == {"purpose": "x"}
    # A JOSE library that is not ours reads and verifies it.
    public = json.loads(registered.with_suffix(".pub.jwk").read_text())
    public.pop("kid")
    verified = jose.deserialize_compact(result.stdout, import_key(public), algorithms=["ES256"])
    assert json.loads(verified.payload)["iss"] == SUBJECT


def test_sign_takes_data_from_a_file_or_standard_input(registered, tmp_path):
    (tmp_path / "data.json").write_text('{"a": 1}')
    for data, stdin in ((f"@{tmp_path}/data.json", None), ("-", '{"a": 1}')):
        result = run("sign", "--key", registered, "--service", "s", "--action", "a",
                     "--data", data, stdin=stdin)  # fmt: skip
        assert dict(parse_request(result.stdout.encode()).data) == {"a": 1}


def test_sign_needs_no_network_and_names_the_request(registered):
    jti = "0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1"
    arguments = ("sign", "--key", registered, "--service", "s", "--action", "a", "--jti", jti)
    said = json.loads(run(*arguments, "--json").stdout)
    assert parse_request(said["jws"].encode()).request_id == said["request_id"]
    assert json.loads(run(*arguments, "--json").stdout)["request_id"] == said["request_id"]


@pytest.mark.parametrize("data", ["nonsense", "[]", "7", "@/does/not/exist"])
def test_data_that_is_no_object_is_a_usage_error(registered, data):
    result = run("sign", "--key", registered, "--service", "s", "--action", "a", "--data", data)
    assert result.exit_code == 2


def test_a_key_that_nobody_registered_needs_a_subject(key):
    result = run("sign", "--key", key, "--service", "s", "--action", "a")
    assert result.exit_code == 2
    assert "heptad register" in result.stderr


def test_a_key_that_others_can_read_is_not_used(registered):
    registered.chmod(0o644)
    result = run("sign", "--key", registered, "--service", "s", "--action", "a")
    assert result.exit_code == 2
    assert "0644" in result.stderr


COMMITTED = {"request_id": ID, "state": "COMMITTED", "index": 7, "outcome": "allowed"}
PENDING = {"request_id": ID, "state": "PENDING", "outcome": "allowed"}


def submit(gateway, registered, *more):
    return run("submit", "--key", registered, "--service", "s", "--action", "a",
               "--url", gateway.url, "--json", *more)  # fmt: skip


def test_submit_says_where_the_request_is(gateway, registered):
    gateway.answers["POST", "/v1/requests"] = [(201, COMMITTED)]
    result = submit(gateway, registered)
    assert (result.exit_code, json.loads(result.stdout)) == (0, COMMITTED)


def test_submit_waits_for_the_commit(gateway, registered):
    gateway.answers["POST", "/v1/requests"] = [(202, PENDING)]
    gateway.answers["GET", f"/v1/requests/{ID}"] = [(200, PENDING), (200, COMMITTED)]
    result = submit(gateway, registered)
    assert (result.exit_code, json.loads(result.stdout)["index"]) == (0, 7)


def test_submit_without_waiting_prefers_an_answer_at_once(gateway, registered):
    gateway.answers["POST", "/v1/requests"] = [(202, PENDING)]
    result = submit(gateway, registered, "--wait", "0")
    assert (result.exit_code, json.loads(result.stdout)) == (0, PENDING)
    assert gateway.heard[-1][2]["Prefer"] == "respond-async"


def test_a_denial_is_shown_with_its_record_and_ends_with_1(gateway, registered):
    denial = problem("action_not_allowed", recorded=True, index=9, request_id=ID)
    gateway.answers["POST", "/v1/requests"] = [(403, denial)]
    result = submit(gateway, registered)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["index"] == 9


@pytest.mark.parametrize("code", ["request_expired", "overloaded"])
def test_a_refusal_ends_with_1_and_its_code(gateway, registered, code):
    gateway.answers["POST", "/v1/requests"] = [(PROBLEMS[code].http, problem(code))]
    result = submit(gateway, registered)
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["code"] == code


def test_a_code_of_a_newer_gateway_keeps_its_words(gateway, registered):
    gateway.answers["POST", "/v1/requests"] = [(418, problem("teapot"))]
    result = submit(gateway, registered)
    assert result.exit_code == 1
    assert "teapot: because" in result.stderr


def test_a_ready_jws_is_sent_as_it_is(gateway, tmp_path):
    gateway.answers["POST", "/v1/requests"] = [(201, COMMITTED)]
    (tmp_path / "request.jws").write_text("a.b.c\n")
    for source, stdin in ((tmp_path / "request.jws", None), ("-", "a.b.c\n")):
        result = run("submit", "--jws", source, "--url", gateway.url, stdin=stdin)
        assert result.exit_code == 0, result.stderr
        assert gateway.heard[-1][3] == b"a.b.c"


def test_submit_without_a_request_is_a_usage_error():
    assert run("submit").exit_code == 2


def test_receipt_waits_for_its_checkpoint_and_keeps_the_bytes(gateway, tmp_path):
    gateway.answers["GET", f"/v1/requests/{ID}/receipt"] = [
        (404, problem("request_unknown")),
        (404, problem("receipt_pending")),
        (200, b'{"format": "x"}\n'),
    ]
    out = tmp_path / "receipt.json"
    result = run("receipt", ID, "--url", gateway.url, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes() == b'{"format": "x"}\n'
    assert run("receipt", ID, "--url", gateway.url).stdout == '{"format": "x"}\n'


def test_receipt_gives_up_in_time(gateway):
    gateway.answers["GET", f"/v1/requests/{ID}/receipt"] = [(404, problem("receipt_pending"))]
    result = run("receipt", ID, "--url", gateway.url, "--wait", "0.01", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["code"] == "receipt_pending"


def test_an_answer_that_is_no_problem_details_is_told_as_such(gateway):
    gateway.answers["GET", f"/v1/requests/{ID}/receipt"] = [(502, b"<html>bad gateway</html>")]
    result = run("receipt", ID, "--url", gateway.url, "--wait", "0")
    assert result.exit_code == 1
    assert "502" in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "file:///etc/passwd"])
def test_an_address_that_is_no_http_is_a_usage_error(url):
    assert run("receipt", ID, "--url", url).exit_code == 2


def test_a_gateway_that_cannot_be_reached_ends_with_2_and_names_it(gateway):
    url = gateway.url
    with serving() as gone:
        url = gone.url
    result = run("receipt", ID, "--url", url)
    assert result.exit_code == 2
    assert url in result.stderr


def test_a_gateway_here_is_called_without_the_proxy_of_the_environment(gateway, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    gateway.answers["GET", f"/v1/requests/{ID}/receipt"] = [(200, b"{}")]
    assert run("receipt", ID, "--url", gateway.url).exit_code == 0
