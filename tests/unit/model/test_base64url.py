"""base64url: every byte string has one spelling."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model import base64url
from heptad.model.base64url import Base64UrlError


@given(st.binary(max_size=200))
def test_bytes_survive_the_way_through_text(data: bytes) -> None:
    text = base64url.encode(data)

    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert base64url.decode(text) == base64url.decode(text.encode()) == data


@given(st.text("AQgw-_+/=. \n\u00e4", max_size=8) | st.text(max_size=8))
def test_only_what_encode_writes_is_read(text: str) -> None:
    try:
        data = base64url.decode(text)
    except Base64UrlError:
        return
    assert base64url.encode(data) == text


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA==", "AAA=", "AB", "AAB", "A+A_", "A/AA", "AA A", "AA\n", "\u0100A", "="],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(Base64UrlError):
        base64url.decode(text)
