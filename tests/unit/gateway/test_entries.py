"""The log as JSON: what is asked reaches the ledger exactly, what it says comes back readable."""

import base64

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import (
    CheckpointSizes,
    EntryCount,
    EntryFilter,
    EntryPage,
    EntryQuery,
    LoggedEntry,
    LogTotals,
    Order,
)
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad.wire.convert.entry import encode_entry

ENTRY = encode_entry(
    Entry(Kind.DUPLICATE, "tax", "consent.grant", Outcome.DENIED, 5, 2, bytes(32), b"said")
)


def test_an_entry_has_its_bytes_and_what_they_say(gateway):
    async def story(gateway):
        gateway.ledger.answers["entry"] = ENTRY
        answer = await gateway.call("GET", "/v1/entries/7")
        assert answer.json() == {
            "index": 7,
            "entry": base64.b64encode(ENTRY).decode(),
            "kind": "DUPLICATE",
            "service": "tax",
            "action": "consent.grant",
            "time_ms": 5,
            "validator": 2,
            "outcome": "denied",
            "commitment": base64.b64encode(bytes(32)).decode(),
            "statement": base64.b64encode(b"said").decode(),
        }
        assert "immutable" in answer.headers["Cache-Control"]

    gateway(story)


def test_an_entry_of_a_newer_version_is_its_bytes_alone(gateway):
    async def story(gateway):
        gateway.ledger.answers["entry"] = b"\x08\x09"
        assert (await gateway.call("GET", "/v1/entries/7")).json() == {"index": 7, "entry": "CAk="}

    gateway(story)


def test_a_query_reaches_the_ledger_as_it_was_asked(gateway):
    async def story(gateway):
        gateway.ledger.answers["entries"] = EntryPage((), "", 0, 9)
        await gateway.call(
            "GET",
            "/v1/entries?start_index=5&end_index=90&from_ms=7&until_ms=8&service=tax&kind=EXPORT"
            "&kind=BUNDLE&action=consent.grant&outcome=denied&validator=2&order=descending"
            "&page_size=3&page_token=abc",
        )
        wanted = EntryFilter(
            5, 90, 7, 8, "tax", (Kind.BUNDLE, Kind.EXPORT), "consent.grant", Outcome.DENIED, 2
        )
        assert gateway.ledger.asked[0][1] == EntryQuery(wanted, Order.DESCENDING, 3, "abc")

    gateway(story)


def test_a_page_has_its_entries_and_the_address_of_the_next(gateway):
    async def story(gateway):
        entries = (LoggedEntry(5, ENTRY), LoggedEntry(9, ENTRY))
        gateway.ledger.answers["entries"] = EntryPage(entries, "t", 10, 12)
        answer = await gateway.call("GET", "/v1/entries?service=a%26b&page_size=2&page_token=s")
        members = answer.json()
        assert [entry["index"] for entry in members["entries"]] == [5, 9]
        assert members["checkpoint_size"] == 12
        assert members["next_index"] == 10
        assert members["next"] == "/v1/entries?service=a%26b&page_size=2&page_token=t"
        assert answer.headers["Cache-Control"] == "no-cache"

    gateway(story)


def test_the_last_page_links_to_nothing(gateway):
    async def story(gateway):
        gateway.ledger.answers["entries"] = EntryPage((), "", 0, 4)
        answer = await gateway.call("GET", "/v1/entries")
        assert answer.json() == {"entries": [], "checkpoint_size": 4}

    gateway(story)


def test_a_count_says_whether_there_is_more_to_count(gateway):
    async def story(gateway):
        gateway.ledger.answers["count"] = EntryCount(7, "t", 12)
        answer = await gateway.call("GET", "/v1/entries:count?kind=EXPORT")
        assert answer.json() == {
            "count": 7,
            "checkpoint_size": 12,
            "next_page_token": "t",
            "next": "/v1/entries:count?kind=EXPORT&page_token=t",
        }
        wanted = EntryFilter(kinds=(Kind.EXPORT,))
        assert gateway.ledger.asked[0][:3] == ("count", wanted, "")

    gateway(story)


def test_totals_are_named(gateway):
    async def story(gateway):
        kinds = {int(Kind.REQUEST): 6, 0: 1}
        gateway.ledger.answers["totals"] = LogTotals(7, kinds, {"": 1, "tax": 6}, 2)
        answer = await gateway.call("GET", "/v1/entries:totals")
        assert answer.json() == {
            "size": 7,
            "kinds": {"REQUEST": 6, "UNKNOWN": 1},
            "services": {"": 1, "tax": 6},
            "service_count": 2,
        }

    gateway(story)


def test_checkpoints_are_found_by_size_and_kept_for_ever_but_for_the_latest(gateway):
    note = Note(
        Checkpoint("log.test", 7, bytes(32)).body(),
        (NoteSignature("log.test", b"1234", b"s" * 64),),
    ).encode()

    async def story(gateway):
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(note, 7)
        answer = await gateway.call("GET", "/v1/checkpoints/7")
        assert answer.json() == {
            "size": 7,
            "origin": "log.test",
            "root": base64.b64encode(bytes(32)).decode(),
            "note": note.decode(),
        }
        assert "immutable" in answer.headers["Cache-Control"]
        latest = await gateway.call("GET", "/v1/checkpoints/latest")
        assert latest.headers["Cache-Control"] == "public, max-age=1"
        assert [asked[1] for asked in gateway.ledger.asked] == [7, 0]
        assert (await gateway.call("GET", "/v1/checkpoints/0")).code == "not_found"

    gateway(story)


def test_sizes_of_checkpoints_come_in_pages(gateway):
    async def story(gateway):
        gateway.ledger.answers["checkpoint_sizes"] = CheckpointSizes((9, 7), "t")
        answer = await gateway.call("GET", "/v1/checkpoints?order=descending&page_size=2")
        assert answer.json() == {
            "sizes": [9, 7],
            "next_page_token": "t",
            "next": "/v1/checkpoints?order=descending&page_size=2&page_token=t",
        }

    gateway(story)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/entries?start_index=-1", "start_index"),
        ("/v1/entries?start_index=", "start_index"),
        ("/v1/entries?start_index=1.0", "start_index"),
        ("/v1/entries?start_index=01", "start_index"),
        ("/v1/entries?start_index=%D9%A1", "start_index"),
        ("/v1/entries?start_index=9223372036854775808", "start_index"),
        ("/v1/entries?start_index=1&start_index=2", "start_index"),
        ("/v1/entries?start_index=9&end_index=8", "end_index"),
        ("/v1/entries?from_ms=9&until_ms=8", "until_ms"),
        ("/v1/entries?kind=request", "kind"),
        ("/v1/entries?outcome=maybe", "outcome"),
        ("/v1/entries?order=newest", "order"),
        ("/v1/entries?validator=4294967296", "validator"),
        ("/v1/entries?service=" + "s" * 257, "service"),
        ("/v1/entries?action=%00", "action"),
        ("/v1/entries?page_size=1001", "page_size"),
        ("/v1/entries?pagesize=10", "pagesize"),
        ("/v1/entries?anna@example.org=10", "query"),
        ("/v1/entries:count?order=ascending", "order"),
        ("/v1/entries/x", "index"),
        ("/v1/entries/99999999999999999999", "index"),
        ("/v1/checkpoints/x", "size"),
        ("/v1/checkpoints?page_size=1001", "page_size"),
    ],
)
def test_a_wrong_parameter_is_named(gateway, path, field):
    async def story(gateway):
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.code) == (400, "parameter_invalid")
        assert answer.json()["field"] == field
        assert gateway.ledger.asked == []

    gateway(story)


def test_an_index_beyond_the_log_is_out_of_range(gateway):
    async def story(gateway):
        gateway.ledger.answers["entry"] = Problem("index_out_of_range", "the log has 4 entries")
        answer = await gateway.call("GET", "/v1/entries/7")
        assert (answer.status, answer.code) == (404, "index_out_of_range")

    gateway(story)
