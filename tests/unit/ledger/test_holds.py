"""Holds are what the ledger's own records say, in the log's order, and nothing else."""

import pytest

from heptad.crypto.accesses import parse_access
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Kind, Outcome
from heptad.model.erasing import Hold
from heptad.model.erasure import RefusalGround
from heptad_ledger.privacy.holds import HOLD_GROUNDS, HoldBook
from heptad_ledger.store import Snapshot

KEY = Ed25519Key(b"A" * 32)
SINCE_S = 1_700_000_000
LEGAL, PUBLIC = RefusalGround.LEGAL_HOLD, RefusalGround.PUBLIC_TASK


@pytest.fixture
def alice(office, ledger, group):
    person = office.register(1)
    group.commit(group.batch([person.registration]))
    ledger.catch_up()
    return person


@pytest.fixture
def put(ledger, group):
    """Commit one record."""

    def put(record):
        group.commit(group.batch([record]))
        ledger.catch_up()

    return put


@pytest.fixture
def commit(office, put, alice):
    """Commit what the ledger says of a person, and return the JWS."""

    def commit(action, ground=LEGAL, *, person=alice, key=KEY, **changes):
        time_s = changes.pop("time_s", SINCE_S)
        record, payload = office.access(
            person, key=key, action=action, ground=ground, time_s=time_s, **changes
        )
        put(record)
        return payload

    return commit


@pytest.fixture
def holds(ledger, alice):
    def holds(person=alice, **changes):
        known = {
            "subject_id": person.subject_id,
            "slot_key": person.slot_key,
            "origin": ledger.group.origin,
            "keys": {KEY.public.kid: KEY.public},
        }
        with ledger.store.snapshot() as snapshot:
            return HoldBook().history(snapshot, **{**known, **changes}).holds

    return holds


def test_who_was_never_put_on_hold_is_on_none(holds, commit):
    commit("subject.export")
    assert holds() == ()


def test_a_hold_stands_from_its_first_setting_until_it_is_lifted(holds, commit):
    commit("hold.set")
    commit("hold.set", time_s=SINCE_S + 60)
    assert holds() == (Hold(LEGAL, SINCE_S * 1_000),)
    commit("hold.lifted")
    assert holds() == ()
    commit("hold.set", time_s=SINCE_S + 120)
    assert holds() == (Hold(LEGAL, (SINCE_S + 120) * 1_000),)


def test_each_ground_is_a_hold_of_its_own(holds, commit):
    commit("hold.set", PUBLIC)
    commit("hold.set", LEGAL)
    commit("hold.lifted", PUBLIC)
    assert [hold.ground for hold in holds()] == [LEGAL]


def test_a_hold_is_one_subjects_only(holds, commit, office, group, ledger):
    bob = office.register(2)
    group.commit(group.batch([bob.registration]))
    commit("hold.set", person=bob)
    assert holds() == ()
    assert [hold.ground for hold in holds(bob)] == [LEGAL]


def test_an_old_record_that_is_recorded_again_changes_nothing(holds, commit, put, office, alice):
    """A validator that has seen a hold lifted could otherwise lift every later one."""
    commit("hold.set")
    lifted = commit("hold.lifted")
    commit("hold.set", time_s=SINCE_S + 60)
    reference = parse_access(lifted).record.request_id
    again = office.record(
        lifted, slot=alice.slot, slot_key=alice.slot_key, kind=Kind.ACCESS, action="hold.lifted",
        outcome=Outcome.NONE, witness=b"\x77" * 32,
        ref=request_ref(cell_index_key=office.vault.index_key(), request_id=reference),
    )  # fmt: skip
    put(again)
    assert holds() == (Hold(LEGAL, (SINCE_S + 60) * 1_000),)


def test_only_the_ledger_sets_and_lifts(holds, commit):
    commit("hold.set", key=Ed25519Key(b"B" * 32))
    assert holds() == ()
    commit("hold.set")
    commit("hold.lifted", key=Ed25519Key(b"B" * 32))
    assert len(holds()) == 1


def test_a_record_whose_signature_does_not_verify_counts_for_nothing(
    holds, commit, put, office, alice
):
    commit("hold.set")
    _, lifted = office.access(alice, key=KEY, action="hold.lifted", ground=LEGAL)
    forged = lifted[:-8] + b"AAAAAAAA"
    put(
        office.record(
            forged, slot=alice.slot, slot_key=alice.slot_key, kind=Kind.ACCESS,
            action="hold.lifted", outcome=Outcome.NONE, ref=b"r" * 16,
        )
    )  # fmt: skip
    assert [hold.ground for hold in holds()] == [LEGAL]


def test_a_record_that_names_another_subject_or_cell_counts_for_nothing(holds, commit):
    commit("hold.set", subject_id="ab-" + "b" * 26)
    commit("hold.set", origin="other.test")
    assert holds() == ()


def test_a_ground_that_answers_one_request_or_is_unknown_is_no_hold(holds, commit):
    commit("hold.set", RefusalGround.EXCESSIVE)
    commit("hold.set", "because")
    assert holds() == ()


def test_what_cannot_be_read_does_not_hide_a_hold(holds, commit, put, office, alice):
    commit("hold.set")
    rubbish = office.record(
        b"no record", slot=alice.slot, slot_key=alice.slot_key, kind=Kind.ACCESS,
        action="hold.lifted", outcome=Outcome.NONE, ref=b"r" * 16,
    )  # fmt: skip
    put(rubbish)
    assert [hold.ground for hold in holds()] == [LEGAL]


def test_holds_are_the_same_in_a_ledger_that_is_rebuilt_from_the_log(holds, commit, ledger):
    commit("hold.set", PUBLIC)
    before = holds()
    ledger.store.close()
    for file in (ledger.folder / "log").iterdir():
        file.unlink()
    ledger.open()
    ledger.catch_up()
    assert holds() == before == (Hold(PUBLIC, SINCE_S * 1_000),)


def test_every_ground_that_may_stand_beforehand_is_one_of_article_17_3():
    assert all(ground.article.startswith("Art. 17(3)") for ground in HOLD_GROUNDS)


def test_what_was_read_once_is_not_read_again(alice, commit, ledger, monkeypatch):
    """Else who has many entries keeps the ledger busy by asking for its erasure again and again."""
    book, read = HoldBook(), []
    entry = Snapshot.entry
    monkeypatch.setattr(Snapshot, "entry", lambda self, at: read.append(at) or entry(self, at))

    def told():
        read.clear()
        with ledger.store.snapshot() as snapshot:
            history = book.history(
                snapshot, subject_id=alice.subject_id, slot_key=alice.slot_key,
                origin=ledger.group.origin, keys={KEY.public.kid: KEY.public},
            )  # fmt: skip
        return [hold.ground for hold in history.holds], len(read)

    commit("hold.set")
    assert told() == ([LEGAL], 2)
    assert told() == ([LEGAL], 0)
    commit("hold.set", PUBLIC)
    commit("subject.export", "")
    commit("hold.lifted")
    assert told() == ([PUBLIC], 3)
    book.forget([alice.subject_id])
    assert told() == ([PUBLIC], 5)


def test_subjects_asked_about_long_ago_are_read_anew(alice, commit, ledger):
    book = HoldBook(subjects_max=1)
    with ledger.store.snapshot() as snapshot:
        for subject_id in (alice.subject_id, "ab-" + "z" * 26):
            book.history(
                snapshot, subject_id=subject_id, slot_key=alice.slot_key, origin="log.test", keys={}
            )
    assert len(book._known) == 1
