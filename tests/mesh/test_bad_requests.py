"""Bad input at the citizens' door: a clear refusal with its stable code, and nothing recorded.

Requests are crafted by hand here, byte by byte, since no library makes such things. After all of
them the log has not grown by one entry, and every process is the one that it was before.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.trials import meshes
from heptad.trials.tour.scene import replica_statuses

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

TYP = "heptad-request+jws"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Forge:
    """Somebody registered, and every way to spoil what they sign."""

    def __init__(self, person, key, origin, make_claims):
        self.person = person
        self.key = key
        self.origin = origin
        self.make_claims = make_claims

    def claims(self, **changes):
        return self.make_claims(self.person, self.origin, **changes)

    def header(self, **changes):
        alg = self.key.public.algorithm.value
        members = {"alg": alg, "typ": TYP, "kid": self.key.public.kid, **changes}
        return {name: value for name, value in members.items() if value is not None}

    def jws(self, *, header=None, claims=None, sign=None):
        """A JWS over these bytes or values, signed with the registered key unless told else."""
        head = self.header() if header is None else header
        body = self.claims() if claims is None else claims
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in
                 (head, body)]  # fmt: skip
        signing_input = b64(parts[0]) + b"." + b64(parts[1])
        signature = (sign or self.key.sign)(signing_input)
        return signing_input + b"." + b64(signature)

    def with_claims(self, **changes):
        return self.jws(claims=self.claims(**changes))

    def with_header(self, **changes):
        return self.jws(header=self.header(**changes))

    def with_text(self, old, new):
        """The claims' JSON with one piece of text replaced, and honestly signed."""
        text = json.dumps(self.claims())
        assert old in text
        return self.jws(claims=text.replace(old, new, 1).encode())


@pytest.fixture(scope="module")
def forge(mesh, tools):
    key = Ed25519Key(hashlib.sha256(b"forge").digest())
    return make_forge(mesh, tools, key)


@pytest.fixture(scope="module")
def p256_forge(mesh, tools):
    return make_forge(mesh, tools, P256Key.generate())


def make_forge(mesh, tools, key):
    from heptad.client import sign_new_subject

    async def register():
        jws = sign_new_subject(key, audience=mesh.cell.origin, service="tax-portal")
        reply = await post(mesh, tools, "/v1/subjects", jws)
        assert reply.status == 201, reply.members
        return reply.members["subject_id"]

    person = tools.Person(None, key.public.algorithm.value, asyncio.run(register()))
    return Forge(person, key, mesh.cell.origin, tools.claims_of)


class Reply:
    def __init__(self, status, headers, members):
        self.status = status
        self.headers = headers
        self.members = members


async def post(mesh, tools, path, body, headers=None):
    async with (
        tools.session(mesh) as http,
        http.post(
            path, data=body, headers=headers or {"Content-Type": "application/jose"}
        ) as response,
    ):
        return Reply(response.status, response.headers, await response.json(content_type=None))


@pytest.fixture(scope="module")
def send(mesh, tools):
    """Posts; the answer to a single request unless another path is given."""

    def act(body, path="/v1/requests", **headers):
        return asyncio.run(
            post(
                mesh,
                tools,
                path,
                body,
                {name.replace("_", "-"): value for name, value in headers.items()} or None,
            )
        )

    return act


@pytest.fixture(autouse=True, scope="module")
def nothing_is_recorded_and_nobody_dies(mesh, forge, p256_forge):
    """Around all tests of this file; `recorded` counts what they record on purpose."""
    before = facts(mesh)
    on_purpose.clear()
    yield
    after = facts(mesh)
    assert after["pids"] == before["pids"]
    assert after["size"] - before["size"] == len(on_purpose), on_purpose


on_purpose = []


def facts(mesh):
    size = max(s.log_size for s in asyncio.run(replica_statuses(mesh.home)).values())
    return {"pids": meshes.pids_of(mesh.home), "size": size}


def later(seconds):
    return int(time.time()) + seconds


DEEP = b'{"iss":' + b"[" * 5_000 + b"]" * 5_000 + b"}"

SHAPES = {
    "empty": (lambda f: b"", "jws_malformed"),
    "one word": (lambda f: b"hello", "jws_malformed"),
    "two parts": (lambda f: f.jws().rsplit(b".", 1)[0], "jws_malformed"),
    "four parts": (lambda f: f.jws() + b".AAAA", "jws_malformed"),
    "no signature": (lambda f: f.jws().rsplit(b".", 1)[0] + b".", "jws_malformed"),
    "padded": (lambda f: f.jws() + b"==", "jws_malformed"),
    "the other alphabet": (lambda f: f.jws().replace(b"-", b"+") + b"/", "jws_malformed"),
    "a line end": (lambda f: f.jws() + b"\n", "jws_malformed"),
    "a blank in front": (lambda f: b" " + f.jws(), "jws_malformed"),
    "a zero byte": (lambda f: f.jws() + b"\0", "jws_malformed"),
    "not ASCII": (lambda f: f.jws() + "é".encode(), "jws_malformed"),
    "JSON serialisation": (lambda f: json.dumps({"payload": "x"}).encode(), "jws_malformed"),
    "spare bits that are not zero": (lambda f: spare_bits(f.jws()), "jws_malformed"),
    "header no JSON": (lambda f: f.jws(header=b"{"), "jws_malformed"),
    "header a list": (lambda f: f.jws(header=b"[]"), "jws_malformed"),
    "header with a name twice": (
        lambda f: f.jws(header=b'{"alg":"none",' + json.dumps(f.header()).encode()[1:]),
        "jws_header_refused",
    ),
}
HEADERS = {
    "crit": {"crit": ["exp"]},
    "b64": {"b64": False},
    "jwk": {"jwk": {"kty": "OKP"}},
    "jku": {"jku": "https://evil.example/keys"},
    "x5c": {"x5c": ["AA=="]},
    "x5u": {"x5u": "https://evil.example/cert"},
    "x5t": {"x5t": "AA"},
    "cty": {"cty": "JWT"},
    "a stranger": {"foo": 1},
    "no typ": {"typ": None},
    "another typ": {"typ": "JWT"},
    "no kid": {"kid": None},
    "kid a number": {"kid": 7},
}
ALGORITHMS = ("none", "None", "NONE", "HS256", "RS256", "ES384", "eddsa", "Ed25519", "", 1, None)
CLAIMS = {
    "iss missing": ({"iss": None}, "claim_missing"),
    "aud missing": ({"aud": None}, "claim_missing"),
    "jti missing": ({"jti": None}, "claim_missing"),
    "iat missing": ({"iat": None}, "claim_missing"),
    "exp missing": ({"exp": None}, "claim_missing"),
    "svc missing": ({"svc": None}, "claim_missing"),
    "act missing": ({"act": None}, "claim_missing"),
    "data missing": ({"data": None}, "claim_missing"),
    "one too many": ({"admin": True}, "claim_invalid"),
    "nbf": ({"nbf": 1}, "claim_invalid"),
    "aud a list": ({"aud": ["a"]}, "claim_invalid"),
    "aud of another cell": ({"aud": "other.example"}, "audience_mismatch"),
    "iat a fraction": ({"iat": 1.5}, "claim_invalid"),
    "iat true": ({"iat": True}, "claim_invalid"),
    "iat text": ({"iat": "1"}, "claim_invalid"),
    "iat huge": ({"iat": 10**30, "exp": 10**30 + 1}, "claim_invalid"),
    "iat negative": ({"iat": -5, "exp": -1}, "claim_invalid"),
    "exp before iat": ({"exp": 5, "iat": 6}, "claim_invalid"),
    "jti no UUID": ({"jti": "1"}, "claim_invalid"),
    "jti in capitals": ({"jti": str(uuid.UUID(int=2**127 - 1)).upper()}, "claim_invalid"),
    "data a list": ({"data": []}, "claim_invalid"),
    "data text": ({"data": "x"}, "claim_invalid"),
    "iss empty": ({"iss": ""}, "claim_invalid"),
    "svc with capitals": ({"svc": "Tax"}, "claim_invalid"),
    "act with a blank": ({"act": "a b"}, "claim_invalid"),
}


def spare_bits(jws):
    """The same signature in another spelling: the last letter of 64 bytes has four spare bits."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return jws[:-1] + letters[letters.index(jws[-1]) + 1 :][:1]


def refused(reply, code, status):
    assert (reply.status, reply.members.get("code")) == (status, code), reply.members
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert reply.members["status"] == status
    return True


@pytest.mark.parametrize("trap", SHAPES)
def test_what_is_no_compact_jws_is_refused(forge, send, trap):
    make, code = SHAPES[trap]
    refused(send(make(forge)), code, 400)


@pytest.mark.parametrize("trap", HEADERS)
def test_a_header_holds_exactly_three_names(forge, send, trap):
    refused(send(forge.with_header(**HEADERS[trap])), "jws_header_refused", 400)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_only_two_algorithms_exist(forge, send, alg):
    reply = send(forge.with_header(alg=alg))

    assert reply.status == 400
    assert reply.members["code"] in ("algorithm_refused", "jws_header_refused")


def test_a_public_key_is_no_shared_secret(forge, send):
    """HS256 with the public key as the secret: the classic confusion of algorithms."""
    raw = forge.key.public.raw

    def sign(message):
        return hmac.new(raw, message, hashlib.sha256).digest()

    refused(send(forge.jws(header=forge.header(alg="HS256"), sign=sign)), "algorithm_refused", 400)


def test_the_registered_key_decides_the_algorithm(forge, p256_forge, send):
    for mine, other in ((forge, "ES256"), (p256_forge, "EdDSA")):
        reply = send(mine.with_header(alg=other))
        assert reply.members["code"] in ("algorithm_refused", "signature_invalid")
        assert reply.status in (400, 401)


@pytest.mark.parametrize("trap", CLAIMS)
def test_claims_are_exactly_what_they_should_be(forge, send, trap):
    changes, code = CLAIMS[trap]
    reply = send(forge.with_claims(**changes))

    assert reply.members["code"] == code, reply.members
    if code.startswith("claim_") and len(changes) == 1 and not {"admin", "nbf"} & set(changes):
        assert reply.members["field"] in ("iat", "exp", *changes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"svc": "tax-portal"', '"svc": "tax-portal", "svc": "health-records"'),
        ('{"session": "of a test"}', '{"a": {"b": 1, "b": 2}}'),
        ('{"session": "of a test"}', '{"a": NaN}'),
        ('{"session": "of a test"}', '{"a": Infinity}'),
        ('{"session": "of a test"}', '{"a": 1}}'),
        ('{"session": "of a test"}', "{'a': 1}"),
        ('{"session": "of a test"}', '{"a": "\\ud800"}'),
    ],
)
def test_claims_that_two_parsers_read_differently_are_refused(forge, send, old, new):
    refused(send(forge.with_text(old, new)), "claims_malformed", 400)


@pytest.mark.parametrize(
    "payload", [b" ", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", DEEP]
)
def test_claims_are_one_json_object(forge, send, payload):
    refused(send(forge.jws(claims=payload)), "claims_malformed", 400)


def test_a_request_that_is_too_old_or_too_young_is_told_which_way_its_clock_is_wrong(forge, send):
    old = send(forge.with_claims(iat=later(-1_000), exp=later(-800)))
    young = send(forge.with_claims(iat=later(800), exp=later(1_000)))
    long = send(forge.with_claims(exp=later(301)))

    assert refused(old, "request_expired", 401)
    assert refused(young, "request_from_the_future", 401)
    assert "ahead" in young.members["detail"]
    assert refused(long, "lifetime_too_long", 400)


def test_unknown_people_and_keys_are_refused_alike(mesh, forge, p256_forge, send):
    code = mesh.cell.code
    for subject in (f"{code}-{'a' * 26}", f"zz{code[:4]}-{'a' * 26}", "nobody"):
        refused(send(forge.with_claims(iss=subject)), "key_unknown", 401)
    # Somebody else's key under this name, and this key under somebody else's name.
    refused(send(forge.with_header(kid=p256_forge.key.public.kid)), "key_unknown", 401)
    refused(send(p256_forge.with_claims(iss=forge.person.subject)), "key_unknown", 401)


def test_a_signature_has_to_verify(forge, p256_forge, send):
    zeros, ones = (lambda _: bytes(64)), (lambda _: b"\xff" * 64)
    for mine in (forge, p256_forge):
        for sign in (zeros, ones, Ed25519Key.generate().sign):
            refused(send(mine.jws(sign=sign)), "signature_invalid", 401)


def test_es256_signatures_are_64_raw_bytes(p256_forge, send):
    """DER, which most libraries make by default, and one byte more or less."""
    private = p256_forge.key._key  # the one thing that no public door gives out

    def der(message):
        return private.sign(message, ec.ECDSA(hashes.SHA256()))

    for sign in (
        der,
        lambda m: p256_forge.key.sign(m)[:63],
        lambda m: p256_forge.key.sign(m) + b"\0",
    ):
        reply = send(p256_forge.jws(sign=sign))
        assert reply.members["code"] in ("signature_invalid", "jws_malformed")
        assert reply.status in (400, 401)


def test_a_mauled_es256_signature_is_the_same_request_and_not_a_second_one(p256_forge, send):
    """(r, n - s) verifies as well as (r, s): ECDSA is malleable, so bytes cannot name a request."""
    jws = p256_forge.jws()
    first = send(jws)
    on_purpose.append("one of p256")
    signing_input, _, tail = jws.rpartition(b".")
    raw = base64.urlsafe_b64decode(tail + b"=" * (-len(tail) % 4))
    r, s = raw[:32], int.from_bytes(raw[32:], "big")
    mauled = signing_input + b"." + b64(r + (P256_ORDER - s).to_bytes(32, "big"))
    second = send(mauled)

    assert (first.status, second.status) == (201, 201)
    assert second.members["index"] == first.members["index"]
    assert second.headers["Idempotent-Replayed"] == "true"


def test_other_claims_under_a_known_jti_are_a_conflict(forge, send):
    jti = str(uuid.uuid4())
    first = send(forge.with_claims(jti=jti))
    on_purpose.append("one of ed25519")

    assert first.status == 201
    for changes in ({"data": {"other": 1}}, {"act": "record.access"}, {"svc": "health-records"}):
        refused(send(forge.with_claims(jti=jti, **changes)), "request_conflict", 422)
    again = send(forge.with_claims(jti=jti, iat=later(-5), exp=later(100)))
    assert (again.status, again.members["index"]) == (201, first.members["index"])


def test_what_policy_denies_is_recorded_as_denied_and_says_so(forge, send):
    for changes, code in (
        ({"svc": "nobody-knows-me"}, "service_unknown"),
        ({"act": "world.dominate"}, "action_not_allowed"),
    ):
        reply = send(forge.with_claims(**changes))
        on_purpose.append(code)
        assert refused(reply, code, 403)
        assert reply.members["recorded"] is True
        assert reply.members["outcome"] == "denied"


def test_sizes_have_limits_that_are_told(forge, send):
    fits = {"text": "x" * 8_000}
    too_much = {"text": "x" * 8_200}

    reply = send(forge.with_claims(data=fits))
    on_purpose.append("8 KB of data")
    assert reply.status == 201
    refused(send(forge.with_claims(data=too_much)), "request_too_large", 413)
    refused(send(b"a" * 16_385), "request_too_large", 413)
    refused(send(b"a" * 3_000_000), "request_too_large", 413)


def test_media_types_matter(forge, send):
    for media_type in ("application/json", "text/plain", "application/jose+json"):
        reply = send(forge.jws(), Content_Type=media_type)
        refused(reply, "media_type_unsupported", 415)
    encoded = send(forge.jws(), Content_Type="application/jose", Content_Encoding="gzip")
    refused(encoded, "media_type_unsupported", 415)


def test_a_batch_is_a_list_of_at_most_a_thousand_requests(forge, send):
    def batch(body):
        return send(body, "/v1/requests:batch", Content_Type="application/json")

    for body in (b"", b"{}", b"[]", b"[1]", b"[null]", b"[[]]", b"\xff", b"[" * 100_000):
        refused(batch(body), "body_malformed", 400)
    refused(batch(json.dumps(["a.b.c"] * 1_001).encode()), "batch_too_large", 413)
    refused(batch(b"[" + b" " * 3_000_000 + b"]"), "batch_too_large", 413)


def test_each_item_of_a_batch_is_judged_for_itself(forge, send):
    good, bad = forge.jws().decode(), forge.with_header(alg="none").decode()
    items = [bad, good, "x" * 20_000, good, "\u00e9"]
    reply = send(json.dumps(items).encode(), "/v1/requests:batch", Content_Type="application/json")
    on_purpose.append("the good one")

    outcomes = reply.members["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [400, 201, 413, 201, 400]
    assert outcomes[1]["index"] == outcomes[3]["index"]


def test_a_registration_proves_possession_of_a_good_key(mesh, tools, send):
    person = tools.Person.new(1)
    origin = mesh.cell.origin

    def register(**changes):
        return send(tools.registration_of(person, origin, **changes), "/v1/subjects")

    other = tools.Person.new(1)
    off_curve = {**person.public_jwk(), "x": b64(bytes(32)).decode()}
    private = person.key.as_dict(private=True)
    refused(register(data={"jwk": other.public_jwk()}), "key_invalid", 400)
    refused(register(data={"jwk": off_curve}), "key_invalid", 400)
    refused(register(data={"jwk": {n: private[n] for n in ("kty", "crv", "x", "y", "d")}}),
            "key_invalid", 400)  # fmt: skip
    refused(register(data={}), "claim_invalid", 400)
    refused(register(iss="somebody"), "claim_invalid", 400)
    refused(register(act="authenticate"), "claim_invalid", 400)
    refused(register(aud="other.example"), "audience_mismatch", 403)
    refused(register(exp=later(-100), iat=later(-200)), "request_expired", 401)


def test_a_registration_is_no_request_and_a_request_no_registration(mesh, tools, forge, send):
    refused(send(forge.jws(), "/v1/subjects"), "claim_invalid", 400)
    person = tools.Person.new(0)
    reply = send(tools.registration_of(person, mesh.cell.origin))
    assert reply.status in (400, 401)
    assert reply.members["code"] in ("key_unknown", "claim_invalid")
