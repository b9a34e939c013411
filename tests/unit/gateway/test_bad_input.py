"""Whatever comes in, what goes out is an answer with a stable code, and the gateway lives."""

import asyncio
import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.model.problems import PROBLEMS, Problem
from heptad.runtime.config import CellLimits

JOSE = {"Content-Type": "application/jose"}
HEAD = b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\n"


BATCH_HEAD = (
    b"POST /v1/requests:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: 20000\r\n\r\n"
)


def answers_of(raw: bytes) -> list[tuple[int, dict]]:
    """Status and problem of each answer on a raw connection."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(fields.get("content-length", 0))
        body = rest[:length]
        is_problem = fields.get("content-type") == "application/problem+json"
        found.append((int(lines[0].split(" ")[1]), json.loads(body) if is_problem else {}))
        raw = rest[length:]
    return found


def code_of(raw: bytes) -> tuple[int, str]:
    status, details = answers_of(raw)[0]
    assert details["status"] == status
    return status, details["code"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/", 404, "not_found"),
        ("GET", "/v1/requests//receipt", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/tile/", 404, "not_found"),
        ("GET", "/%2e%2e/etc/passwd", 404, "not_found"),
        ("GET", "/v1/requests", 405, "method_not_allowed"),
        ("DELETE", "/v1/subjects", 405, "method_not_allowed"),
        ("POST", "/checkpoint", 405, "method_not_allowed"),
        ("PUT", "/v1/requests:batch", 405, "method_not_allowed"),
        ("POST", "/v1/entries/7", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/requests", 405, "method_not_allowed"),
    ],
)
def test_addresses_and_methods_that_are_not_there(gateway, method, path, status, code):
    async def story(gateway):
        answer = await gateway.call(method, path)
        assert (answer.status, answer.code) == (status, code)
        assert ("Allow" in answer.headers) == (status == 405)

    gateway(story)


def test_a_method_of_other_servers_is_told_those_of_this_one(gateway):
    async def story(gateway):
        answer = await gateway.call("PROPFIND", "/v1/entries")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")

    gateway(story)


def test_where_get_is_answered_head_is_too(gateway):
    async def story(gateway):
        answer = await gateway.call("HEAD", "/v1")
        assert (answer.status, answer.body) == (200, b"")

    gateway(story)


@pytest.mark.parametrize("path", ["/v1/requests", "/v1/subjects", "/v1/requests:batch"])
@pytest.mark.parametrize("media_type", ["", "text/plain", "application/json+jose", "application/"])
def test_another_media_type_is_refused(gateway, path, media_type):
    async def story(gateway):
        headers = {"Content-Type": media_type}
        answer = await gateway.call("POST", path, data=b"x", headers=headers)
        assert (answer.status, answer.code) == (415, "media_type_unsupported")

    gateway(story)


@pytest.mark.parametrize("media_type", ["application/jose; charset=utf-8", "Application/JOSE"])
def test_parameters_and_case_of_a_media_type_mean_nothing(gateway, media_type):
    async def story(gateway):
        headers = {"Content-Type": media_type}
        answer = await gateway.call("POST", "/v1/requests", data=b"x", headers=headers)
        assert answer.status == 201

    gateway(story)


def test_a_compressed_body_is_refused_and_not_unpacked(gateway):
    async def story(gateway):
        headers = {**JOSE, "Content-Encoding": "gzip"}
        answer = await gateway.call("POST", "/v1/requests", data=b"x", headers=headers)
        assert (answer.status, answer.code) == (415, "media_type_unsupported")

    gateway(story)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """How long the gateway waits for the rest of a body that it has refused."""
    monkeypatch.setattr("heptad_gateway.connections.LINGER_S", 0.02)


def test_a_body_over_the_limit_is_refused_by_its_announced_length(gateway):
    async def story(gateway):
        # Only the head is sent: the answer does not wait for 17 kB to come.
        raw = await asyncio.wait_for(gateway.raw(HEAD + b"Content-Length: 16385\r\n\r\n"), 20)
        assert code_of(raw) == (413, "request_too_large")

    gateway(story)


def test_a_body_of_unknown_length_is_refused_once_it_is_over_the_limit(gateway):
    async def story(gateway):
        chunks = b"4000\r\n" + b"x" * 0x4000 + b"\r\n1\r\nx\r\n0\r\n\r\n"
        raw = await gateway.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert code_of(raw) == (413, "request_too_large")
        assert gateway.submissions.sent == []

    gateway(story)


def test_a_request_of_exactly_the_limit_passes(gateway):
    async def story(gateway):
        assert (await gateway.post(b"x" * 16_384)).status == 201
        assert (await gateway.post(b"x" * 16_385)).code == "request_too_large"

    gateway(story)


def test_the_limit_is_that_of_the_cell(gateway, cell):
    async def story(gateway):
        assert (await gateway.post(b"x" * 1_025)).code == "request_too_large"

    small = {"request_bytes_max": 1_024, "data_bytes_max": 512}
    changed = type(cell)(
        **{
            **{name: getattr(cell, name) for name in cell.__slots__},
            "limits": CellLimits(**small),
        }
    )
    gateway(story, cell=changed)


def test_a_body_that_never_ends_is_given_up(gateway, monkeypatch):
    monkeypatch.setattr("heptad_gateway.bodies.BODY_S_MAX", 0.05)

    async def story(gateway):
        raw = await gateway.raw(HEAD + b"Content-Length: 10\r\n\r\nabc")
        assert code_of(raw) == (408, "body_timeout")
        assert gateway.submissions.sent == []

    gateway(story)


def test_half_read_batches_of_all_clients_together_are_bounded(gateway, monkeypatch):
    """Ten thousand connections with two megabytes each would be twenty gigabytes."""
    monkeypatch.setattr("heptad_gateway.requests.BATCH_BODIES_BYTES_MAX", 20_000)

    async def story(gateway):
        # given a client that has sent most of a batch, and stops
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(BATCH_HEAD + b"[" + b" " * 15_000)
        await writer.drain()
        await gateway.call("GET", "/livez")
        # when another one does the same, it is refused
        assert code_of(await gateway.raw(BATCH_HEAD + b"[" + b" " * 15_000)) == (503, "overloaded")
        # then the first one is served, and its room is there again
        writer.write(b'"x"]'.rjust(20_000 - 15_001))
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert b"200 OK" in await gateway.raw(BATCH_HEAD + b'["x"]'.rjust(20_000))

    gateway(story, body_bytes_max=20_000)


def test_a_body_in_pieces_is_put_together(gateway):
    async def story(gateway):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: 6\r\n\r\n")
        for piece in (b"ab", b"cd", b"ef"):
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(piece)
        assert b"201 Created" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert gateway.submissions.sent[0][0] == b"abcdef"

    gateway(story)


def test_a_client_that_waits_to_be_told_to_go_on_is_told(gateway):
    async def story(gateway):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert b"201 Created" in await reader.readuntil(b"\r\n\r\n")
        writer.close()

    gateway(story)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "http_malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "http_malformed"),
        (b"GET /v1 HTTP/9.9\r\n\r\n", 400, "http_malformed"),
        (b"GET /v1 HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "http_malformed"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "http_malformed"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "http_malformed"),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "http_malformed"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", 431, "head_too_large"),
        (b"GET /v1 HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /v1 HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 400, "http_malformed"),
    ],
)
def test_what_is_no_http_is_answered_in_our_words_and_closed(gateway, data, status, code):
    async def story(gateway):
        raw = await gateway.raw(data)
        assert code_of(raw) == (status, code)
        assert (await gateway.post(b"next")).status == 201

    gateway(story)


def test_broken_chunks_are_refused(gateway):
    async def story(gateway):
        raw = await gateway.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert code_of(raw) == (400, "http_malformed")
        assert gateway.submissions.sent == []

    gateway(story)


def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(gateway):
    async def story(gateway):
        for data in (b"", b"POST", HEAD, HEAD + b"Content-Length: 10\r\n\r\nabc"):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(data)
            writer.close()
        assert (await gateway.post(b"next")).status == 201
        assert gateway.logged == []

    gateway(story)


def test_two_requests_on_one_connection_are_answered_in_order(gateway):
    async def story(gateway):
        one = HEAD + b"Content-Length: 1\r\n\r\na"
        last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        raw = await gateway.raw(one + one + last)
        assert [status for status, _ in answers_of(raw)] == [201, 201, 200]

    gateway(story)


def test_a_bug_is_answered_with_a_reference_and_none_of_its_text(gateway):
    async def story(gateway):
        def broken(_jws):
            raise ZeroDivisionError("alice@example.org")

        gateway.submissions.answer = broken
        answer = await gateway.post(b"x")
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"alice" not in answer.body
        [line] = gateway.logged
        assert (line["event"], line["route"]) == ("handler_broke", "/v1/requests")
        assert line["reference"] == answer.json()["reference"]
        assert "alice" not in json.dumps(line)

    gateway(story)


def test_refusals_repeat_nothing_of_the_request(gateway):
    async def story(gateway):
        secret = "Pr1vate"
        for answer in (
            await gateway.post(b"x", f"/v1/{secret}"),
            await gateway.call("GET", f"/v1/requests/{secret}"),
            await gateway.call("GET", f"/v1/entries/{secret}"),
            await gateway.call("GET", f"/v1/entries?start_index={secret}"),
            await gateway.call("POST", "/v1/requests", headers={"Content-Type": secret}),
        ):
            assert answer.code
            assert secret.encode() not in answer.body

    gateway(story)


FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Each example is a gateway of its own, which many requests then go through."""


@FEW
@given(bodies=st.lists(st.binary(max_size=300), min_size=10, max_size=30))
def test_random_bodies_reach_the_validator_unchanged_or_are_refused(gateway, bodies):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem("jws_malformed", "no")
        for body in bodies:
            answer = await gateway.post(body)
            assert answer.code == "jws_malformed"
        assert [jws for jws, _, _ in gateway.submissions.sent] == bodies
        assert gateway.logged == []

    gateway(story)


@FEW
@given(streams=st.lists(st.binary(max_size=400), min_size=10, max_size=30))
def test_random_bytes_on_a_connection_are_answered_with_a_code_or_not_at_all(gateway, streams):
    async def story(gateway):
        for data in streams:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(data + b"\r\n\r\n")
            writer.write_eof()
            for _, details in answers_of(await reader.read()):
                assert details.get("code", "http_malformed") in PROBLEMS
            writer.close()
        assert (await gateway.post(b"next")).status == 201

    gateway(story)


TEXT = st.text(alphabet=string.printable + "äß\u2028", max_size=40)
ADDRESSES = st.tuples(st.lists(TEXT, max_size=5), st.dictionaries(TEXT, TEXT, max_size=3))


@FEW
@given(addresses=st.lists(ADDRESSES, min_size=10, max_size=30))
def test_any_address_is_answered(gateway, addresses):
    async def story(gateway):
        for parts, query in addresses:
            path = "/" + "/".join(parts).replace("#", "").replace("?", "")
            answer = await gateway.call("GET", path, params=query)
            assert answer.status == 200 or answer.code in PROBLEMS
        assert gateway.logged == []

    gateway(story)
