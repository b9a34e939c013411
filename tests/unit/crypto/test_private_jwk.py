"""Private keys as JWK files: one spelling, belonging together, and for their owner's eyes only."""

import json

import pytest
from joserfc.jwk import import_key

from heptad.crypto.errors import KeyFileError, KeyInvalidError
from heptad.crypto.keys import Ed25519Key, P256Key, save_key
from heptad.crypto.private_jwk import (
    load_request_key,
    parse_private_jwk,
    private_jwk_of,
    save_jwk,
)
from heptad.crypto.signatures import verify_by

KEYS = [Ed25519Key.generate(), P256Key.generate()]


@pytest.mark.parametrize("key", KEYS, ids=["EdDSA", "ES256"])
def test_a_key_survives_its_file_and_signs_as_before(tmp_path, key):
    save_jwk(tmp_path / "key.jwk", key)
    loaded = load_request_key(tmp_path / "key.jwk")
    assert loaded.public == key.public
    public = key.public
    verify_by(public.algorithm, public_key=public.raw, message=b"m", signature=loaded.sign(b"m"))


@pytest.mark.parametrize("key", KEYS, ids=["EdDSA", "ES256"])
def test_another_jose_library_reads_the_key_and_names_it_alike(key):
    assert import_key(private_jwk_of(key)).thumbprint() == key.public.kid


def test_the_file_is_for_its_owner_and_never_overwritten(tmp_path):
    path = tmp_path / "key.jwk"
    save_jwk(path, KEYS[0])
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="File exists"):
        save_jwk(path, KEYS[1])
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="0644"):
        load_request_key(path)


def test_a_key_in_pem_is_read_as_well(tmp_path):
    save_key(tmp_path / "key.pem", KEYS[1])
    assert load_request_key(tmp_path / "key.pem").public == KEYS[1].public


def changed(key, **changes):
    members = private_jwk_of(key) | changes
    return {name: value for name, value in members.items() if value is not None}


@pytest.mark.parametrize("key", KEYS, ids=["EdDSA", "ES256"])
@pytest.mark.parametrize(
    "changes",
    [
        {"d": None},
        {"d": 7},
        {"d": "AA"},
        {"d": "A" * 43},
        {"d": "A" * 42 + "B"},
        {"d": private_jwk_of(Ed25519Key.generate())["d"]},
        {"x": None},
        {"kid": "other"},
        {"alg": "none"},
        {"use": "sig"},
    ],
)
def test_a_jwk_that_does_not_hold_together_is_refused(key, changes):
    with pytest.raises(KeyInvalidError):
        parse_private_jwk(changed(key, **changes))


@pytest.mark.parametrize("content", ["", "[]", "{}", '"x"', "not json", "{" * 50])
def test_a_file_that_is_no_key_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "key.jwk"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"key\.jwk"):
        load_request_key(path)


def test_no_refusal_repeats_the_private_part():
    members = private_jwk_of(KEYS[0]) | {"x": private_jwk_of(Ed25519Key.generate())["x"]}
    with pytest.raises(KeyInvalidError) as refusal:
        parse_private_jwk(members)
    assert json.dumps(members["d"]) not in str(refusal.value)
