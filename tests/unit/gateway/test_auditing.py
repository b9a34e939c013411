"""The auditor's reads: verbatim where the standard has a form, JSON elsewhere, cached rightly."""

import base64

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
