"""Bad input at the door: each trap has its own code, nothing is batched, and nothing breaks."""

import base64
import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.problems import PROBLEMS, Problem

ORIGIN = "cell.example"
NOW_S = 1_760_000_000


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def spelled(header: object, claims: bytes, signature: bytes = bytes(64)) -> bytes:
    """A compact JWS of any header and claims, under a signature that proves nothing."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b".".join((b64(text), b64(claims), b64(signature)))


def claims_of(subject: str, **changes: object) -> bytes:
    values = {
        "iss": subject,
        "aud": ORIGIN,
        "jti": str(uuid.UUID(int=5)),
        "iat": NOW_S - 1,
        "exp": NOW_S + 60,
        "svc": "tax-portal",
        "act": "authenticate",
        "data": {},
    }
    return json.dumps({**values, **changes}).encode()


KID = Ed25519Key(b"s" * 32).public.kid
HEADER = {"alg": "EdDSA", "typ": "heptad-request+jws", "kid": KID}
SUBJECT = "kn-" + "a" * 26
CLAIMS = claims_of(SUBJECT)

HEADER_TRAPS = {
    name: {**HEADER, name: value}
    for name, value in {
        "crit": ["exp"],
        "b64": False,
        "jwk": {"kty": "OKP"},
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "x5c": ["MII"],
        "x5t": "a",
        "x5t#S256": "a",
        "zip": "DEF",
        "cty": "json",
    }.items()
}


@pytest.mark.parametrize("name", HEADER_TRAPS)
def test_a_header_with_anything_besides_alg_typ_and_kid_is_refused(play, name):
    async def scenario(world):
        assert await world.refused(spelled(HEADER_TRAPS[name], CLAIMS)) == "jws_header_refused"
        assert world.outstanding() == []

    play(scenario)


TRAPS = {
    "alg none": (spelled({**HEADER, "alg": "none"}, CLAIMS), "algorithm_refused"),
    "alg HS256": (spelled({**HEADER, "alg": "HS256"}, CLAIMS), "algorithm_refused"),
    "alg RS256": (spelled({**HEADER, "alg": "RS256"}, CLAIMS), "algorithm_refused"),
    "alg in lower case": (spelled({**HEADER, "alg": "eddsa"}, CLAIMS), "algorithm_refused"),
    "alg a list": (spelled({**HEADER, "alg": ["EdDSA"]}, CLAIMS), "algorithm_refused"),
    "typ JWT": (spelled({**HEADER, "typ": "JWT"}, CLAIMS), "jws_header_refused"),
    "no kid": (spelled({"alg": "EdDSA", "typ": HEADER["typ"]}, CLAIMS), "jws_header_refused"),
    "kid a path": (spelled({**HEADER, "kid": "../../key"}, CLAIMS), "jws_header_refused"),
    "header name twice": (
        spelled(json.dumps(HEADER)[:-1].encode() + b',"alg":"ES256"}', CLAIMS),
        "jws_header_refused",
    ),
    "header no object": (spelled(b'["EdDSA"]', CLAIMS), "jws_malformed"),
    "two parts": (b"a.b", "jws_malformed"),
    "four parts": (spelled(HEADER, CLAIMS) + b".x", "jws_malformed"),
    "empty": (b"", "jws_malformed"),
    "JSON form": (b'{"payload":"","signatures":[]}', "jws_malformed"),
    "padded": (spelled(HEADER, CLAIMS) + b"==", "jws_malformed"),
    "stray bits": (spelled(HEADER, CLAIMS)[:-1] + b"B", "jws_malformed"),
    "white space": (spelled(HEADER, CLAIMS) + b"\n", "jws_malformed"),
    "standard base64": (spelled(HEADER, CLAIMS).replace(b".", b"+.", 1), "jws_malformed"),
    "no signature": (spelled(HEADER, CLAIMS, b""), "jws_malformed"),
    "a DER signature": (spelled(HEADER, CLAIMS, bytes(70)), "jws_malformed"),
    "claims no object": (spelled(HEADER, b"[]"), "claims_malformed"),
    "claims not UTF-8": (spelled(HEADER, b'{"iss":"\xff"}'), "claims_malformed"),
    "a claim twice": (spelled(HEADER, CLAIMS[:-1] + b',"iss":"x"}'), "claims_malformed"),
    "a name twice in data": (
        spelled(HEADER, CLAIMS.replace(b'"data": {}', b'"data": {"a": {"b": 1, "b": 2}}')),
        "claims_malformed",
    ),
    "NaN": (
        spelled(HEADER, CLAIMS.replace(b'"data": {}', b'"data": {"a": NaN}')),
        "claims_malformed",
    ),
    "half a surrogate": (
        spelled(HEADER, CLAIMS.replace(b'"data": {}', b'"data": {"a": "\\ud800"}')),
        "claims_malformed",
    ),
    "nested too deep": (
        spelled(HEADER, claims_of(SUBJECT, data={"a": json.loads("[" * 40 + "]" * 40)})),
        "claims_malformed",
    ),
    "a claim is missing": (
        spelled(HEADER, CLAIMS.replace(b'"svc": "tax-portal", ', b"")),
        "claim_missing",
    ),
    "a claim too many": (spelled(HEADER, claims_of(SUBJECT, nbf=1)), "claim_invalid"),
    "aud an array": (spelled(HEADER, claims_of(SUBJECT, aud=[ORIGIN])), "claim_invalid"),
    "iat a string": (spelled(HEADER, claims_of(SUBJECT, iat=str(NOW_S))), "claim_invalid"),
    "iat a float": (spelled(HEADER, claims_of(SUBJECT, iat=NOW_S + 0.0)), "claim_invalid"),
    "iat true": (spelled(HEADER, claims_of(SUBJECT, iat=True)), "claim_invalid"),
    "exp before iat": (spelled(HEADER, claims_of(SUBJECT, exp=NOW_S - 2)), "claim_invalid"),
    "jti no UUID": (spelled(HEADER, claims_of(SUBJECT, jti="1")), "claim_invalid"),
    "data a list": (spelled(HEADER, claims_of(SUBJECT, data=[])), "claim_invalid"),
    "data too large": (
        spelled(HEADER, claims_of(SUBJECT, data={"a": "x" * 9_000})),
        "request_too_large",
    ),
    "too large": (b"a" * 16_385, "request_too_large"),
    "another cell's audience": (
        spelled(HEADER, claims_of(SUBJECT, aud="other.example")),
        "audience_mismatch",
    ),
    "another cell's subject": (
        spelled(HEADER, claims_of("zz-" + "a" * 26)),
        "key_unknown",
    ),
    "iss no subject": (spelled(HEADER, claims_of("alice")), "key_unknown"),
    "iss a thumbprint": (spelled(HEADER, claims_of(KID)), "key_unknown"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_by_its_own_code_and_nothing_is_recorded(play, name):
    jws, code = TRAPS[name]

    async def scenario(world):
        assert await world.refused(jws) == code
        assert world.outstanding() == []
        assert world.ledger.questions == []

    play(scenario)


FRESHNESS = {
    "expired": ({"iat": NOW_S - 100, "exp": NOW_S - 31}, "request_expired", "behind"),
    "from the future": (
        {"iat": NOW_S + 31, "exp": NOW_S + 60},
        "request_from_the_future",
        "your clock is ahead",
    ),
    "valid for too long": ({"iat": NOW_S, "exp": NOW_S + 301}, "lifetime_too_long", "300 s"),
}


@pytest.mark.parametrize("name", FRESHNESS)
def test_what_is_not_fresh_is_told_which_way_its_clock_is_wrong(play, ed_key, name):
    times, code, words = FRESHNESS[name]

    async def scenario(world):
        subject = world.subject(ed_key)
        [number] = await world.submit(world.sign(ed_key, subject, **times))
        answer = world.answers.of(number)
        assert answer.code == code
        assert words in answer.detail
        assert world.outstanding() == []

    play(scenario)


@pytest.mark.parametrize(
    "times",
    [
        {"iat": NOW_S - 100, "exp": NOW_S - 30},
        {"iat": NOW_S + 30, "exp": NOW_S + 60},
        {"iat": NOW_S, "exp": NOW_S + 300},
    ],
)
def test_what_is_just_within_the_tolerance_is_admitted(play, ed_key, times):
    async def scenario(world):
        [number] = await world.submit(world.sign(ed_key, world.subject(ed_key), **times))
        await world.commit()
        assert world.answers.of(number).index == len(world.ledger.entries) - 1

    play(scenario)


def test_a_cell_may_allow_less_than_the_format(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        small, large = (world.sign(ed_key, subject, data={"a": "x" * n}) for n in (10, 1_000))
        assert len(small) < 1_024 < len(large)
        assert await world.refused(large) == "request_too_large"
        await world.submit(small)
        await world.commit()
        assert len(world.entries) == 1

    play(scenario, request_bytes_max=1_024)


def test_a_subject_that_nobody_registered_has_no_key(play, ed_key):
    async def scenario(world):
        assert await world.refused(world.sign(ed_key, SUBJECT)) == "key_unknown"
        assert world.outstanding() == []

    play(scenario)


def test_a_key_that_is_not_the_subjects_is_unknown(play, ed_key, p256_key):
    async def scenario(world):
        assert await world.refused(world.sign(p256_key, world.subject(ed_key))) == "key_unknown"

    play(scenario)


def test_a_revoked_key_is_refused(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.revoked.add(subject)
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"
        assert world.outstanding() == []

    play(scenario)


def test_the_algorithm_is_that_of_the_registered_key_and_not_of_the_header(play, ed_key, p256_key):
    """The header of an ES256 request names the EdDSA key of the subject, and the other way."""

    async def scenario(world):
        for registered, other in ((ed_key, p256_key), (p256_key, ed_key)):
            subject = world.subject(registered)
            header = {**HEADER, "alg": other.public.algorithm.value, "kid": registered.public.kid}
            claims = claims_of(subject, jti=str(uuid.uuid4()))
            signing_input = b64(json.dumps(header).encode()) + b"." + b64(claims)
            jws = signing_input + b"." + b64(other.sign(signing_input))
            assert await world.refused(jws) == "algorithm_refused"
        assert world.outstanding() == []

    play(scenario)


def test_a_signature_of_another_key_is_invalid(play, any_key):
    async def scenario(world):
        subject = world.subject(any_key)
        good = world.sign(any_key, subject)
        signing_input = good.rpartition(b".")[0]
        is_p256 = isinstance(any_key, P256Key)
        other = P256Key.generate() if is_p256 else Ed25519Key(b"x" * 32)
        forged = signing_input + b"." + b64(other.sign(signing_input))
        assert await world.refused(forged) == "signature_invalid"
        assert await world.refused(forged) == "signature_invalid"
        assert world.outstanding() == []

    play(scenario)


def test_a_request_whose_claims_were_changed_is_invalid(play, any_key):
    async def scenario(world):
        subject = world.subject(any_key)
        header, claims, signature = world.sign(any_key, subject).split(b".")
        changed = base64.urlsafe_b64decode(claims + b"==").replace(b"authenticate", b"authenticatf")
        jws = b".".join((header, b64(changed), signature))
        assert await world.refused(jws) == "signature_invalid"
        assert world.outstanding() == []

    play(scenario)


def test_rubbish_is_counted_by_code_and_nothing_of_it_is_kept(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(b"rubbish", b"rubbish", world.sign(ed_key, subject, aud="other.example"))
        assert world.admission.tally.refused == {"jws_malformed": 2, "audience_mismatch": 1}
        assert len(world.window) == 0

    play(scenario)


def test_good_requests_among_bad_ones_are_admitted(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        bad = [jws for jws, _ in TRAPS.values()]
        jwss = [jws for trap in bad for jws in (trap, world.sign(ed_key, subject))]
        numbers = await world.submit(*jwss)
        await world.commit()
        assert all(isinstance(world.answers.of(n), Problem) for n in numbers[::2])
        indexes = [world.answers.of(n).index for n in numbers[1::2]]
        assert len(set(indexes)) == len(bad)

    play(scenario)


SPOILS = st.tuples(st.integers(0, 10_000), st.sampled_from(["flip", "drop", "insert", "cut"]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spoils=st.lists(SPOILS, min_size=1, max_size=3), byte=st.integers(0, 255))
def test_no_change_to_a_signed_request_is_ever_recorded(play, ed_key, spoils, byte):
    async def scenario(world):
        good = world.sign(ed_key, world.subject(ed_key))
        jws = bytearray(good)
        for place, how in spoils:
            at = place % max(1, len(jws))
            match how:
                case "flip":
                    jws[at : at + 1] = bytes([byte])
                case "drop":
                    del jws[at : at + 1]
                case "insert":
                    jws[at:at] = bytes([byte])
                case "cut":
                    del jws[at:]
        if bytes(jws) == good:
            return
        assert await world.refused(bytes(jws)) in PROBLEMS
        assert world.outstanding() == []

    play(scenario)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(jws=st.binary(max_size=300))
def test_no_bytes_break_the_validator(play, jws):
    async def scenario(world):
        assert await world.refused(jws) in PROBLEMS
        assert world.outstanding() == []

    play(scenario)
