"""Each way in which a log can be wrong raises its alarm, and the alarm is proved off line.

`Bench.alarms` holds every alarm's file against the policy alone: an alarm that could not be proved
by a stranger fails the test that raised it.
"""

from dataclasses import replace

import pytest

from heptad.auditing.growth import Reading
from heptad.auditing.terms import AuditTerms
from heptad.consensus.codec import vote_signing_bytes
from heptad.consensus.evidence import of_votes
from heptad.consensus.objects import Vote
from heptad.model.control_entry import control_entry
from heptad.model.entry import Kind, Outcome
from heptad.transparency.checkpoint import Checkpoint, sign_checkpoint
from heptad.transparency.notes import Note
from heptad.transparency.policy import KnownLog
from heptad.transparency.tiles import encode_entries
from heptad.verification import SourceUnreadableError
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.entry_facts import encode_duplicate


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_an_honest_log_is_followed_without_an_alarm(tools, size):
    bench = tools.bench_of(size)
    assert bench.state.checkpoint == bench.log.head()
    for count in (1, 255, 0, 300):
        bench.log.grow(count)
        assert bench.alarms() == []
        assert bench.state.checkpoint == bench.log.head()


def test_only_new_bundles_are_read_and_the_root_is_computed_from_entries_alone(tools):
    bench = tools.bench_of(600)
    bench.log.grow(300)
    bench.log.asked.clear()
    bench.look()
    bundles = [path for path in bench.log.asked if "entries" in path]
    assert bundles == ["tile/entries/002", "tile/entries/003.p/132"]


def test_a_log_with_no_checkpoint_yet_is_no_finding(tools):
    with pytest.raises(SourceUnreadableError, match="no checkpoint yet"):
        tools.Bench(tools.EvilLog()).look()


def test_a_log_that_is_away_is_not_accused(tools):
    bench = tools.bench_of(300)
    bench.log.is_away = True
    with pytest.raises(SourceUnreadableError):
        bench.look()


def test_a_partial_tile_that_was_cleared_away_is_cut_out_of_the_full_one(tools):
    bench = tools.Bench(tools.log_of(300))
    note = bench.log.files["checkpoint"]
    bench.log.grow(300)
    bench.log.clear_partials()
    bench.log.files["checkpoint"] = note
    assert bench.alarms() == []


def test_a_log_that_moves_on_while_it_is_read_is_not_accused(tools):
    """The partial tiles of the size that was read are gone before they are looked for."""
    bench = tools.Bench(tools.log_of(300))
    read, old = bench.log.read, bench.log.files["checkpoint"]
    for path in [path for path in bench.log.files if path.endswith(".p/44")]:
        del bench.log.files[path]
    bench.log.grow(20)
    served = [old]
    bench.log.read = lambda path: served.pop() if path == "checkpoint" and served else read(path)
    assert bench.alarms() == []
    assert bench.state.checkpoint.size == 320


# Two histories.


def test_two_roots_of_one_size_are_a_fork_and_the_first_history_is_kept(tools):
    bench = tools.bench_of(300)
    kept = bench.state.checkpoint
    other = tools.log_of(299)
    other.append([tools.entry_of(7_777)])
    bench.log = other
    assert bench.alarms() == ["fork"]
    assert bench.state.checkpoint == kept
    assert bench.alarms() == ["fork"]


@pytest.mark.parametrize("size", [256, 300])
def test_a_greater_log_that_does_not_continue_the_smaller_is_a_fork(tools, size):
    bench = tools.bench_of(size)
    other = tools.log_of(size - 5)
    other.append([tools.entry_of(7_777)])
    other.grow(400)
    bench.log = other
    assert bench.alarms() == ["fork"]
    assert bench.state.checkpoint.size == size


@pytest.mark.parametrize("more", [0, 400])
def test_a_fork_is_told_also_where_the_bundles_that_would_show_it_are_withheld(tools, more):
    bench = tools.bench_of(300)
    bench.log = tools.log_of(299)
    bench.log.append([tools.entry_of(7_777)])
    bench.log.grow(more)
    for path in [path for path in bench.log.files if "entries" in path]:
        del bench.log.files[path]
    assert bench.alarms() == ["fork", "bundle_missing"][: 1 + bool(more)]


def test_a_smaller_log_of_another_history_is_a_fork_if_the_greater_can_still_be_read(tools):
    bench = tools.bench_of(600)
    other = tools.log_of(99)
    other.append([tools.entry_of(7_777)])
    bench.log.files["checkpoint"] = other.files["checkpoint"]
    assert bench.alarms() == ["fork"]


def test_after_a_fork_the_first_history_is_followed_on(tools):
    bench = tools.bench_of(300)
    honest = bench.log
    evil = tools.log_of(299)
    evil.append([tools.entry_of(7_777)] * 20)
    bench.log = evil
    assert bench.alarms() == ["fork"]
    bench.log = honest
    honest.grow(50)
    assert bench.alarms() == []
    assert bench.state.checkpoint == honest.head()


def test_a_smaller_checkpoint_after_a_larger_is_a_rollback(tools):
    bench = tools.bench_of(300)
    bench.log = tools.log_of(200)
    assert bench.alarms() == ["rollback"]
    assert bench.state.checkpoint.size == 300


def test_a_checkpoint_that_is_gone_is_an_alarm_once_there_was_one(tools):
    bench = tools.bench_of(300)
    del bench.log.files["checkpoint"]
    assert bench.alarms() == ["checkpoint_missing"]


def test_the_checkpoint_of_another_log_of_the_policy_is_named(tools):
    """An auditor's policy may know several logs; one address serves one of them."""
    bench = tools.bench_of(40)
    bench.terms = AuditTerms(tools.policy_of_two, "https://log.example")
    bench.log.files["checkpoint"] = tools.other_note
    result = bench.look()
    assert [str(raised.alarm) for raised in result.raised] == ["other_log"]
    assert bench.judge(result.raised[0], policy=tools.policy_of_two).holds
    assert bench.state.checkpoint.origin == tools.origin


# Checkpoints that are wrong by themselves.


def test_a_checkpoint_that_cannot_be_read_is_named(tools):
    bench = tools.bench_of(300)
    for content in (b"", b"\xff\xfe", b"cell.example\n300\n", b"x" * 60_000):
        bench.log.files["checkpoint"] = content
        assert bench.alarms() == ["checkpoint_malformed"]


def assert_refused(tools, log, alarms):
    """The checkpoint is not believed, so nothing behind it is looked at."""
    bench = tools.Bench(log)
    log.asked.clear()
    assert bench.alarms() == alarms
    assert bench.state.checkpoint is None
    assert log.asked == ["checkpoint"]


def line_of(note, number):
    return note.split(b"\n\n")[1].split(b"\n")[number]


def test_a_cosignature_that_does_not_verify_is_named(tools):
    log = tools.log_of(40)
    stranger = tools.note_of(Checkpoint(tools.origin, 40, bytes(32)))
    note = log.files["checkpoint"]
    log.files["checkpoint"] = note.replace(line_of(note, 2), line_of(stranger, 2))
    assert_refused(tools, log, ["cosignature_bad", "quorum_missing"])


def test_too_few_cosignatures_are_named(tools):
    log = tools.log_of(40)
    log.publish(cosigners=(0, 1, 2, 6))
    assert_refused(tools, log, ["quorum_missing"])


def test_a_cosignature_of_tomorrow_is_named(tools):
    log = tools.log_of(40)
    times = dict.fromkeys(range(6), tools.now_s) | {3: tools.now_s + 86_400}
    log.publish(cosigners=range(6), time_s=times)
    assert_refused(tools, log, ["cosignature_time"])


def test_a_log_that_does_not_sign_itself_is_named(tools):
    log = tools.log_of(40)
    note = Note.parse(log.files["checkpoint"])
    log.files["checkpoint"] = Note(note.text, note.signatures[1:]).encode()
    assert_refused(tools, log, ["log_signature_bad"])


def test_a_key_that_signs_twice_is_a_warning_and_the_log_is_followed(tools):
    log = tools.log_of(40)
    note = Note.parse(log.files["checkpoint"])
    again = Note.parse(tools.note_of(log.head(), time_s=tools.now_s - 60)).signatures[2]
    log.files["checkpoint"] = Note(note.text, (*note.signatures, again)).encode()
    bench = tools.Bench(log)
    assert bench.alarms() == ["signature_repeated"]
    assert bench.state.checkpoint.size == 40


def test_a_witness_whose_time_goes_back_is_a_warning(tools):
    bench = tools.bench_of(40)
    times = dict.fromkeys(range(5), tools.now_s) | {2: tools.now_s - 600}
    bench.log.grow(5, time_s=times)
    assert bench.alarms() == ["cosignature_backwards"]
    assert bench.state.checkpoint.size == 45


def test_clocks_may_differ_a_little_between_two_checkpoints(tools):
    bench = tools.bench_of(40)
    bench.log.grow(5, time_s=dict.fromkeys(range(5), tools.now_s) | {2: tools.now_s - 64})
    assert bench.alarms() == []


def test_a_checkpoint_that_grows_old_is_a_freeze(tools):
    bench = tools.bench_of(40, freeze_after_s=3_600)
    bench.now_s += 3_500
    assert bench.alarms() == []
    bench.now_s += 200
    assert bench.alarms() == ["freeze"]
    bench.log.grow(1, time_s=bench.now_s)
    assert bench.alarms() == []


def test_one_fast_clock_does_not_make_an_old_checkpoint_fresh(tools):
    bench = tools.bench_of(40, freeze_after_s=3_600)
    bench.now_s += 10_000
    times = dict.fromkeys(range(5), tools.now_s) | {4: bench.now_s}
    bench.log.publish(time_s=times)
    assert bench.alarms() == ["freeze"]


# Files.


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_a_missing_tile_is_named(tools, path):
    log = tools.log_of(600)
    del log.files[path]
    bench = tools.Bench(log)
    assert bench.alarms() == ["tile_missing"]
    assert bench.state.checkpoint.size == 600, "the entries are proved without it"


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_an_altered_tile_is_named_with_its_place_in_the_tree(tools, path):
    log = tools.log_of(600)
    log.files[path] = flipped(log.files[path], 40)
    assert tools.Bench(log).alarms() == ["tile_altered"]
    log.files[path] = log.files[path][:-1]
    assert tools.Bench(log).alarms() == ["tile_altered"]


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"])
def test_a_missing_bundle_is_named_and_nothing_is_proved(tools, path):
    log = tools.log_of(600)
    del log.files[path]
    bench = tools.Bench(log)
    assert bench.alarms() == ["bundle_missing"]
    assert bench.state.checkpoint is None


@pytest.mark.parametrize("number", [0, 300, 599])
def test_an_altered_entry_is_named_with_its_place_in_the_tree(tools, number):
    log = tools.log_of(600)
    entries = list(log.entries)
    entries[number] = tools.entry_of(9_999)
    start = number // 256 * 256
    path = next(path for path in log.files if path.startswith(f"tile/entries/00{start // 256}"))
    log.files[path] = encode_entries(entries[start : start + 256])
    bench = tools.Bench(log)
    assert bench.alarms() == ["bundle_altered"]
    assert bench.state.checkpoint is None


def test_a_bundle_that_is_none_is_named(tools):
    for change in (lambda data: data[:-1], lambda data: data + b"\0\1x"):
        log = tools.log_of(600)
        log.files["tile/entries/001"] = change(log.files["tile/entries/001"])
        assert tools.Bench(log).alarms() == ["bundle_altered"]


def test_an_entry_of_the_last_look_that_has_changed_is_named(tools):
    bench = tools.bench_of(40)
    bench.log.grow(10)
    entries = list(bench.log.entries)
    entries[3] = tools.entry_of(9_999)
    bench.log.files["tile/entries/000.p/50"] = encode_entries(entries)
    assert bench.alarms() == ["bundle_altered"]


def test_an_entry_that_agrees_with_the_tile_beside_it_is_not_doubted(tools):
    """It may still be of another history; but nobody has altered it in this one."""
    bench, fork = tools.bench_of(300), tools.log_of(299)
    fork.append([tools.entry_of(7_777)] * 20)
    reading = Reading(fork.read, tree=bench.state.tree, size=319, note="")
    growth = reading.run(visit=lambda at, some: None, progress=lambda done, total: None)
    assert [wrong.index for wrong in growth.forgotten] == [299]
    assert growth.wrong_tiles
    assert growth.doubted == []


def test_entries_and_tiles_altered_alike_do_not_reach_the_root(tools):
    log, forged = tools.log_of(40), tools.log_of(39)
    forged.append([tools.entry_of(9_999)])
    forged.files["checkpoint"] = log.files["checkpoint"]
    assert tools.Bench(forged).alarms() == ["root_mismatch"]


def test_two_tiles_altered_at_once_are_each_proved(tools):
    log = tools.log_of(600)
    # The second one's wrong hash is on the way from the first one's to the root.
    for path, at in (("tile/0/000", 3), ("tile/1/000.p/2", 35)):
        log.files[path] = flipped(log.files[path], at)
    assert tools.Bench(log).alarms() == ["tile_altered", "tile_altered"]


def test_a_tile_of_the_second_level_is_compared(tools):
    log = tools.EvilLog()
    log.grow(256 * 256 + 3)
    log.files["tile/1/000"] = flipped(log.files["tile/1/000"], 33)
    assert tools.Bench(log).alarms() == ["tile_altered"]


# Entries.


def test_bytes_that_are_no_entry_are_an_alarm_and_the_log_is_followed(tools):
    bench = tools.bench_of(40)
    bench.log.append([b"\xff\xff", tools.entry_of(3)])
    assert bench.alarms() == ["entry_malformed"]
    assert bench.state.checkpoint.size == 42
    assert bench.alarms() == []


@pytest.mark.parametrize("knows_both", [False, True])
def test_a_log_whose_key_is_being_replaced_is_in_order(tools, knows_both):
    """Checkpoints carry both signatures; an auditor may have the new policy yet, or not."""
    bench = tools.bench_of(40)
    if knows_both:
        logs = (*tools.policy.logs, KnownLog(tools.stranger_key))
        bench.terms = AuditTerms(replace(tools.policy, logs=logs), bench.log.name)
    bench.log.append([tools.entry_of(40)])
    line = sign_checkpoint(bench.log.head(), key=tools.stranger_key, sign=tools.stranger.sign)
    bench.log.publish(more=[line])
    assert bench.alarms() == []
    assert bench.state.checkpoint.size == 41


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": b""},
        {"kind": Kind.ACCESS, "outcome": Outcome.NONE, "commitment": b""},
        {"kind": Kind.KEY_REVOKED, "commitment": b""},
        {"outcome": Outcome.NONE},
        {"kind": Kind.EXPORT, "outcome": Outcome.NONE},
        {"validator": 0},
        {"kind": Kind.DUPLICATE, "statement": encode_duplicate(index=3, first_index=3)},
        {"kind": Kind.DUPLICATE, "statement": encode_duplicate(index=40, first_index=3)},
        {"kind": Kind.DUPLICATE, "statement": b"\xff"},
        {"kind": Kind.POLICY_CHANGE, "statement": b"\xff"},
        {"kind": Kind.POLICY_CHANGE, "statement": b""},
        {"kind": Kind.MISBEHAVIOUR_EVIDENCE, "statement": b"he did it"},
    ],
)
def test_an_entry_that_breaks_a_rule_is_an_alarm(tools, changes):
    bench = tools.bench_of(40)
    bench.log.append([tools.entry_of(40, **changes)])
    assert bench.alarms() == ["entry_invalid"]


def test_a_duplicate_that_points_back_is_in_order(tools):
    bench = tools.bench_of(40)
    statement = encode_duplicate(index=39, first_index=3)
    bench.log.append([tools.entry_of(40, kind=Kind.DUPLICATE, statement=statement, commitment=b"")])
    assert bench.alarms() == []


def evidence_entry(tools, *, signer, time_ms=5, ids=(b"a", b"b")):
    """Two votes of replica-3 in one round, signed by whoever."""
    votes = []
    for block_id in (ids[0] * 32, ids[1] * 32):
        message = vote_signing_bytes(origin=tools.origin, epoch=1, round_=9, block_id=block_id)
        votes.append(Vote(1, 9, block_id, 2, signer.sign(message)))
    statement = of_votes(*votes, origin=tools.origin).encoded
    return control_entry(Kind.MISBEHAVIOUR_EVIDENCE, time_ms=time_ms, statement=statement)


def test_evidence_in_the_log_is_judged_and_told(tools):
    bench = tools.bench_of(40, cell=tools.cell)
    bench.log.append([evidence_entry(tools, signer=tools.replicas[2])])
    assert bench.alarms() == ["misbehaviour"]
    assert dict(bench.state.charges) == {"replica-3 signed two blocks": 40}
    assert bench.alarms() == []


def test_evidence_has_the_one_form_that_follows_from_its_block(tools):
    bench = tools.bench_of(40, cell=tools.cell)
    statement = decode_entry(evidence_entry(tools, signer=tools.replicas[2])).statement
    kind = Kind.MISBEHAVIOUR_EVIDENCE
    bench.log.append([tools.entry_of(40, kind=kind, statement=statement)])
    assert bench.alarms() == ["entry_invalid"]


def test_evidence_that_proves_nothing_is_worse(tools):
    bench = tools.bench_of(40, cell=tools.cell)
    bench.log.append([evidence_entry(tools, signer=tools.replicas[3])])
    assert bench.alarms() == ["evidence_refuted"]


def test_without_the_cells_keys_evidence_is_told_and_not_judged(tools):
    bench = tools.bench_of(40)
    bench.log.append([evidence_entry(tools, signer=tools.replicas[3])])
    (raised,) = bench.look().raised
    assert str(raised.alarm) == "misbehaviour"
    assert "--cell" in raised.detail
    assert not bench.judge(raised).holds
    assert bench.judge(raised, cell=None).holds


def test_a_second_proof_of_one_charge_breaks_a_rule(tools):
    bench = tools.bench_of(40, cell=tools.cell)
    bench.log.append([evidence_entry(tools, signer=tools.replicas[2])])
    bench.alarms()
    bench.log.append([evidence_entry(tools, signer=tools.replicas[2], ids=(b"c", b"d"))])
    assert bench.alarms() == ["entry_invalid"]


def test_alarms_over_the_limit_are_counted_and_not_kept(tools):
    bench = tools.bench_of(40)
    bench.log.append([b"\xff"] * 1_000)
    result = bench.look()
    assert (len(result.raised), result.untold["entry_malformed"]) == (64, 936)


def test_tiles_over_the_limit_are_counted_and_not_kept(tools):
    log = tools.log_of(256 * 20)
    for number in range(20):
        log.files[f"tile/0/{number:03}"] = flipped(log.files[f"tile/0/{number:03}"], 0)
    result = tools.Bench(log).look()
    assert (len(result.raised), result.untold["tile_altered"]) == (16, 4)


def test_a_rollback_is_told_also_where_no_tile_can_be_read(tools):
    bench = tools.bench_of(300)
    bench.log = tools.log_of(200)
    bench.log.hides = "tile"
    assert bench.alarms() == ["rollback"]


def test_who_has_shown_an_old_checkpoint_does_not_hide_it_by_answering_no_more(tools):
    bench = tools.bench_of(40, freeze_after_s=60)
    bench.log.grow(10)
    bench.log.hides = "tile/entries"
    bench.now_s += 3_600
    result = bench.look()
    assert [str(raised.alarm) for raised in result.raised] == ["freeze"]
    assert result.away == "status 503"
    assert bench.state.checkpoint.size == 40


def test_a_missing_bundle_is_told_also_where_the_tiles_cannot_be_read(tools):
    bench = tools.bench_of(300)
    bench.log.grow(400)
    del bench.log.files["tile/entries/002.p/188"]
    bench.log.hides = "tile/1"
    assert bench.alarms() == ["bundle_missing"]
