"""Answers about many entries survive the wire unchanged, with what they have cost."""

import pytest

from heptad.model.queries import EntryCount, EntryPage, LoggedEntry, WatchedEntries
from heptad.wire.convert import ledger_queries as wire

ENTRIES = (LoggedEntry(3, b"a"), LoggedEntry(9, b"b"))


@pytest.mark.parametrize(
    ("encode", "decode", "value"),
    [
        (wire.encode_page, wire.decode_page, EntryPage(ENTRIES, "t", 10, 12, cost=77)),
        (wire.encode_count, wire.decode_count, EntryCount(5, "t", 12, cost=50_001)),
        (wire.encode_watched, wire.decode_watched, WatchedEntries(ENTRIES, 10, 12, cost=9)),
    ],
)
def test_an_answer_comes_back_as_it_was(encode, decode, value):
    assert decode(encode(value)) == value


def test_the_answer_of_an_older_ledger_has_cost_nothing():
    assert wire.decode_page(b"").cost == 0
