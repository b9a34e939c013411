"""Request ids: computed by anyone, equal only for the same issuer and jti."""

import base64
import hashlib

import pytest

from heptad.model.requests import is_request_id, request_id

JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"


def test_a_request_id_is_the_hash_that_the_specification_names() -> None:
    digest = hashlib.sha256(f"c1-subject.{JTI}".encode()).digest()
    expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")

    assert request_id(iss="c1-subject", jti=JTI) == expected
    assert is_request_id(expected)


def test_issuer_and_jti_both_count() -> None:
    ids = {request_id(iss=iss, jti=jti) for iss in ("a", "b") for jti in (JTI, JTI[::-1])}

    assert len(ids) == 4


@pytest.mark.parametrize(
    "text", ["", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", "A" * 42 + "\n"]
)
def test_what_is_no_request_id_is_seen(text: str) -> None:
    assert not is_request_id(text)
