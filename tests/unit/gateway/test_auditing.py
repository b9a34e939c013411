"""The auditor's reads: verbatim where the standard has a form, JSON elsewhere, cached rightly."""

import base64
import gzip

import pytest

from heptad.model.log_reads import ConsistencyProof, InclusionProof, PublishedCheckpoint
from heptad.model.problems import Problem

HASHES = (bytes([1]) * 32, bytes([2]) * 32)
BASE64_HASHES = [base64.b64encode(value).decode() for value in HASHES]


def test_the_checkpoint_is_the_note_verbatim_and_soon_stale(gateway):
    async def story(gateway):
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint("nöte\n".encode(), 7)
        answer = await gateway.call("GET", "/checkpoint")
        assert answer.body == "nöte\n".encode()
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=1"

    gateway(story)


def test_before_the_first_checkpoint_the_answer_is_pending(gateway):
    async def story(gateway):
        gateway.ledger.answers["checkpoint"] = Problem("checkpoint_pending", "soon")
        answer = await gateway.call("GET", "/checkpoint")
        assert (answer.status, answer.code) == (404, "checkpoint_pending")
        assert answer.headers["Retry-After"] == "1"

    gateway(story)


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("tile/0/x001/234", 31_536_000),
        ("tile/entries/067", 31_536_000),
        ("tile/0/000.p/12", 86_400),
        ("tile/entries/x001/x234/067.p/255", 86_400),
    ],
)
def test_a_tile_never_changes_and_says_so(gateway, path, seconds):
    async def story(gateway):
        gateway.ledger.answers["tile"] = b"\0\1"
        answer = await gateway.call("GET", f"/{path}")
        assert answer.body == b"\0\1"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Cache-Control"] == f"public, max-age={seconds}, immutable"
        assert gateway.ledger.asked[0][:2] == ("tile", path)

    gateway(story)


@pytest.mark.parametrize(
    "path",
    [
        "0/1",
        "0/x000/001",
        "00/001",
        "64/001",
        "0/001.p/256",
        "0/001.p/0",
        "0/001/",
        "entries",
        "a/b",
    ],
)
def test_a_tile_has_one_path_and_others_are_not_there(gateway, path):
    async def story(gateway):
        gateway.ledger.answers["tile"] = b"x"
        answer = await gateway.call("GET", f"/tile/{path}")
        assert (answer.status, answer.code) == (404, "not_found")
        assert gateway.ledger.asked == []

    gateway(story)


def test_the_policy_is_the_file(gateway):
    async def story(gateway):
        assert (await gateway.call("GET", "/policy")).body == b"quorum none\n"

    gateway(story)


def test_proofs_are_lists_of_hashes(gateway):
    async def story(gateway):
        gateway.ledger.answers["inclusion_proof"] = InclusionProof(3, 9, HASHES)
        gateway.ledger.answers["consistency_proof"] = ConsistencyProof(4, 9, HASHES)
        inclusion = await gateway.call("GET", "/v1/proofs/inclusion?index=3&tree_size=9")
        assert inclusion.json() == {"index": 3, "tree_size": 9, "hashes": BASE64_HASHES}
        consistency = await gateway.call("GET", "/v1/proofs/consistency?first_size=4")
        assert consistency.json() == {"first_size": 4, "second_size": 9, "hashes": BASE64_HASHES}
        asked = [call[:3] for call in gateway.ledger.asked]
        assert asked == [("inclusion_proof", 3, 9), ("consistency_proof", 4, 0)]

    gateway(story)


def test_a_proof_against_a_fixed_size_never_changes_and_one_against_the_latest_does(gateway):
    async def story(gateway):
        gateway.ledger.answers["inclusion_proof"] = InclusionProof(3, 9, ())
        fixed = await gateway.call("GET", "/v1/proofs/inclusion?index=3&tree_size=9")
        assert "immutable" in fixed.headers["Cache-Control"]
        latest = await gateway.call("GET", "/v1/proofs/inclusion?index=3")
        assert latest.headers["Cache-Control"] == "no-cache"

    gateway(story)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/proofs/inclusion", "index"),
        ("/v1/proofs/inclusion?tree_size=4", "index"),
        ("/v1/proofs/consistency?second_size=4", "first_size"),
    ],
)
def test_a_wrong_parameter_is_named(gateway, path, field):
    async def story(gateway):
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.code) == (400, "parameter_invalid")
        assert answer.json()["field"] == field
        assert gateway.ledger.asked == []

    gateway(story)


@pytest.mark.parametrize(
    "path",
    [
        "/checkpoint",
        "/tile/0/000",
        "/v1/entries",
        "/v1/entries/1",
        "/v1/entries:count",
        "/v1/checkpoints",
        "/v1/checkpoints/latest",
        "/v1/proofs/inclusion?index=1",
    ],
)
def test_a_ledger_that_is_away_is_said_to_be_away(gateway, path):
    async def story(gateway):
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.code) == (503, "ledger_unavailable")
        assert answer.headers["Retry-After"] == "1"

    gateway(story)


# The public files as a plain web server would give them.

BUNDLE = b"\0\1a" * 2_000
FILES = [
    ("/checkpoint", "checkpoint", PublishedCheckpoint(b"note\n", 7), b"note\n"),
    ("/tile/0/000", "tile", bytes(8192), bytes(8192)),
    ("/tile/entries/000", "tile", BUNDLE, BUNDLE),
]
PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize(("path", "name", "answer", "body"), FILES)
def test_who_has_the_bytes_already_is_told_so(gateway, path, name, answer, body):
    async def story(gateway):
        gateway.ledger.answers[name] = answer
        first = await gateway.call("GET", path, headers=PLAIN)
        tag = first.headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await gateway.call("GET", path, headers={**PLAIN, "If-None-Match": known})
            assert (again.status, again.body) == (304, b"")
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
        other = await gateway.call("GET", path, headers={**PLAIN, "If-None-Match": '"other"'})
        assert (other.status, other.body) == (200, body)

    gateway(story)


def test_other_bytes_have_another_tag(gateway):
    async def story(gateway):
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(b"old\n", 7)
        tag = (await gateway.call("GET", "/checkpoint")).headers["ETag"]
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(b"new\n", 8)
        answer = await gateway.call("GET", "/checkpoint", headers={"If-None-Match": tag})
        assert (answer.status, answer.body) == (200, b"new\n")

    gateway(story)


@pytest.mark.parametrize(("path", "name", "answer", "body"), FILES)
def test_head_says_what_get_would(gateway, path, name, answer, body):
    async def story(gateway):
        gateway.ledger.answers[name] = answer
        got = await gateway.call("GET", path, headers=PLAIN)
        head = await gateway.call("HEAD", path, headers=PLAIN)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(body))
        same = ("Content-Type", "Cache-Control", "ETag")
        assert [head.headers[name] for name in same] == [got.headers[name] for name in same]

    gateway(story)


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("identity", False),
    ],
)
@pytest.mark.parametrize("size", [2_000, 200_000])
def test_a_bundle_is_packed_for_who_accepts_it(gateway, accepted, is_packed, size):
    bundle = b"\0\1a" * size

    async def story(gateway):
        gateway.ledger.answers["tile"] = bundle
        answer = await gateway.call(
            "GET", "/tile/entries/000", headers={"Accept-Encoding": accepted}
        )
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert ("Content-Encoding" in answer.headers) is is_packed
        assert (gzip.decompress(answer.body) if is_packed else answer.body) == bundle
        plain = await gateway.call("GET", "/tile/entries/000", headers=PLAIN)
        assert (plain.headers["ETag"] == answer.headers["ETag"]) is not is_packed

    gateway(story)


def test_hashes_are_not_packed(gateway):
    async def story(gateway):
        gateway.ledger.answers["tile"] = bytes(8192)
        answer = await gateway.call("GET", "/tile/0/000", headers={"Accept-Encoding": "gzip"})
        assert answer.body == bytes(8192)
        assert "Vary" not in answer.headers

    gateway(story)


@pytest.mark.parametrize("code", ["not_found", "index_out_of_range"])
def test_that_a_tile_is_not_there_yet_is_kept_by_no_cache(gateway, code):
    async def story(gateway):
        gateway.ledger.answers["tile"] = Problem(code, "not yet")
        answer = await gateway.call("GET", "/tile/0/007")
        assert (answer.status, answer.code) == (404, code)
        assert answer.headers["Cache-Control"] == "no-store"

    gateway(story)
