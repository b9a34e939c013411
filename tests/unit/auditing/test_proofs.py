"""Nobody honest can be accused: a proof that is bent in any place proves nothing any more.

`test_look` shows that true alarms are proved; here the same alarms are made to lie.
"""

import dataclasses

import pytest

from heptad.auditing.diagnosis import relate
from heptad.transparency.merkle import CompactRange, leaf_hash, leaf_hashes
from heptad.transparency.tiled_tree import inclusion_proof
from heptad.transparency.tiles import encode_entries
from heptad.verification import Alarm, AlarmUnreadableError, Raised, parse_alarm
from heptad.verification.alarm_file import encode_alarm
from heptad.verification.alarms import FORMS, MissingFile, OneNote, TwoNotes, WrongNode, WrongRoot


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def altered_tile(tools, path):
    log = tools.log_of(600)
    log.files[path] = flipped(log.files[path], 40)
    return tools.Bench(log)


def altered_bundle(tools):
    log = tools.log_of(600)
    entries = [*log.entries[:300], tools.entry_of(9_999), *log.entries[301:512]]
    log.files["tile/entries/001"] = encode_entries(entries[256:])
    return tools.Bench(log)


def forked(tools, size):
    bench = tools.bench_of(size)
    bench.log = tools.log_of(size - 5)
    bench.log.append([tools.entry_of(7_777)])
    bench.log.grow(400)
    return bench


def mismatched(tools):
    bench = tools.bench_of(20)
    forged = tools.log_of(39)
    forged.append([tools.entry_of(9_999)])
    forged.files["checkpoint"] = tools.log_of(40).files["checkpoint"]
    bench.log = forged
    return bench


def malformed(tools):
    bench = tools.bench_of(20)
    bench.log.append([b"\xff"])
    return bench


def backwards(tools):
    bench = tools.bench_of(40)
    bench.log.grow(5, time_s=dict.fromkeys(range(5), tools.now_s) | {2: tools.now_s - 600})
    return bench


def lost(tools):
    log = tools.log_of(600)
    del log.files["tile/entries/001"]
    return tools.Bench(log)


def altered_later(tools, *paths):
    bench = tools.bench_of(600)
    for path in paths:
        bench.log.files[path] = flipped(bench.log.files[path], 40)
    return bench


ZOO = {
    "a fork from a full tile": lambda tools: forked(tools, 256),
    "a fork within a tile": lambda tools: forked(tools, 300),
    "a tile": lambda tools: altered_tile(tools, "tile/0/001"),
    "a tile of the second level": lambda tools: altered_tile(tools, "tile/1/000.p/2"),
    "an entry": altered_bundle,
    "a whole tile": lambda tools: altered_later(tools, "tile/0/001"),
    "a whole bundle": lambda tools: altered_later(tools, "tile/0/001", "tile/entries/001"),
    "an entry of old": lambda tools: altered_later(tools, "tile/entries/001"),
    "a root": mismatched,
    "no entry": malformed,
    "times": backwards,
    "a bundle that is gone": lost,
}


def alarm_of(tools, name):
    bench = ZOO[name](tools)
    raised = (bench.look().raised or bench.recheck().raised)[-1]
    assert bench.judge(raised).holds
    return bench, raised


def bent(shown):
    """The same with one field at a time changed: a bit in each hash, a letter in each text."""
    for field in dataclasses.fields(shown):
        value = getattr(shown, field.name)
        if field.name == "served" or not value:
            continue  # what was served may be anything but right
        if isinstance(value, bytes):
            yield field.name, {field.name: flipped(value, len(value) - 1)}
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                more = (*value[:at], flipped(item, 5), *value[at + 1 :])
                yield f"{field.name} {at}", {field.name: more}
            yield f"{field.name} cut", {field.name: value[:-1]}
        elif isinstance(value, int):
            yield field.name, {field.name: value + 1}
        else:
            assert isinstance(value, str)
            size = value.index("\n") + 2 if "\n" in value else len("tile/")
            digit = "7" if value[size] != "7" else "6"
            yield field.name, {field.name: value[:size] + digit + value[size + 1 :]}


@pytest.mark.parametrize("name", ZOO)
def test_a_proof_that_is_bent_anywhere_proves_nothing(tools, name):
    bench, raised = alarm_of(tools, name)
    for what, change in bent(raised.shown):
        lie = dataclasses.replace(raised, shown=dataclasses.replace(raised.shown, **change))
        assert not bench.judge(lie).holds, what


@pytest.mark.parametrize("name", ZOO)
def test_a_proof_holds_only_under_the_policy_of_its_log(tools, name):
    bench, raised = alarm_of(tools, name)
    stranger = dataclasses.replace(tools.policy.logs[0], key=tools.stranger_key)
    other = dataclasses.replace(tools.policy, logs=(stranger,))
    assert not bench.judge(raised, policy=other).holds


@pytest.mark.parametrize("height", [-1, 64, 10**12])
def test_a_height_that_no_tree_has_costs_nothing(tools, height):
    bench, raised = alarm_of(tools, "a tile")
    shown = dataclasses.replace(raised.shown, height=height)
    assert not bench.judge(dataclasses.replace(raised, shown=shown)).holds


def test_an_honest_log_is_accused_of_nothing_by_its_own_files(tools):
    small, large = tools.log_of(200), tools.log_of(300)
    first, second = (log.files["checkpoint"].decode() for log in (small, large))
    bench = tools.Bench(large)
    proof = relate(small.head(), large.head(), large.read)
    assert proof.hashes
    place = {
        "note": second,
        "path_served": "tile/entries/000",
        "height": 0,
        "index": 7,
        "expected": leaf_hash(large.entries[7]),
        "path": tuple(inclusion_proof(leaf_index=7, tree_size=300, tiles=large)),
    }
    whole = place | {"height": 8, "index": 0, "expected": large.tiles[1, 0][:32]}
    whole["path"] = (CompactRange.empty().extended(leaf_hashes(large.entries[256:])).root(),)
    tile = whole | {"path_served": "tile/0/000"}
    unfinished = {"index": 1, "expected": whole["path"][0], "path": (whole["expected"],)}
    grown = tools.log_of(600)
    elsewhere = place | {"path_served": "tile/entries/001.p/44"}
    leaves = tuple(leaf_hashes(large.entries[200:]))
    other_edge = CompactRange.empty().extended(leaf_hashes([b"%d" % n for n in range(200)]))
    other_root = other_edge.extended(leaves).encode()
    lies = [
        (Alarm.ROOT_MISMATCH, WrongRoot(first, other_edge.encode(), leaves, other_root, second)),
        (Alarm.ROOT_MISMATCH, WrongRoot("", other_edge.encode(), leaves, other_root, second)),
        (Alarm.FORK, TwoNotes(first, second, proof.root_before, proof.hashes)),
        (Alarm.BUNDLE_ALTERED, WrongNode(**place, served=large.entries[7])),
        (Alarm.BUNDLE_ALTERED, WrongNode(**elsewhere, served=large.entries[8])),
        (Alarm.BUNDLE_ALTERED, WrongNode(**whole, served=large.files["tile/entries/000"])),
        (Alarm.TILE_ALTERED, WrongNode(**tile, served=large.files["tile/0/000"])),
        (Alarm.TILE_ALTERED, WrongNode(**tile, served=bytes(32))),
        (Alarm.BUNDLE_ALTERED, WrongNode(**whole, served=b"\x00\x01a")),
        *(
            (
                alarm,
                WrongNode(**whole | unfinished | {"path_served": path}, served=grown.files[path]),
            )
            for alarm, path in (
                (Alarm.TILE_ALTERED, "tile/0/001"),
                (Alarm.BUNDLE_ALTERED, "tile/entries/001"),
            )
        ),
        (Alarm.FORK, TwoNotes(first, second)),
        (Alarm.FORK, TwoNotes(first, first)),
        (Alarm.ROLLBACK, TwoNotes(second, first)),
        (Alarm.ROLLBACK, TwoNotes(first, first)),
        (Alarm.OTHER_LOG, TwoNotes(first, second)),
        (Alarm.COSIGNATURE_BACKWARDS, TwoNotes(first, second)),
        (Alarm.FREEZE, OneNote(first, 3_600)),
        (Alarm.FREEZE, OneNote(first, 0)),
        *((alarm, OneNote(first)) for alarm in Alarm if FORMS[alarm] == (OneNote,)),
        (Alarm.TILE_MISSING, MissingFile(first, "tile/0/001")),
        (Alarm.TILE_MISSING, MissingFile(first, "tile/0/000")),
        (Alarm.BUNDLE_MISSING, MissingFile(first, "tile/entries/000.p/201")),
    ]
    for alarm, shown in lies:
        report = bench.judge(Raised(alarm, "", tools.now_s, "", shown))
        assert not report.holds, (alarm, shown)


def test_what_nobody_signed_is_called_the_auditors_word(tools):
    for name, is_word in (("a tile", True), ("a fork within a tile", False), ("no entry", False)):
        bench, raised = alarm_of(tools, name)
        steps = [finding.subject for finding in bench.judge(raised).findings]
        assert ("word" in steps) is is_word, name


@pytest.mark.parametrize(
    "bend",
    [
        lambda data: b"",
        lambda data: data[:-5],
        lambda data: data.replace(b"heptad-alarm/v1", b"heptad-alarm/v2"),
        lambda data: data.replace(b'"alarm": "tile_altered"', b'"alarm": "fork"'),
        lambda data: data.replace(b'"alarm": "tile_altered"', b'"alarm": "boredom"'),
        lambda data: data.replace(b'"form": "WrongNode"', b'"form": "Raised"'),
        lambda data: data.replace(b'"height": 0', b'"height": "0"'),
        lambda data: data.replace(b'"height": 0', b'"height": true'),
        lambda data: data.replace(b'"height": 0', b'"depth": 0'),
        lambda data: data.replace(b'"height": 0', b'"height": 0, "more": 1'),
        lambda data: data.replace(b'"path": [\n', b'"path": [\n1,'),
        lambda data: data.replace(b'"expected": "', b'"expected": "*'),
    ],
)
def test_a_file_that_is_no_alarm_is_refused(tools, bend):
    _, raised = alarm_of(tools, "a tile")
    data = encode_alarm(raised)
    assert bend(data) != data
    with pytest.raises(AlarmUnreadableError):
        parse_alarm(bend(data))
