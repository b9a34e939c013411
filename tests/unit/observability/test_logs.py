"""Logs are events with fields, and no line gives anybody away."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.problems import Problem
from heptad.observability.logs import (
    TEXT_LENGTH_MAX,
    WITHHELD,
    EventLog,
    adopt_library_logs,
    guarded,
)

JWS = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"


class Lines(list[str]):
    """What was written."""

    def log(self, level: str = "debug", **bound: object) -> EventLog:
        moment = datetime(2031, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
        return EventLog(bound=bound, level=level, write=self.append, now=lambda: moment)

    def only(self) -> dict[str, object]:
        assert len(self) == 1
        assert self[0].endswith("\n")
        return json.loads(self[0])


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_an_event_is_one_line_of_json_with_time_level_and_bound_fields(lines: Lines) -> None:
    lines.log(service="replica-1").bind(peer="replica-2").info("peer_lost", after_ms=12)
    assert lines.only() == {
        "time": "2031-05-06T07:08:09.123Z",
        "level": "info",
        "event": "peer_lost",
        "service": "replica-1",
        "peer": "replica-2",
        "after_ms": 12,
    }


def test_levels_below_the_chosen_one_are_not_written(lines: Lines) -> None:
    log = lines.log("warning")
    log.debug("a")
    log.info("b")
    log.bind(x=1).info("c")
    log.warning("d")
    log.error("e")
    log.failure("f", ValueError())
    assert [json.loads(line)["event"] for line in lines] == ["d", "e", "f"]


def test_a_new_level_counts_for_all_that_was_bound_before(lines: Lines) -> None:
    log = lines.log("warning")
    bound = log.bind(x=1)
    bound.info("a")
    log.set_level("info")
    bound.info("b")
    bound.set_level("error")
    log.warning("c")
    assert [json.loads(line)["event"] for line in lines] == ["b"]


@given(st.text())
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    lines = Lines()
    lines.log().info("said", words=text)
    assert "\n" not in lines[0][:-1]
    lines.only()


@pytest.mark.parametrize(
    "name",
    [
        *("iss", "subject", "subject_id", "jws", "payload", "data", "authorization", "witness"),
        *("private_key", "slot_key", "key_ref", "client_ip", "request_body", "secret", "email"),
    ],
)
def test_a_field_that_is_called_like_something_private_is_withheld(lines: Lines, name: str) -> None:
    lines.log().info("event", **{name: "Jane"})
    assert lines.only()[name] == WITHHELD


@pytest.mark.parametrize(
    "value",
    [
        JWS,
        f"Heptad {JWS}",
        "-----BEGIN PRIVATE KEY-----",
        '{"kty":"OKP","d":"abc"}',
        b"\x01\x02",
        {"name": "Jane"},
        object(),
    ],
)
def test_a_value_that_looks_private_is_withheld_whatever_it_is_called(value: object) -> None:
    assert guarded("note", value) == WITHHELD
    assert guarded("notes", [value]) == [WITHHELD]


@pytest.mark.parametrize("value", ["replica-3", 7, 0.5, True, None, "a" * TEXT_LENGTH_MAX])
def test_what_is_harmless_is_written_as_it_is(value: object) -> None:
    assert guarded("note", value) == value


def test_long_texts_are_cut() -> None:
    assert guarded("note", "é" * 10_000) == "é" * TEXT_LENGTH_MAX + "…"


def test_a_foreign_exception_shows_where_it_came_from_but_not_its_words(lines: Lines) -> None:
    try:
        raise KeyError("Jane Citizen")
    except KeyError as error:
        lines.log().failure("handler_broke", error, method="/a.B/C")
    line = lines.only()
    assert line["error"] == "builtins.KeyError"
    assert line["method"] == "/a.B/C"
    assert "test_logs.py:" in line["at"][-1]
    assert "Jane" not in lines[0]
    assert "/work" not in line["at"][-1]


def test_an_exception_of_the_house_keeps_its_words(lines: Lines) -> None:
    lines.log().failure("refused", Problem("overloaded", "queue of 7 is full"))
    assert lines.only()["reason"] == "overloaded: queue of 7 is full"


def test_an_exception_that_speaks_of_the_program_keeps_its_words(lines: Lines) -> None:
    lines.log().failure("broke", AttributeError("'Block' object has no attribute 'rond'"))
    assert lines.only()["reason"] == "'Block' object has no attribute 'rond'"


def test_a_failure_of_the_machine_keeps_its_reason_but_not_its_path(lines: Lines) -> None:
    lines.log().failure("disk", OSError(28, "No space left on device", "/srv/jane/x"))
    assert lines.only()["reason"] == "No space left on device"
    assert "jane" not in lines[0]


def test_a_failure_of_a_store_says_why_without_its_path(lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"rubbish" * 1_024)
    with pytest.raises(lmdb.Error) as caught:
        lmdb.open(str(tmp_path))
    lines.log().failure("store", caught.value)
    assert lines.only()["reason"] == "MDB_INVALID: File is not an LMDB file"
    assert str(tmp_path) not in lines[0]


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield root
    root.handlers, root.level = before


def test_what_libraries_log_loses_its_arguments(lines: Lines, root_logger) -> None:
    adopt_library_logs(lines.log())
    logging.getLogger("aiohttp.server").error("cannot serve %s", "Jane")
    logging.getLogger("aiohttp.access").info("GET /v1/Jane")
    line = lines.only()
    assert (line["event"], line["logger"], line["message"], line["level"]) == (
        "library_log",
        "aiohttp.server",
        "cannot serve %s",
        "error",
    )
