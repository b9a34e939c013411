"""A log that served the right files once, and alters them later, is found out within one round.

`Bench.recheck` proves every alarm off line, from its file and the policy alone.
"""

import dataclasses
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.auditing.daemon import exposed
from heptad.auditing.errors import StateUnreadableError, StoppedError
from heptad.auditing.recheck import BYTES_MAX, SECONDS_MAX, UNREAD_MAX
from heptad.auditing.state import AuditState
from heptad.auditing.walk import AGAIN_MAX
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import leaf_hash, node_hash
from heptad.transparency.tiles import (
    CHECKPOINT_PATH,
    TilePath,
    all_tiles,
    encode_entries,
    partial_tiles,
)
from heptad.verification import SourceUnreadableError
from heptad.verification.open_tree import OpenTree

SIZE = 256 * 9 + 40
"""Nine full bundles: more than two looks of four, and not a multiple."""


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def damage(log, path, how):
    content = log.files[path]
    if how == "removed":
        del log.files[path]
    else:
        log.files[path] = {
            "flipped": flipped(content, len(content) // 2),
            "cut": content[:-1],
            "empty": b"",
        }[how]


class UniformLog:
    """A log of one entry over and over: every full tile of a level is the same, so that a log of
    any size is there without being made. `files` are those that are not as they should be."""

    def __init__(self, tools, size, entry=None):
        self.entry = entry or tools.entry_of(0)
        self.perfect = [leaf_hash(self.entry)]
        for _ in range(40):
            self.perfect.append(node_hash(self.perfect[-1], self.perfect[-1]))
        paths = [path for path in partial_tiles(size) if path.level is not None]
        tree = OpenTree.of_tiles(size=size, hashes={p.level: self._content(p) for p in paths})
        note = tools.note_of(Checkpoint(tools.origin, size, tree.edge.root()))
        self.state = AuditState(note.decode(), tree)
        self.edge = tree.edge
        self.files = {}

    def _content(self, path):
        if path.level is None:
            return encode_entries([self.entry] * path.width)
        return self.perfect[path.level * 8] * path.width

    def read(self, text):
        if text == CHECKPOINT_PATH:
            return self.state.note.encode()
        return self.files.get(text, self._content(TilePath.parse(text)))


# What is found.


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, SIZE])
def test_an_honest_log_is_walked_round_without_an_alarm_and_every_file_of_it_is_read(tools, size):
    bench = tools.bench_of(size)
    for _ in range(2):
        bench.log.asked.clear()
        assert bench.alarms() == []
        assert bench.walk_round() == []
        assert {path.format() for path in all_tiles(size)} <= set(bench.log.asked)


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "removed"])
@pytest.mark.parametrize("index", [0, 4, 8])
@pytest.mark.parametrize("folder", ["tile/entries", "tile/0"])
def test_an_old_file_that_is_altered_or_removed_is_named_within_one_round(
    tools, folder, index, how
):
    bench = tools.bench_of(SIZE)
    bench.recheck()
    path = f"{folder}/{index:03}"
    damage(bench.log, path, how)
    kind = "bundle" if folder == "tile/entries" else "tile"
    alarm = f"{kind}_{'missing' if how == 'removed' else 'altered'}"
    assert bench.alarms() == [], "a look reads only what is new"
    found = bench.walk_round() + bench.walk_round()
    assert set(found) == {f"{alarm} {path}"}


@pytest.mark.parametrize("how", ["flipped", "cut", "removed"])
@pytest.mark.parametrize("path", ["tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"])
def test_the_partial_files_of_the_right_edge_are_read_at_each_look(tools, path, how):
    bench = tools.bench_of(300)
    damage(bench.log, path, how)
    kind = "bundle" if "entries" in path else "tile"
    assert bench.alarms() == [f"{kind}_{'missing' if how == 'removed' else 'altered'}"]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("is_removed", [False, True])
def test_a_tile_of_any_level_is_named_and_the_tiles_below_it_are_not(tools, level, is_removed):
    """17 million entries: the lowest size that has a full tile of level 2."""
    log = UniformLog(tools, (1 << 24) + (1 << 16) + 300)
    bench = tools.Bench(log, state=log.state)
    assert bench.recheck().raised == []
    path = TilePath(level=level, index=0)
    log.files[path.format()] = None if is_removed else flipped(log.read(path.format()), 40)
    (raised,) = bench.recheck().raised
    assert str(raised.alarm) == ("tile_missing" if is_removed else "tile_altered")
    assert raised.shown.path_served == path.format()


def test_a_bundle_that_is_altered_together_with_its_tile_is_named_beside_it(tools):
    """Nobody can say then which entry it is, but the whole of either does not fit the root."""
    bench = tools.bench_of(SIZE)
    entries = [*bench.log.entries[:20], tools.entry_of(9_999), *bench.log.entries[21:256]]
    bench.log.files["tile/entries/000"] = encode_entries(entries)
    bench.log.files["tile/0/000"] = b"".join(map(leaf_hash, entries))
    assert bench.walk_round() == ["tile_altered tile/0/000", "bundle_altered tile/entries/000"]


def test_a_past_that_is_altered_consistently_does_not_lead_to_the_root_that_we_know(tools):
    bench = tools.bench_of(SIZE)
    forged = tools.EvilLog()
    forged.append([tools.entry_of(9_999), *bench.log.entries[1:]])
    forged.files["checkpoint"] = bench.log.files["checkpoint"]
    bench.log = forged
    assert bench.walk_round() == ["tile_altered tile/0/000", "bundle_altered tile/entries/000"]


@pytest.fixture(scope="module")
def proved(tools):
    bench = tools.bench_of(1_100)
    bench.log.clear_partials()
    return bench, bench.state


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), bundles=st.integers(1, 6))
def test_one_bit_flipped_anywhere_in_a_log_is_found_and_named_within_one_round(
    proved, data, bundles
):
    bench, state = proved
    files = bench.log.files
    paths = sorted(path.format() for path in all_tiles(1_100))
    path = data.draw(st.sampled_from(paths), label="path")
    at, bit = divmod(data.draw(st.integers(0, len(files[path]) * 8 - 1), label="bit"), 8)
    content, bench.state = files[path], state
    files[path] = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
    try:
        edge = [f"{r.alarm} {r.shown.path_served}" for r in bench.look().raised]
        found = edge or bench.walk_round(bundles)
    finally:
        files[path] = content
    assert found == [f"{'bundle' if 'entries' in path else 'tile'}_altered {path}"]


# What is no finding.


def test_partial_files_that_became_full_and_are_gone_are_no_alarm(tools):
    bench = tools.bench_of(300)
    bench.log.grow(2_000)
    bench.log.clear_partials()
    assert bench.alarms() == []
    assert bench.walk_round() == []


def unreadable(log, *paths):
    read = log.read

    def refusing(path):
        if path in paths:
            raise SourceUnreadableError(f"{path}: status 503")
        return read(path)

    log.read = refusing
    return read


def test_a_file_that_cannot_be_read_is_no_alarm_and_does_not_stop_the_walk(tools):
    bench = tools.bench_of(SIZE)
    bench.state = dataclasses.replace(
        bench.state, walk=dataclasses.replace(bench.state.walk, proved_since_s=1)
    )
    read = unreadable(bench.log, "tile/entries/002")
    first = bench.recheck()
    assert (list(first.unread), list(first.raised)) == (["tile/entries/002: status 503"], [])
    assert bench.walk_round() == []
    assert (bench.state.walk.again, bench.state.walk.proved_since_s) == ((2,), 1)
    bench.log.read = read
    assert bench.walk_round() == []
    assert (bench.state.walk.again, bench.state.walk.proved_since_s) == ((), tools.now_s)


def test_a_log_that_is_away_costs_a_few_tries_and_accuses_nobody(tools):
    bench = tools.bench_of(SIZE)
    bench.log.is_away = True
    result = bench.recheck(9)
    assert (len(result.unread), list(result.raised), result.bundles) == (UNREAD_MAX, [], 0)
    bench.log.is_away = False
    assert bench.walk_round() == []
    assert bench.state.walk.again == ()


def test_a_log_that_went_away_as_a_whole_since_the_look_is_not_accused(tools):
    bench = tools.bench_of(SIZE)
    files, bench.log.files = bench.log.files, {}
    result = bench.recheck()
    assert (list(result.raised), len(result.unread)) == ([], UNREAD_MAX)
    bench.log.files = files
    assert bench.walk_round() == []


def test_below_a_tile_that_is_wrong_nothing_is_judged_and_the_round_proves_nothing(tools):
    log = UniformLog(tools, (1 << 16) + 300)
    bench = tools.Bench(log, state=log.state)
    log.files["tile/1/000"] = flipped(log.read("tile/1/000"), 40)
    log.files["tile/entries/200"] = b""
    assert bench.walk_round(64) == ["tile_altered tile/1/000"]
    assert (bench.state.walk.proved_since_s, len(bench.state.walk.again)) == (0, 1)
    del log.files["tile/1/000"]
    assert bench.walk_round(64) == ["bundle_altered tile/entries/200"]
    assert bench.state.walk.proved_since_s == 0
    del log.files["tile/entries/200"]
    assert bench.walk_round(64) == []
    assert bench.state.walk.proved_since_s == tools.now_s


def test_what_was_below_a_wrong_tile_stays_unproved_when_that_is_mended_within_the_round(tools):
    log = UniformLog(tools, (1 << 16) + 300)
    bench = tools.Bench(log, state=log.state)
    log.files["tile/1/000"] = flipped(log.read("tile/1/000"), 40)
    assert len(bench.recheck(64).raised) == 1
    del log.files["tile/1/000"]
    assert bench.walk_round(64) == []
    assert (bench.state.walk.again, bench.state.walk.proved_since_s) == ((), 0)


# The walk and its bounds.


def asked_bundles(bench):
    asked = [TilePath.parse(path).index for path in bench.log.asked if "entries" in path]
    bench.log.asked.clear()
    return asked


def test_some_bundles_are_read_in_turn_and_some_where_nobody_can_foresee(tools):
    bench = tools.bench_of(SIZE)
    asked_bundles(bench)
    bench.recheck(4, below=lambda n: n - 1)
    assert asked_bundles(bench) == [0, 8, 1, 2]
    bench.recheck(4, below=lambda n: n - 2)
    assert asked_bundles(bench) == [3, 7, 4, 5]
    assert bench.recheck(0).walk == bench.state.walk
    assert asked_bundles(bench) == []


def test_a_round_ends_however_fast_the_log_grows(tools):
    bench = tools.bench_of(256 * 4)
    for _ in range(3):
        bench.log.grow(256 * 5)
        assert bench.alarms() == []
        result = bench.recheck(3)
    assert (result.is_round, result.walk.end) == (True, 9)
    assert bench.recheck(3).walk.end == 19


@pytest.mark.parametrize("reads_max", [1, 2, 4])
def test_time_bounds_a_look_and_one_bundle_in_turn_is_read_all_the_same(tools, reads_max):
    bench = tools.bench_of(SIZE)
    now = [0.0]
    read = bench.log.read

    def slow(path):
        now[0] += SECONDS_MAX / reads_max / 2 if "entries" in path else 0
        return read(path)

    bench.log.read = slow
    result = bench.recheck(12, below=lambda n: 8, clock_s=lambda: now[0])
    assert (result.bundles, result.is_round) == (2 * reads_max, False)
    assert result.walk.cursor == 1 + max(0, 2 * reads_max - 2)
    assert bench.walk_round(4) == []


def test_bytes_bound_a_look(tools):
    log = UniformLog(tools, 256 * 60, entry=bytes(60_000))
    result = tools.Bench(log, state=log.state).recheck(8, below=lambda n: 8)
    bundle = len(log.read("tile/entries/000"))
    assert result.bundles == BYTES_MAX // bundle + 1 == 3


def test_more_wrong_bundles_than_are_remembered_leave_a_gap(tools):
    bench = tools.bench_of(256 * (AGAIN_MAX + 2))
    for index in range(AGAIN_MAX + 1):
        damage(bench.log, f"tile/entries/{index:03}", "flipped")
    honest = tools.log_of(bench.log.edge.size).files
    assert len(bench.walk_round()) == AGAIN_MAX + 1
    assert bench.state.walk.has_gap
    bench.log.files = honest
    assert bench.walk_round() == []
    assert (bench.state.walk.again, bench.state.walk.has_gap) == ((), False)


@pytest.mark.parametrize(
    "members",
    [
        {"cursor": 3, "end": 2},
        {"end": 10},
        {"cursor": -1},
        {"again": [9]},
        {"again": list(range(9)) * 2},
        {"again": "0"},
        {"has_gap": 0},
    ],
)
def test_a_walk_that_does_not_fit_the_log_is_refused(tools, members):
    file = json.loads(tools.bench_of(SIZE).state.encode())
    file["walk"] |= members
    with pytest.raises(StateUnreadableError, match="read again"):
        AuditState.parse(json.dumps(file).encode())


def test_a_state_of_before_there_were_spot_checks_begins_its_first_round(tools):
    bench = tools.bench_of(SIZE)
    file = json.loads(bench.state.encode())
    del file["walk"]
    bench.state = AuditState.parse(json.dumps(file).encode())
    assert bench.walk_round() == []
    assert bench.state.walk.proved_since_s == tools.now_s


# The auditor.


def names(lines, event):
    return [said for said in map(json.loads, lines) if said["event"] == event]


def test_an_alarm_is_told_once_and_open_until_the_file_is_right_again(tools, watched, tmp_path):
    log, lines = tools.log_of(SIZE), []
    auditor = watched(log, lines=lines)
    auditor.look()
    content = log.files["tile/entries/004"]
    damage(log, "tile/entries/004", "flipped")
    for _ in range(3):
        log.grow(300)
        assert not auditor.look().is_clean
        assert auditor.figures.alarms_open == 1
        auditor = watched(log, lines=lines)
    assert [alarm["kind"] for alarm in names(lines, "alarm")] == ["bundle_altered"]
    assert len(list((tmp_path / "state" / "alarms").iterdir())) == 1
    log.files["tile/entries/004"] = content
    assert auditor.look().is_clean
    assert auditor.figures.alarms_open == 0


def test_a_restarted_auditor_goes_on_with_the_round_and_tells_its_end(tools, watched):
    log, lines, now = tools.log_of(256 * 20), [], [tools.now_s]
    rechecked, since = [], []
    for _ in range(3):
        auditor = watched(log, lines=lines, now_s=lambda: now[0])
        assert auditor.look().is_clean
        rechecked.append(auditor.figures.rechecked)
        said = exposed(auditor.figures, cell=tools.origin).exposition().decode()
        (shown,) = re.findall(r"^audit_proved_since_time_seconds (\S+)$", said, re.MULTILINE)
        since.append(float(shown) - tools.now_s)
        now[0] += 60
    (told,) = names(lines, "log_rechecked")
    assert (told["bundles"], told["seconds"], told["is_proved"]) == (20, 60, True)
    assert "audit_recheck_rounds_total 1.0" in said
    assert since == [0, 0, 60]
    assert rechecked[0] == 0
    assert rechecked[1] >= 12


def test_another_log_or_none_is_told_and_not_again_file_by_file(tools, watched):
    log = tools.log_of(SIZE)
    auditor = watched(log)
    auditor.look()
    assert auditor.look().rechecked == 9
    for files in (tools.log_of(200).files, {}, {"checkpoint": b"<html>"}):
        log.files = files
        finished = auditor.look()
        assert (len(finished.told), finished.rechecked) == (1, 0)


def test_what_a_look_has_proved_is_kept_if_the_spot_checks_are_given_up(tools, watched):
    log = tools.log_of(SIZE)
    auditor = watched(log)
    for _ in range(2):
        auditor.look()
    log.grow(300)

    def stop(_done, total):
        if total != 300:
            raise StoppedError("told to end")

    with pytest.raises(StoppedError):
        auditor.look(stop)
    kept = watched(log).state
    assert (kept.checkpoint.size, kept.walk.cursor) == (SIZE + 300, 9)


def test_a_file_that_cannot_be_read_again_is_counted_and_told(tools, watched):
    log, lines = tools.log_of(SIZE), []
    auditor = watched(log, lines=lines)
    auditor.look()
    unreadable(log, "tile/entries/002")
    finished = auditor.look()
    assert (finished.is_clean, finished.rechecked, len(finished.unread)) == (True, 8, 1)
    assert auditor.figures.source_errors == 1
    assert [said["reason"] for said in names(lines, "recheck_unread")] == list(finished.unread)
