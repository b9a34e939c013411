"""Strict JSON: what two parsers may read differently is not read at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.crypto.strict_json import (
    DEPTH_MAX,
    DuplicateNameError,
    StrictJsonError,
    decode,
    encode,
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner), max_leaves=12
)


@given(st.dictionaries(st.text("abcd"), VALUES))
def test_canonical_text_is_read_back_as_the_same_value(value: dict[str, object]) -> None:
    assert decode(encode(value)) == value
    assert encode(decode(encode(value))) == encode(value)  # type: ignore[arg-type]  # an object


@given(st.dictionaries(st.text("abcd"), VALUES))
def test_the_canonical_text_does_not_depend_on_spelling(value: dict[str, object]) -> None:
    spelled = json.dumps(dict(reversed(value.items())), indent=2, ensure_ascii=True)

    assert encode(decode(spelled.encode())) == encode(value)  # type: ignore[arg-type]  # an object


@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise_anything_else(data: bytes) -> None:
    try:
        decode(data)
    except StrictJsonError:
        return


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '[[{"a":0,"b":1,"a":2}]]',
        '{"a":1,"\\u0061":2}',
    ],
)
def test_a_name_given_twice_at_any_depth_is_refused(text: str) -> None:
    with pytest.raises(DuplicateNameError):
        decode(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        '{"a":NaN}',
        "1e999",
        "[-1e400]",
        "9" * 5_000,
        "-" + "1" * 9_999,
    ],
)
def test_a_number_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(StrictJsonError):
        decode(text.encode())


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "{}}", "{} {}", "01", "+1", ".5", "1.", "{'a':1}", '{"a":1,}', "[1,]", '"\n"',
     '"\\x41"', "\ufeff{}", "// c\n{}", "tru", '{"a" 1}', "\u0661"],
)  # fmt: skip
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(StrictJsonError):
        decode(text.encode())


@pytest.mark.parametrize(
    "data",
    [b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3"', b"\xff\xfe{}"],
)
def test_bad_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(StrictJsonError, match="UTF-8"):
        decode(data)


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00\\ud800"', '{"\\uD83D":1}', '["\\udfff"]'])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(StrictJsonError, match="surrogate"):
        decode(text.encode())


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert decode(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_ends_at_the_limit(opening: str, closing: str) -> None:
    def nested(depth: int) -> bytes:
        return (opening * depth + "1" + closing * depth).encode()

    decode(nested(DEPTH_MAX))
    with pytest.raises(StrictJsonError, match=f"more than {DEPTH_MAX}"):
        decode(nested(DEPTH_MAX + 1))


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
def test_very_deep_nesting_is_refused_without_harm(depth: int) -> None:
    for text in ("[" * depth, "[" * depth + "]" * depth, '{"a":' * depth):
        with pytest.raises(StrictJsonError):
            decode(text.encode())


def test_wide_values_are_not_deep() -> None:
    assert decode(json.dumps([{}] * 1_000).encode()) == [{}] * 1_000


def test_brackets_in_strings_are_not_depth() -> None:
    assert decode(json.dumps({"a": "[{" * 400}).encode()) == {"a": "[{" * 400}
