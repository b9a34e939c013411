"""Accesses are recorded: signed once, by whichever validator can, and never as done when they are
not; and the ledger files them with their subject like all else."""

import asyncio
import dataclasses

import pytest

from heptad.crypto.accesses import parse_access, verify_access
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.sealing import open_stored
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.observability.logs import EventLog
from heptad.runtime.identity import Identity, Role
from heptad_ledger.privacy import accesses
from heptad_ledger.privacy.accesses import ROUNDS_MAX, Access, AccessRecorder
from heptad_ledger.privacy.rows import entries_of

ORIGIN = "log.test"
NOW_S = 1_700_000_000
KEY = Ed25519Key(b"A" * 32)
OFFICER = Identity(ORIGIN, Role.OFFICER, "dpo")


class Validators:
    """Two validators that remember what they were asked; `refusals` says with what they answer."""

    def __init__(self):
        self.asked = []
        self.refusals = {}
        self.on_asked = lambda private: None

    async def record(self, validator, private):
        self.asked.append((validator, private))
        self.on_asked(private)
        if validator in self.refusals:
            raise Problem(self.refusals[validator], "no")
        return 77


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(accesses, "PAUSE_S", 0.0)


@pytest.fixture
def validators():
    return Validators()


@pytest.fixture
def recorder(ledger, validators):
    return AccessRecorder(
        store=ledger.store,
        index_key=ledger.vault.index_key,
        record=validators.record,
        validators=(1, 2),
        key=KEY,
        ledger_id="ledger-1",
        origin=ORIGIN,
        now_s=lambda: NOW_S,
        log=EventLog(bound={}, write=lambda line: None),
    )


@pytest.fixture
def anna(ledger, group, office):
    anna = office.register(1)
    group.commit(group.batch([anna.registration]))
    ledger.catch_up()
    return anna


def access(person, **changes):
    known = Access(person.subject_id, "subject.export", OFFICER, "asked in writing", "Art. 15")
    return dataclasses.replace(known, **changes)


def test_it_says_who_did_what_when_and_why_under_the_attestation_key(recorder, validators, anna):
    assert asyncio.run(recorder.record(access(anna))) == 77

    [(_, private)] = validators.asked
    signed = parse_access(private.payload)
    verify_access(signed, KEY.public)
    said = signed.record
    assert (private.kind, private.action) == (Kind.ACCESS, "subject.export")
    assert (private.subject_id, said.subject_id) == (anna.subject_id, anna.subject_id)
    assert (said.role, said.caller, said.action) == ("officer", "dpo", "subject.export")
    assert (said.reason, said.ground, said.time_s) == ("asked in writing", "Art. 15", NOW_S)
    assert (said.ledger, said.origin) == ("ledger-1", ORIGIN)


def test_the_subjects_own_validator_is_asked_first(recorder, validators, anna):
    asyncio.run(recorder.record(access(anna)))
    assert validators.asked[0][0] == ranked(anna.subject_id, (1, 2))[0]


@pytest.mark.parametrize("code", ["draining", "validator_unavailable", "deadline_exceeded"])
def test_another_validator_is_asked_for_the_very_same(recorder, validators, anna, code):
    first, second = ranked(anna.subject_id, (1, 2))
    validators.refusals[first] = code
    assert asyncio.run(recorder.record(access(anna))) == 77
    assert [number for number, _ in validators.asked] == [first, second]
    assert len({private.payload for _, private in validators.asked}) == 1


def test_a_refusal_that_will_not_pass_is_the_callers_at_once(recorder, validators, anna):
    validators.refusals = {1: "key_unknown", 2: "key_unknown"}
    with pytest.raises(Problem, match="key_unknown"):
        asyncio.run(recorder.record(access(anna)))
    assert len(validators.asked) == 1


def test_what_nobody_records_is_never_said_to_be_recorded(recorder, validators, anna):
    validators.refusals = {1: "quorum_unavailable", 2: "draining"}
    with pytest.raises(Problem) as caught:
        asyncio.run(recorder.record(access(anna)))
    assert caught.value.kind.retry
    assert len(validators.asked) == 2 * ROUNDS_MAX


@pytest.fixture
def committing(validators, anna, ledger, group, office):
    """Validators that record, and whose answers are all lost."""

    def commit(private):
        said = parse_access(private.payload).record
        record = office.record(
            private.payload, slot=anna.slot, slot_key=anna.slot_key, kind=Kind.ACCESS,
            ref=request_ref(cell_index_key=ledger.vault.index_key(), request_id=said.request_id),
        )  # fmt: skip
        group.commit(group.batch([record]))
        ledger.catch_up()

    validators.on_asked = commit
    validators.refusals = {1: "deadline_exceeded", 2: "deadline_exceeded"}
    return validators


def test_a_record_that_came_in_although_the_answer_was_lost_is_not_made_again(
    recorder, committing, anna
):
    assert asyncio.run(recorder.record(access(anna))) == 1
    assert len(committing.asked) == 1


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 1_001])
def test_words_that_no_record_may_hold_reach_no_validator(recorder, validators, anna, reason):
    with pytest.raises(Problem) as caught:
        asyncio.run(recorder.record(access(anna, reason=reason)))
    assert (caught.value.code, caught.value.field) == ("claim_invalid", "reason")
    assert validators.asked == []


def test_it_is_filed_with_its_subject_and_found_by_its_name(ledger, group, office, anna):
    bob = office.register(2)
    record, payload = office.access(anna, key=KEY)
    group.commit(group.batch([bob.registration, record]))
    ledger.catch_up()

    name = parse_access(payload).record.request_id
    reference = request_ref(cell_index_key=ledger.vault.index_key(), request_id=name)
    with ledger.store.snapshot() as snapshot:
        assert list(entries_of(snapshot, slot_key=anna.slot_key)) == [0, 2]
        assert list(entries_of(snapshot, slot_key=bob.slot_key)) == [1]
        assert snapshot.request(reference) == 2
        opened = open_stored(
            snapshot.sealed(2), entry=snapshot.entry(2), entry_index=2, slot_key=anna.slot_key
        )
    assert opened.payload == payload
    assert ledger.store.state.unfiled == 0


def test_a_record_that_two_validators_have_brought_counts_once(ledger, group, office, anna):
    record, _ = office.access(anna, key=KEY)
    group.commit(group.batch([record]), group.batch([record], validator=2))
    ledger.catch_up()
    with ledger.store.snapshot() as snapshot:
        [copy] = snapshot.duplicates(count_max=9)
    assert (copy.index, copy.first_index) == (2, 1)
