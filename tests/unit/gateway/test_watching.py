"""The log as a stream of events: resumable, bounded, and ended in order."""

import asyncio

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, LoggedEntry, WatchedEntries
from heptad.wire.convert.entry import encode_entry

ENTRY = encode_entry(Entry(Kind.REQUEST, "tax", "a", Outcome.ALLOWED, 5, 2, b""))
START = WatchedEntries((), 4, 9)
TWO = WatchedEntries((LoggedEntry(4, ENTRY), LoggedEntry(7, ENTRY)), 9, 9)


async def until(holds):
    while not holds():  # noqa: ASYNC110  other tasks of this loop bring it about
        await asyncio.sleep(0)


def events_of(body):
    """The events of a stream: (name, id, data) each."""
    events = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            events.append((fields["event"], fields.get("id"), fields["data"]))
    return events


def test_each_entry_is_an_event_whose_id_is_where_to_go_on(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START, TWO]
        answer = await gateway.call("GET", "/v1/entries:watch?start_index=4&service=tax")
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "heptad"
        found = [(name, number) for name, number, _ in events_of(answer.body)]
        assert found == [("position", "4"), ("entry", "5"), ("entry", "8"), ("position", "9")]
        assert gateway.ledger.asked[0][1] == EntryFilter(start_index=4, service="tax")
        assert '"index":7' in events_of(answer.body)[2][2]

    gateway(story)


def test_who_comes_back_goes_on_from_its_last_event(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START]
        path = "/v1/entries:watch?start_index=4"
        await gateway.call("GET", path, headers={"Last-Event-ID": "8"})
        assert gateway.ledger.asked[0][1].start_index == 8
        refused = await gateway.call("GET", path, headers={"Last-Event-ID": "x"})
        assert (refused.code, refused.json()["field"]) == ("parameter_invalid", "Last-Event-ID")

    gateway(story)


def test_who_names_no_index_gets_what_is_new(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START]
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(b"note", 77)
        await gateway.call("GET", "/v1/entries:watch")
        assert gateway.ledger.asked[-1][1].start_index == 77

    gateway(story)


@pytest.mark.parametrize(("end", "start"), [(5, 5), (77, 77), (78, 77)])
def test_who_names_no_index_but_an_end_that_is_past_gets_the_end(gateway, end, start):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START]
        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(b"note", 77)
        answer = await gateway.call("GET", f"/v1/entries:watch?end_index={end}")
        assert answer.status == 200
        assert gateway.ledger.asked[-1][1] == EntryFilter(start_index=start, end_index=end)

    gateway(story)


def test_what_is_refused_at_once_is_refused_with_a_status(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [Problem("index_out_of_range", "too far")]
        answer = await gateway.call("GET", "/v1/entries:watch?start_index=4")
        assert (answer.status, answer.code) == (404, "index_out_of_range")
        assert gateway.app.watching.count == 0

    gateway(story)


def test_what_is_refused_later_is_the_last_event_and_keeps_the_id(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [TWO, Problem("ledger_unavailable", "down")]
        answer = await gateway.call("GET", "/v1/entries:watch?start_index=4")
        name, number, data = events_of(answer.body)[-1]
        assert (name, number) == ("problem", None)
        assert '"code":"ledger_unavailable"' in data
        assert gateway.app.watching.count == gateway.ledger.watching == 0

    gateway(story)


def test_the_head_alone_opens_no_stream_that_stays(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START, TWO]
        answer = await gateway.call("HEAD", "/v1/entries:watch?start_index=4")
        assert (answer.status, answer.body) == (200, b"")
        assert gateway.app.watching.count == gateway.ledger.watching == 0

    gateway(story)


def test_watches_are_bounded_and_a_client_that_goes_makes_room(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START, *[TWO] * 100_000, None]
        url = f"http://127.0.0.1:{gateway.port}/v1/entries:watch?start_index=4"
        async with gateway.http.get(url) as first:
            await first.content.readany()
            assert gateway.app.watching.count == 1
            second = await gateway.call("GET", "/v1/entries:watch?start_index=4")
            assert (second.status, second.code) == (503, "overloaded")
            assert second.headers["Retry-After"] == "5"
            first.close()
        await until(lambda: gateway.app.watching.count == gateway.ledger.watching == 0)

    gateway(story, watches_max=1)


@pytest.mark.parametrize("per_s", [20_000, 0])
def test_no_one_address_takes_all_watches_unless_all_clients_have_one(gateway, per_s):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START, *[TWO] * 100_000, None]
        url = f"http://127.0.0.1:{gateway.port}/v1/entries:watch?start_index=4"
        async with gateway.http.get(url) as first:
            await first.content.readany()
            second = gateway.http.get(url)
            async with second as answer:
                assert answer.status == (503 if per_s else 200)
                assert ("Retry-After" in answer.headers) is bool(per_s)
                answer.close()
            first.close()
        await until(lambda: gateway.app.watching.count == gateway.ledger.watching == 0)

    gateway(story, watches_max=4, client_requests_per_s_max=per_s)


def test_a_gateway_that_drains_ends_its_watches_and_takes_no_new_ones(gateway):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START, None]
        call = asyncio.create_task(gateway.call("GET", "/v1/entries:watch?start_index=4"))
        await until(lambda: gateway.app.watching.count == 1)
        gateway.app.set_draining(True)
        events = events_of((await call).body)
        assert '"code":"draining"' in events[-1][2]
        assert gateway.app.watching.count == gateway.ledger.watching == 0
        refused = await gateway.call("GET", "/v1/entries:watch?start_index=4")
        assert (refused.status, refused.code) == (503, "draining")
        gateway.app.set_draining(False)
        gateway.ledger.answers["watch"] = [START]
        assert (await gateway.call("GET", "/v1/entries:watch?start_index=4")).status == 200

    gateway(story)


@pytest.mark.parametrize("query", ["page_size=3", "order=descending", "start_index=x"])
def test_a_watch_has_no_pages_and_no_order(gateway, query):
    async def story(gateway):
        answer = await gateway.call("GET", f"/v1/entries:watch?{query}")
        assert answer.code == "parameter_invalid"
        assert gateway.ledger.asked == []

    gateway(story)


@pytest.mark.parametrize(("last", "status"), [("8", 200), ("9", 204), ("12", 204)])
def test_who_comes_back_and_has_all_that_it_wanted_is_told_not_to_come_again(gateway, last, status):
    async def story(gateway):
        gateway.ledger.answers["watch"] = [START]
        path = "/v1/entries:watch?start_index=4&end_index=9"
        answer = await gateway.call("GET", path, headers={"Last-Event-ID": last})
        assert answer.status == status
        assert len(gateway.ledger.asked) == (status == 200)
        assert gateway.app.watching.count == 0

    gateway(story)
