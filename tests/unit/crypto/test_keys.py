"""Key files: what is saved is what is loaded, and a careless file is not used."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from heptad.crypto.errors import KeyFileError
from heptad.crypto.keys import (
    Ed25519Key,
    KeyRole,
    P256Key,
    load_key,
    load_service_key,
    save_key,
)


def _write_pem(path: Path, pem: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return path


def test_a_saved_key_is_loaded_as_the_same_key(
    request_key: Ed25519Key | P256Key, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"

    save_key(path, request_key)

    loaded = load_key(path)
    assert type(loaded) is type(request_key)
    assert loaded.public == request_key.public


def test_a_key_file_is_for_its_owner_alone_whatever_the_umask(
    ed25519_key: Ed25519Key, tmp_path: Path
) -> None:
    old_mask = os.umask(0)
    try:
        save_key(tmp_path / "key.pem", ed25519_key)
    finally:
        os.umask(old_mask)

    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_key_file_is_never_overwritten(ed25519_key: Ed25519Key, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_key(path, ed25519_key)

    with pytest.raises(KeyFileError, match="exists"):
        save_key(path, Ed25519Key.generate())

    assert load_service_key(path).public == ed25519_key.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_file_that_others_can_touch_is_refused_with_its_mode(
    ed25519_key: Ed25519Key, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "key.pem"
    save_key(path, ed25519_key)
    path.chmod(mode)

    with pytest.raises(KeyFileError, match=f"{mode:04o}"):
        load_key(path)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"absent\.pem"):
        load_key(tmp_path / "absent.pem")


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(KeyFileError, match="no unencrypted private key"):
        load_key(_write_pem(tmp_path / "key.pem", content))


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, key in (
        ("rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ("p384", ec.generate_private_key(ec.SECP384R1())),
    ):
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with pytest.raises(KeyFileError, match="neither"):
            load_key(_write_pem(tmp_path / name, pem))


def test_an_encrypted_key_file_is_refused(p256_key: P256Key, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(p256_key.to_pem(), None)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )

    with pytest.raises(KeyFileError, match="unencrypted"):
        load_key(_write_pem(tmp_path / "key.pem", pem))


def test_a_service_does_not_take_a_p256_key(p256_key: P256Key, tmp_path: Path) -> None:
    save_key(tmp_path / "vote.pem", p256_key)

    with pytest.raises(KeyFileError, match="Ed25519"):
        load_service_key(tmp_path / "vote.pem")


def test_each_duty_has_a_file_of_its_own() -> None:
    names = {role.file_name for role in KeyRole}

    assert names == {
        "vote.pem",
        "cosign.pem",
        "batch.pem",
        "log.pem",
        "attestation.pem",
        "governance.pem",
    }


def test_a_private_key_never_shows_itself(request_key: Ed25519Key | P256Key) -> None:
    secret = request_key.to_pem().splitlines()[1].decode()

    assert secret not in repr(request_key)
    assert request_key.public.kid in repr(request_key)


def test_new_keys_come_from_the_entropy_that_is_given() -> None:
    assert Ed25519Key.generate(bytes).public == Ed25519Key(bytes(32)).public


def test_a_seed_of_another_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="31"):
        Ed25519Key(bytes(31))
