"""Lines that become events, and those that do not."""

import json

import pytest

from heptad.cli.bundle import LineError, read_events
from heptad.model.entry import Outcome

LINE = {"subject": "kn-" + "a" * 26, "action": "record.access", "payload": {"r": "é", "n": 1}}


def read(*lines):
    return list(read_events("\n".join(map(json.dumps, lines)), now_ms=77))


def test_a_line_is_an_event_that_happened_now_unless_it_says_otherwise():
    first, second = read(LINE, LINE | {"payload": "text", "outcome": "denied", "time_ms": 5})
    assert (first.time_ms, first.outcome, first.payload) == (
        77, Outcome.ALLOWED, '{"r":"é","n":1}'.encode(),
    )  # fmt: skip
    assert (second.time_ms, second.outcome, second.payload) == (5, Outcome.DENIED, b"text")


@pytest.mark.parametrize(
    "change",
    [
        {"subject": 1}, {"action": None}, {"outcome": "none"}, {"outcome": 1}, {"time_ms": 1.5},
        {"time_ms": True}, {"more": 1}, {"outcome": []}, {"time_ms": -1}, {"time_ms": 1 << 64},
        {"action": "a" * 70_000}, {"action": "é"},
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_is_named(change):
    with pytest.raises(LineError, match="line 2"):
        read(LINE, LINE | change)


def test_what_is_no_object_is_named():
    for text in ("[1]", "{", '"a"', "{}"):
        with pytest.raises(LineError, match="line 1"):
            list(read_events(text, now_ms=1))


@pytest.mark.parametrize("count", [0, 1_000])
def test_a_file_of_another_number_of_events_is_refused(count):
    with pytest.raises(LineError, match="1 to 999"):
        read(*[LINE] * count)
