"""TOML becomes frozen dataclasses, strictly, and all mistakes are told at once."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from heptad.runtime.config.decode import Between, Length, decode, encode, read, toml_text
from heptad.runtime.errors import ConfigInvalidError


@dataclass(frozen=True, slots=True)
class Inner:
    """An inner table."""

    name: str
    key: Annotated[bytes, Length(2, 4)] = b"ab"


@dataclass(frozen=True, slots=True)
class Outer:
    """A file."""

    port: Annotated[int, Between(1, 65_535)]
    ratio: float = 0.5
    flag: bool = False
    inner: Inner = Inner("default")
    many: tuple[Inner, ...] = ()
    words: Annotated[tuple[str, ...], Length(0, 3)] = ()

    def mistakes(self):
        if self.port == 666:
            yield "port", "is the number of the beast"


def mistakes_of(document: dict[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigInvalidError) as caught:
        decode(Outer, document, source="f.toml")
    return caught.value.mistakes


inners = st.builds(Inner, name=st.text(max_size=5), key=st.binary(min_size=2, max_size=4))
outers = st.builds(
    Outer,
    port=st.integers(1, 65_535).filter(lambda port: port != 666),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    flag=st.booleans(),
    inner=inners,
    many=st.lists(inners, max_size=3).map(tuple),
    words=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


@given(outers)
def test_what_is_written_is_read_back(config: Outer) -> None:
    assert decode(Outer, tomllib.loads(tomli_w.dumps(encode(config))), source="f") == config


def test_a_key_that_is_not_known_is_refused_with_its_file_and_name() -> None:
    assert mistakes_of({"port": 1, "inner": {"name": "x", "colour": 1}}) == (
        "f.toml: inner.colour: is not a known key",
    )


def test_a_missing_key_without_a_default_is_refused() -> None:
    assert mistakes_of({}) == ("f.toml: port: is missing",)


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes_of(
        {"port": 0, "rati": 1, "flag": 1, "many": [{"name": "a"}, {"name": 2}], "words": "x"}
    )
    assert set(found) == {
        "f.toml: rati: is not a known key",
        "f.toml: port: 0 is not between 1 and 65535",
        "f.toml: flag: must be of type bool, not int",
        "f.toml: many[1].name: must be of type str, not int",
        "f.toml: words: must be a list",
    }


def test_a_truth_value_is_no_number() -> None:
    assert mistakes_of({"port": True}) == ("f.toml: port: must be of type int, not bool",)


def test_a_whole_number_may_stand_for_a_fraction_but_not_the_other_way() -> None:
    assert decode(Outer, {"port": 1, "ratio": 2}, source="f").ratio == 2.0
    assert mistakes_of({"port": 1.0}) == ("f.toml: port: must be of type int, not float",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("YWI", "is not standard base64"),
        ("YW_i", "is not standard base64"),
        ("YQ==", "is 1 bytes, wanted 2 to 4"),
        (7, "must be base64 text"),
    ],
)
def test_bytes_are_base64_of_the_right_length(value: object, reason: str) -> None:
    found = mistakes_of({"port": 1, "inner": {"name": "x", "key": value}})
    assert found == (f"f.toml: inner.key: {reason}",)


def test_rules_between_fields_are_checked_once_each_fits_by_itself() -> None:
    assert mistakes_of({"port": 666}) == ("f.toml: port: is the number of the beast",)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalidError, match=r"absent\.toml: cannot be read: No such file"):
        read(Outer, tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 1\nport = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalidError, match=r"broken\.toml: is not TOML"):
        read(Outer, path)


def test_the_head_of_a_written_file_is_a_comment() -> None:
    text = toml_text(Outer(port=1), head="one\ntwo")
    assert text.startswith("# one\n# two\n\n")
    assert tomllib.loads(text)["port"] == 1
