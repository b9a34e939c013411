"""`GET /v1/subjects/me/keys`: signed by the subject, answered by the ledger."""

import json

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.model.listed_keys import ListedKey
from heptad.model.problems import Problem

KEY = Ed25519Key(b"k" * 32)
LISTED = (
    ListedKey("k" * 43, 4, 1_000, revoked_index=9, revoked_ms=2_000),
    ListedKey("l" * 43, 5, 1_500),
)


def signed(act="subject.keys"):
    return sign_request(
        KEY, iss="kn-" + "a" * 26, aud="cell.example", jti="0" * 8 + "-0000-4000-8000-" + "0" * 12,
        iat=1, exp=2, svc="heptad", act=act, data={},
    )  # fmt: skip


def ask(gateway, jws=None, path="/v1/subjects/me/keys"):
    headers = {} if jws is None else {"Authorization": f"Heptad {jws.decode()}"}
    return gateway.call("GET", path, headers=headers)


def test_a_subjects_keys_are_listed_and_kept_nowhere(gateway):
    async def story(gateway):
        gateway.ledger.answers["keys"] = LISTED
        answer = await ask(gateway, signed())
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.json() == {
            "keys": [
                {"kid": "k" * 43, "active": False, "index": 4, "added_ms": 1_000,
                 "revoked_index": 9, "revoked_ms": 2_000},
                {"kid": "l" * 43, "active": True, "index": 5, "added_ms": 1_500},
            ]
        }  # fmt: skip
        assert gateway.ledger.asked[-1][:2] == ("keys", signed())
        assert gateway.submissions.sent == []
        schema = json.loads((await gateway.call("GET", "/v1/openapi.json")).body)
        row = schema["components"]["schemas"]["Keys"]["properties"]["keys"]["items"]
        for key in answer.json()["keys"]:
            assert set(row["required"]) <= set(key) <= set(row["properties"])

    gateway(story)


def test_what_is_not_signed_for_this_call_asks_nobody(gateway):
    async def story(gateway):
        assert (await ask(gateway)).code == "authorization_missing"
        assert (await ask(gateway, signed("subject.erase"))).code == "claim_invalid"
        more = await ask(gateway, signed(), "/v1/subjects/me/keys?x=1")
        assert more.code == "parameter_invalid"
        assert gateway.ledger.asked == []

    gateway(story)


def test_the_ledgers_refusal_is_the_answer(gateway):
    async def story(gateway):
        gateway.ledger.answers["keys"] = Problem("key_revoked", "no more", field="kid")
        answer = await ask(gateway, signed())
        assert (answer.status, answer.code) == (401, "key_revoked")

    gateway(story)
