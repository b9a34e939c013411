"""The auditor between its looks: what it keeps, tells, survives, and leaves alone."""

import json
import re

import pytest

from heptad.auditing import growth
from heptad.auditing.auditor import retry_s
from heptad.auditing.comparing import OtherAuditor
from heptad.auditing.daemon import exposed
from heptad.auditing.errors import StateInUseError, StateUnreadableError, StoppedError
from heptad.auditing.state import AuditState, StateFolder
from heptad.transparency.notes import encode_base64
from heptad.verification import examine_alarm, parse_alarm


def events(lines):
    return [json.loads(line) for line in lines]


def proofs(tmp_path):
    return sorted((tmp_path / "state" / "alarms").glob("*.json"))


def test_a_restarted_auditor_goes_on_where_the_last_one_had_proved_the_log(tools, watched):
    log = tools.log_of(300)
    assert watched(log).look().is_clean
    log.grow(300)
    log.asked.clear()
    finished = watched(log, recheck_bundles=0).look()
    assert (finished.is_clean, finished.entries, finished.state.checkpoint.size) == (True, 300, 600)
    assert "tile/entries/000" not in log.asked


def test_a_kill_between_any_two_reads_loses_only_the_look(tools, watched):
    """Each read may be the last one: what the next auditor finds on the disk is one of two."""
    log = tools.log_of(300)
    watched(log).look()
    log.grow(300)
    read, number = log.read, 0
    while True:
        left = [number]

        def killed(path, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return read(path)

        log.read = killed
        try:
            finished = watched(log, recheck_bundles=0).look()
        except KeyboardInterrupt:
            assert watched(log).state.checkpoint.size == 300
            number += 1
        else:
            break
    assert number > 5
    assert finished.state.checkpoint.size == 600


def test_a_look_that_is_given_up_keeps_nothing(tools, watched):
    log = tools.log_of(600)
    auditor = watched(log)

    def stop(_done, _total):
        raise StoppedError("told to end")

    with pytest.raises(StoppedError):
        auditor.look(stop)
    assert watched(log).state == AuditState()


def test_what_is_found_is_told_once_counted_once_and_kept_as_a_file(tools, watched, tmp_path):
    log, lines = tools.log_of(300), []
    auditor = watched(log, lines=lines)
    auditor.look()
    auditor_log, log.files = log.files, tools.log_of(200).files
    for _ in range(3):
        finished = auditor.look()
        assert [str(told.raised.alarm) for told in finished.told] == ["rollback"]
    assert [event["kind"] for event in events(lines) if event["event"] == "alarm"] == ["rollback"]
    assert dict(auditor.figures.alarms) == {"rollback": 1}
    assert auditor.figures.alarms_open == 1
    (file,) = proofs(tmp_path)
    report = examine_alarm(parse_alarm(file.read_bytes()), policy=tools.policy, now_s=tools.now_s)
    assert report.holds
    log.files = auditor_log
    assert auditor.look().is_clean
    assert auditor.figures.alarms_open == 0


def test_a_restart_does_not_count_what_is_known_again(tools, watched, tmp_path):
    log = tools.log_of(300)
    watched(log).look()
    log.files = tools.log_of(200).files
    watched(log).look()
    again = watched(log)
    assert [told.is_new for told in again.look().told] == [False]
    assert len(proofs(tmp_path)) == 1


def test_a_source_that_is_away_is_counted_and_accused_of_nothing(tools, watched, tmp_path):
    log, lines = tools.log_of(300), []
    auditor = watched(log, lines=lines)
    log.is_away = True
    for _ in range(3):
        finished = auditor.look()
        assert (finished.away, finished.told) == ("status 503", ())
    assert (auditor.errors, auditor.figures.source_errors) == (3, 3)
    log.is_away = False
    assert auditor.look().is_clean
    assert auditor.errors == 0
    names = [event["event"] for event in events(lines)]
    assert names == ["source_away", "source_back", "log_verified"]
    assert proofs(tmp_path) == []


def test_a_read_that_fails_is_repeated_and_the_look_goes_on(tools, watched, monkeypatch):
    """The first look at ten million entries does not begin anew for one answer that is late."""
    monkeypatch.setattr(growth, "PAUSES_S", (0.0, 0.001, 0.0))
    log, lines = tools.log_of(600), []
    log.busy = 3
    auditor = watched(log, lines=lines)
    assert auditor.look().is_clean
    assert auditor.figures.verified_size == 600
    repeated = sum(log.refused.values())
    assert repeated == 3 * len(log.refused) > 9
    assert auditor.figures.source_errors == repeated
    assert [event["reads"] for event in events(lines) if event["event"] == "reads_repeated"] == [
        repeated
    ]


def test_a_read_that_fails_too_often_is_given_up(tools, watched, monkeypatch):
    monkeypatch.setattr(growth, "PAUSES_S", (0.0, 0.0))
    log = tools.log_of(600)
    log.busy = 3
    finished = watched(log).look()
    assert (finished.away, finished.told, finished.state) == ("status 429", (), AuditState())
    assert max(log.refused.values()) == 3


def test_a_read_that_cannot_go_better_is_not_repeated(tools, watched):
    log = tools.log_of(600)
    log.hides = "tile/entries/001"
    auditor = watched(log)
    assert auditor.look().away == "status 503"
    assert auditor.figures.source_errors == 1


def test_who_waits_for_a_log_can_be_told_to_end(tools, watched, monkeypatch):
    monkeypatch.setattr(growth, "PAUSES_S", (3_600.0,))
    log = tools.log_of(600)
    log.busy = 1

    def stop(done, _total):
        assert done == 0
        raise StoppedError("told to end")

    with pytest.raises(StoppedError):
        watched(log).look(stop)


def test_the_pauses_after_errors_grow_and_end_growing():
    pauses = [retry_s(errors=errors, interval_s=60) for errors in (1, 2, 5, 50)]
    assert pauses == [1, 2, 16, 300]
    assert retry_s(errors=50, interval_s=3_600) == 3_600


def test_two_auditors_do_not_share_a_state(tools, watched, tmp_path):
    watched(tools.log_of(1))
    with pytest.raises(StateInUseError):
        StateFolder(tmp_path / "state")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data.replace(b"\\n300\\n", b"\\n301\\n"),
        lambda data: data.replace(b'"0": "', b'"0": "AAAA'),
        lambda data: data.replace(b"heptad-audit-state/v1", b"heptad-audit-state/v9"),
    ],
)
def test_a_damaged_state_is_refused_and_never_begun_anew(tools, watched, tmp_path, damage):
    log = tools.log_of(300)
    watched(log).look()
    file = tmp_path / "state" / "state.json"
    changed = damage(file.read_bytes())
    assert changed != file.read_bytes()
    file.write_bytes(changed)
    with pytest.raises(StateUnreadableError):
        watched(log)
    assert file.read_bytes() == changed


def test_a_state_that_no_quorum_has_signed_is_refused(tools, watched, tmp_path):
    """Somebody who can write the state would otherwise choose the history to stand on."""
    log = tools.log_of(300)
    watched(log).look()
    forged = tools.log_of(299)
    forged.append([tools.entry_of(7_777)], cosigners=(0, 1, 2, 3))
    file = tmp_path / "state" / "state.json"
    members = json.loads(file.read_text())
    members["checkpoint"] = forged.files["checkpoint"].decode()
    members["tiles"]["0"] = encode_base64(forged.tiles[0, 1])
    file.write_text(json.dumps(members))
    with pytest.raises(StateUnreadableError, match="needs 5 of 7, has 4"):
        watched(log)


def test_proofs_are_bounded_for_each_kind_and_the_first_are_kept(tools, watched, tmp_path):
    log = tools.log_of(10)
    auditor = watched(log)
    for number in range(3):
        log.append([bytes([255, number, n]) for n in range(50)])
        auditor.look()
    assert len(proofs(tmp_path)) == 100
    assert auditor.figures.alarms["entry_malformed"] == 150


def test_figures_are_exported_under_the_names_of_the_catalogue(tools, watched):
    log = tools.log_of(300)
    auditor = watched(log)
    auditor.look()
    log.files = tools.log_of(200).files
    auditor.look()
    said = exposed(auditor.figures, cell=tools.origin).exposition().decode()
    assert "audit_verified_size 300.0" in said
    assert 'audit_alarms_total{kind="rollback"} 1.0' in said
    (time_s,) = re.findall(r"^audit_checkpoint_time_seconds (\S+)$", said, re.MULTILINE)
    assert float(time_s) == tools.now_s - 5
    assert "audit_source_up 1.0" in said


# Other auditors.


def test_another_auditor_with_another_history_is_a_fork(tools, watched, tmp_path):
    mine, theirs = tools.log_of(300), tools.log_of(250)
    theirs.append([tools.entry_of(7_777)])
    note = tmp_path / "theirs"
    note.write_bytes(theirs.files["checkpoint"])
    auditor = watched(mine, others=[OtherAuditor(str(note))])
    (told,) = auditor.look().told
    assert str(told.raised.alarm) == "fork"
    assert examine_alarm(told.raised, policy=tools.policy, now_s=tools.now_s).holds
    assert auditor.state.checkpoint.size == 300, "it is our own history that is kept"


@pytest.mark.parametrize("theirs", [200, 300, 400])
def test_another_auditor_with_the_same_history_is_no_alarm(tools, watched, tmp_path, theirs):
    """Also when it is further than we are: then nothing can be said until we are there, too."""
    lines, note = [], tmp_path / "theirs"
    note.write_bytes(tools.log_of(theirs).files["checkpoint"])
    auditor = watched(tools.log_of(300), others=[OtherAuditor(str(note))], lines=lines)
    assert auditor.look().is_clean
    (said,) = [event["found"] for event in events(lines) if event["event"] == "compared"]
    assert said == (
        "consistent" if theirs <= 300 else "no tiles to compare 300 and 400 entries by, yet"
    )


def test_another_auditors_state_is_read_as_a_file_and_as_a_folder(tools, watched, tmp_path):
    log = tools.log_of(300)
    state = AuditState(log.files["checkpoint"].decode())
    folder = tmp_path / "their-state"
    folder.mkdir()
    (folder / "state.json").write_bytes(state.encode())
    for where in (folder, folder / "state.json"):
        lines = []
        auditor = watched(log, others=[OtherAuditor(str(where))], lines=lines)
        assert auditor.look().is_clean
        assert "consistent" in "".join(lines)


def test_a_second_copy_of_the_log_proves_a_fork_that_is_ahead_of_us(tools, watched, tmp_path):
    theirs = tools.log_of(299)
    theirs.append([tools.entry_of(7_777)] * 100)
    theirs.save(tmp_path / "copy")
    auditor = watched(tools.log_of(300), others=[OtherAuditor(str(tmp_path / "copy"))])
    assert [str(told.raised.alarm) for told in auditor.look().told] == ["fork"]


def test_what_another_auditor_holds_counts_only_with_the_signatures_of_a_quorum(
    tools, watched, tmp_path
):
    theirs = tools.log_of(299)
    theirs.append([tools.entry_of(7_777)], cosigners=(0, 1, 2, 3))
    for content in (theirs.files["checkpoint"], b"", b"{}", b"\xff"):
        note = tmp_path / "theirs"
        note.write_bytes(content)
        auditor = watched(tools.log_of(300), others=[OtherAuditor(str(note))])
        assert auditor.look().is_clean


def test_a_log_that_shows_something_wrong_and_then_answers_no_more_is_both(tools, watched):
    log = tools.log_of(40)
    auditor = watched(log, freeze_after_s=60, now_s=lambda: tools.now_s + 3_600)
    log.hides = "tile"
    finished = auditor.look()
    assert [str(told.raised.alarm) for told in finished.told] == ["freeze"]
    assert finished.away == "status 503"
    assert (auditor.errors, auditor.figures.is_source_up) == (1, False)
    log.hides = "nothing"
    assert auditor.look().away == ""
    assert (auditor.errors, auditor.figures.is_source_up) == (0, True)


# A disk that takes nothing.


def test_an_alarm_whose_proof_cannot_be_written_is_told_and_its_proof_kept_once_it_can(
    tools, watched, tmp_path
):
    lines, log = [], tools.log_of(300)
    auditor = watched(log, lines=lines)
    auditor.look()
    log.files = tools.log_of(200).files
    folder = tmp_path / "state" / "alarms"
    folder.rename(tmp_path / "away")
    for is_new in (True, False):
        (told,) = auditor.look().told
        assert (str(told.raised.alarm), told.proof, told.is_new) == ("rollback", None, is_new)
        assert "could not be written: No such file" in told.lost
    assert auditor.figures.alarms == {"rollback": 1}
    (event,) = [each for each in events(lines) if each["event"] == "alarm"]
    assert event["proof"] == told.lost
    (tmp_path / "away").rename(folder)
    (told,) = auditor.look().told
    assert ([told.proof], told.is_new, told.lost) == (proofs(tmp_path), False, "")


def test_a_state_that_cannot_be_written_is_told_and_the_log_followed_until_it_can(
    tools, watched, tmp_path
):
    lines, log = [], tools.log_of(300)
    auditor = watched(log, lines=lines)
    auditor.look()
    state = tmp_path / "state" / "state.json"
    before = state.read_bytes()
    state.unlink()
    state.mkdir()
    for _ in range(2):
        log.grow(10)
        finished = auditor.look()
        assert finished.unsaved == "the state could not be written: Is a directory"
        assert (finished.is_clean, finished.told) == (False, [])
    assert [each["event"] for each in events(lines)].count("state_unsaved") == 1
    state.rmdir()
    state.write_bytes(before)
    finished = auditor.look()
    assert (finished.unsaved, finished.is_clean, finished.entries) == ("", True, 0)
    assert watched(log).state.checkpoint.size == 320


def test_another_auditor_that_cannot_be_compared_with_is_counted(tools, watched, tmp_path):
    note, lines = tmp_path / "theirs", []
    auditor = watched(tools.log_of(300), others=[OtherAuditor(str(note))], lines=lines)
    (compared,) = auditor.look().compared
    assert (compared.is_made, auditor.figures.uncompared) == (False, 1)
    (event,) = [each for each in events(lines) if each["event"] == "compared"]
    assert (event["level"], event["found"]) == ("warning", compared.said)
    note.write_bytes(tools.log_of(200).files["checkpoint"])
    (compared,) = auditor.look().compared
    assert (compared.is_made, auditor.figures.uncompared) == (True, 0)
