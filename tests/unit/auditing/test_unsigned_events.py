"""Events that no service has signed: the log holds what validators batch, and an auditor looks."""

import dataclasses

import pytest

from heptad.crypto.bundles import Event, ServiceKey, public_events, sign_bundle
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.verification import Alarm, BundleFile, examine_alarm, parse_alarm
from heptad.verification.alarm_file import FILE_BYTES_MAX, encode_alarm
from heptad.verification.alarms import LoggedRange
from heptad.wire.convert.entry import encode_entry

SERVICE = "tax-portal"
KEY = Ed25519Key(bytes([77]) * 32)
OTHER = Ed25519Key(bytes([78]) * 32)
KEYS = {SERVICE: {KEY.public.kid: ServiceKey(KEY.public)}}
SUBJECT = "cell-" + "a" * 26


def bundle_of(tools, count, *, key=KEY, iss=SERVICE, validator=1):
    """The entries of a bundle: its own, then its events."""
    now_ms = tools.now_s * 1000
    events = [Event(SUBJECT, "record.access", b"%d" % n, now_ms) for n in range(count)]
    bundle = sign_bundle(
        key, events, iss=iss, aud=tools.origin, jti="0b9fd9d2-5b7e-4d35-8b1b-1d0a3c6f0a01",
        iat=tools.now_s, exp=tools.now_s + 60,
        entropy=lambda size: bytes(range(size)),
    )  # fmt: skip
    own = Entry(Kind.BUNDLE, SERVICE, "", Outcome.NONE, now_ms, validator, b"", bundle.statement)
    behind = [
        Entry(Kind.EVENT, SERVICE, each.action, each.outcome, each.time_ms, validator,
              each.commitment)
        for each in public_events(bundle.events)
    ]  # fmt: skip
    return [own, *behind]


def logged(tools, entries, *, before=40, after=3, keys=KEYS):
    """A bench that has seen a log which then goes on with these entries and some ordinary ones."""
    bench = tools.bench_of(before, keys=keys)
    size = len(bench.log.entries) + len(entries)
    ordinary = [tools.entry_of(n) for n in range(size, size + after)]
    bench.log.append([*map(encode_entry, entries), *ordinary])
    return bench


@pytest.mark.parametrize("count", [1, 2, 217, 600, 999])
def test_what_a_service_has_signed_is_in_order(tools, count):
    assert logged(tools, bundle_of(tools, count)).alarms() == []
    assert logged(tools, bundle_of(tools, count), before=0, after=0).alarms() == []


def test_bundles_behind_each_other_are_in_order(tools):
    entries = [entry for count in (3, 1, 300) for entry in bundle_of(tools, count)]
    assert logged(tools, entries).alarms() == []


def altered(tools, how):
    """Three events were signed; this is what a validator made of them."""
    own, *events = bundle_of(tools, 3)
    match how:
        case "another action":
            events[1] = dataclasses.replace(events[1], action="record.delete")
        case "another order":
            events.reverse()
        case "another time":
            events[2] = dataclasses.replace(events[2], time_ms=5)
        case "one left out":
            del events[1]
        case "one put among them":
            events.insert(1, bundle_of(tools, 1)[1])
            events[1] = dataclasses.replace(events[1], commitment=bytes(32))
        case "another validator":
            events[0] = dataclasses.replace(events[0], validator=2)
        case "all left out":
            events = []
    return [own, *events]


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize(
    "how",
    ["another action", "another order", "another time", "one left out", "another validator",
     "all left out"],
)  # fmt: skip
def test_other_events_than_those_that_were_signed_are_proved(tools, how, after):
    assert logged(tools, altered(tools, how), after=after).alarms() == ["events_unsigned"]


def test_an_event_put_among_those_that_were_signed_is_proved_and_so_is_the_one_too_many(tools):
    bench = logged(tools, altered(tools, "one put among them"))
    assert bench.alarms() == ["events_unsigned", "events_unsigned"]


def test_a_statement_that_the_service_has_not_signed_is_proved_by_its_key(tools):
    forged = bundle_of(tools, 3, key=OTHER)
    own = dataclasses.replace(
        bundle_of(tools, 3)[0],
        statement=bundle_of(tools, 3)[0].statement[:-8] + b"AAAAAAAA",
    )
    for entries in (forged, [own, *forged[1:]]):
        assert logged(tools, entries).alarms() == ["events_unsigned"]
        assert logged(tools, entries, keys=None).alarms() == []


@pytest.mark.parametrize("before", [0, 1, 40, 999, 1_000, 1_400])
def test_an_event_that_no_bundle_reaches_is_proved(tools, before):
    event = bundle_of(tools, 1)[1]
    assert logged(tools, [event], before=before).alarms() == ["events_unsigned"]


def test_events_without_a_bundle_are_told_once_for_each_run_of_them(tools):
    event = bundle_of(tools, 1)[1]
    other = Entry(Kind.RECOVERY, SERVICE, "", Outcome.NONE, 1, 1, b"")
    bench = logged(tools, [event] * 20 + [other] + [event] * 5)
    assert bench.alarms() == ["events_unsigned"] * 2


def test_an_event_behind_the_reach_of_a_bundle_is_none_of_its(tools):
    entries = [*bundle_of(tools, 5), bundle_of(tools, 1)[1]]
    assert logged(tools, entries).alarms() == ["events_unsigned"]


def test_events_that_a_bundle_of_an_earlier_look_reaches_are_not_told_again(tools):
    own, *events = bundle_of(tools, 3)
    bench = logged(tools, [own, events[0]], after=0)
    assert bench.alarms() == ["events_unsigned"]
    bench.log.append([encode_entry(event) for event in events[1:]])
    assert bench.alarms() == []


@pytest.mark.parametrize("statement", [b"", b"a.b.c", b"\xff"])
def test_a_bundle_that_states_nothing_breaks_a_rule(tools, statement):
    own = dataclasses.replace(bundle_of(tools, 1)[0], statement=statement)
    assert logged(tools, [own]).alarms() == ["entry_invalid"]


def test_a_bundle_under_another_services_name_breaks_a_rule(tools):
    own, *events = bundle_of(tools, 1, iss="land-register")
    assert logged(tools, [own, *events]).alarms() == ["entry_invalid", "events_unsigned"]


def raised_by(tools, entries):
    bench = logged(tools, entries)
    [raised] = bench.look().raised
    assert raised.alarm is Alarm.EVENTS_UNSIGNED
    assert bench.judge(raised).holds
    return bench, raised, BundleFile.parse(raised.shown.entries.encode())


def verdict(bench, raised, file, **changes):
    shown = LoggedRange(dataclasses.replace(file, **changes).encode().decode())
    return bench.judge(dataclasses.replace(raised, shown=shown)).holds


@pytest.mark.parametrize("how", ["another action", "one left out"])
def test_a_range_that_is_bent_anywhere_proves_nothing(tools, how):
    bench, raised, file = raised_by(tools, altered(tools, how))
    assert verdict(bench, raised, file)
    assert not verdict(bench, raised, file, entry=tools.entry_of(1))
    for at in range(len(file.events)):
        events = (*file.events[:at], tools.entry_of(1), *file.events[at + 1 :])
        assert not verdict(bench, raised, file, events=events)
    assert not verdict(bench, raised, file, events=file.events[:-1])
    assert not verdict(bench, raised, file, consistency=file.consistency[:-1])
    moved = dataclasses.replace(file.receipt, leaf_index=file.receipt.leaf_index + 1)
    assert not verdict(bench, raised, file, receipt=moved)


@pytest.mark.parametrize("shown", [slice(0, 1), slice(0, 2), slice(0, 4), slice(1, 3), slice(2, 9)])
def test_no_part_of_an_honest_bundle_accuses_anybody(tools, shown):
    """Whoever shows less than would be there to see, or more, has shown nothing."""
    honest = bundle_of(tools, 3)
    bench, raised, _ = raised_by(tools, altered(tools, "another action"))
    bench = logged(tools, honest, after=8)
    first = 40 + shown.start
    lie = tools.range_of(bench.log, first, shown.stop - shown.start)
    shown_range = LoggedRange(lie.encode().decode())
    report = bench.judge(dataclasses.replace(raised, shown=shown_range))
    assert not report.holds
    assert report.findings[-1].subject == "unsigned"


def test_the_last_event_that_a_bundle_reaches_is_not_without_one(tools):
    bench, raised, _ = raised_by(tools, altered(tools, "another action"))
    bench = logged(tools, bundle_of(tools, 3))
    for last in range(41, 44):
        lie = tools.range_of(bench.log, 0, last + 1)
        shown = LoggedRange(lie.encode().decode())
        assert not bench.judge(dataclasses.replace(raised, shown=shown)).holds


def bulky(tools, number, size=16_000):
    """An entry that is as long as one may be without being an alarm itself."""
    entry = Entry(Kind.RECOVERY, SERVICE, "", Outcome.NONE, number, 1, b"", bytes(size))
    return encode_entry(entry)


def test_events_among_long_entries_are_proved_however_long_these_may_be(tools):
    """The proof of one unsigned event has the 999 entries in front of it: 16 MB."""
    bench = tools.bench_of(1, keys=KEYS)
    bench.log.append([bulky(tools, n) for n in range(998)])
    assert bench.alarms() == []
    bench.log.append([encode_entry(bundle_of(tools, 1)[1])])
    result = bench.look()
    [raised] = result.raised
    file = encode_alarm(raised)
    assert 16_000_000 < len(file) <= FILE_BYTES_MAX
    report = examine_alarm(parse_alarm(file), policy=tools.policy, now_s=tools.now_s, keys=KEYS)
    assert report.holds, report.findings[-1]


def test_what_is_too_long_to_be_shown_is_counted_and_the_long_entries_are_alarms(tools):
    bench = tools.bench_of(1, keys=KEYS)
    bench.log.append([bulky(tools, n, 65_000) for n in range(300)])
    result = bench.look()
    assert {str(raised.alarm) for raised in result.raised} == {"entry_invalid"}
    assert bench.judge(result.raised[0]).holds
    bench.log.append([encode_entry(bundle_of(tools, 1)[1])])
    result = bench.look()
    assert (result.raised, result.untold) == ([], {"events_unsigned": 1})


def test_the_alarms_of_one_look_show_no_more_entries_than_fit_into_memory(tools):
    """Whoever puts bad events among long entries does not take an auditor's memory."""
    bench = tools.bench_of(1, keys=KEYS)
    bench.log.append([bulky(tools, n) for n in range(999)])
    bench.look()
    event = encode_entry(bundle_of(tools, 1)[1])
    bench.log.append([each for n in range(5) for each in (event, bulky(tools, n))])
    result = bench.look()
    shown = [len(raised.shown.entries) for raised in result.raised]
    assert len(shown) == 2
    assert result.untold["events_unsigned"] == 3
