"""The registry follows the log: who adds a key, who revokes one, and whose word changes nothing."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from heptad.crypto.device_keys import addition_data, sign_key_addition, sign_key_proof
from heptad.crypto.key_history import KEYS_MAX
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registry_rows import KeyRow
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import open_stored
from heptad.model.entry import Kind
from heptad_ledger.errors import StoreFullError
from heptad_ledger.fsck.findings import Code, Findings
from heptad_ledger.fsck.registry_check import RegistryCheck

PHONE, LAPTOP, WATCH = (Ed25519Key(bytes([100 + n]) * 32) for n in range(3))


@pytest.fixture
def apply(ledger, group, office):
    """Commit records, each in a block of its own, and apply all of them as one wave."""

    def run(*records):
        return ledger.take(*(group.commit(group.batch([record])) for record in records))

    return run


@pytest.fixture
def keys_of(ledger):
    """A subject's keys as (key, index, revoked at)."""

    def find(person):
        with ledger.store.snapshot() as snapshot:
            rows = ledger.registry.find(snapshot, person.subject_id).keys
        return [(row.kid, row.index, row.revoked_at) for row in rows]

    return find


@pytest.fixture
def anna(office, apply):
    person = office.register(1)
    apply(person.registration)
    return person


def row(key, index, revoked_at=None):
    return (key.public.kid, index, revoked_at)


def test_an_added_key_stands_behind_the_first_one(office, apply, keys_of, anna):
    applied = apply(office.add_key(anna, PHONE))
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 1)]
    [changed] = applied.changed_keys
    assert (changed.subject_id, changed.index, changed.is_revocation) == (anna.subject_id, 1, False)


def test_a_revoked_key_keeps_its_row_and_says_when(office, apply, keys_of, anna):
    apply(office.add_key(anna, PHONE))
    applied = apply(office.revoke_key(anna, anna.key, by=PHONE))
    assert keys_of(anna) == [row(anna.key, 0, 2), row(PHONE, 1)]
    assert [changed.is_revocation for changed in applied.changed_keys] == [True]


def test_several_changes_of_one_subject_in_one_wave_follow_each_other(office, apply, keys_of, anna):
    applied = apply(
        office.add_key(anna, PHONE),
        office.add_key(anna, LAPTOP, by=PHONE),
        office.revoke_key(anna, PHONE, by=LAPTOP),
        office.add_key(anna, WATCH, by=PHONE),
    )
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 1, 3), row(LAPTOP, 2)]
    assert [changed.index for changed in applied.changed_keys] == [1, 2, 3]


def test_a_registration_and_its_changes_may_come_in_one_wave(office, apply, keys_of):
    """So they do in a ledger that is built anew from the log."""
    berta = office.register(2)
    apply(berta.registration, office.add_key(berta, PHONE))
    assert keys_of(berta) == [row(berta.key, 0), row(PHONE, 1)]


def test_changes_of_several_subjects_do_not_touch_each_other(office, apply, keys_of, anna):
    berta = office.register(2)
    apply(berta.registration, office.add_key(anna, PHONE), office.add_key(berta, PHONE))
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 2)]
    assert keys_of(berta) == [row(berta.key, 1), row(PHONE, 3)]


def test_an_unknown_key_changes_nothing(office, apply, keys_of, anna):
    applied = apply(office.add_key(anna, PHONE, by=LAPTOP))
    assert keys_of(anna) == [row(anna.key, 0)]
    assert not applied.changed_keys


def test_a_revoked_key_adds_nothing_from_then_on(office, apply, keys_of, anna):
    apply(office.add_key(anna, PHONE), office.revoke_key(anna, PHONE))
    apply(office.add_key(anna, LAPTOP, by=PHONE))
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 1, 2)]


def test_an_old_addition_recorded_again_does_not_bring_a_revoked_key_back(
    office, apply, keys_of, anna
):
    jti = office.jti()
    apply(office.add_key(anna, PHONE, jti=jti), office.revoke_key(anna, PHONE))
    apply(office.add_key(anna, PHONE, jti=jti, ref=b"\x77" * 16))
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 1, 2)]


def test_another_subjects_request_changes_nothing(office, apply, keys_of, anna):
    berta = office.register(2)
    apply(berta.registration)
    theft = office.add_key(berta, PHONE, slot=anna.slot, slot_key=anna.slot_key)
    swapped = office.add_key(anna, PHONE, slot=berta.slot, slot_key=berta.slot_key)
    applied = apply(theft, swapped)
    assert keys_of(anna) == [row(anna.key, 0)]
    assert keys_of(berta) == [row(berta.key, 1)]
    assert not applied.changed_keys


def test_a_key_that_did_not_sign_for_itself_is_not_added(office, apply, keys_of, anna):
    jti = office.jti()
    claims = {"iss": anna.subject_id, "aud": office.origin, "jti": jti}
    proof = sign_key_proof(LAPTOP, **claims)
    payload = sign_request(
        anna.key, **claims, iat=1, exp=2, svc="heptad", act="key.add",
        data=addition_data(PHONE.public, proof),
    )  # fmt: skip
    apply(office.change_keys(anna, payload))
    assert keys_of(anna) == [row(anna.key, 0)]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.REQUEST},
        {"kind": Kind.KEY_REVOKED},
        {"action": "key.revoke"},
        {"service": "tax"},
        {"time_ms": 10**9},
    ],
    ids=str,
)
def test_an_entry_that_says_something_else_than_was_signed_changes_nothing(
    office, apply, keys_of, anna, changes
):
    applied = apply(office.add_key(anna, PHONE, **changes))
    assert keys_of(anna) == [row(anna.key, 0)]
    assert not applied.changed_keys


def test_a_change_whose_entry_commits_to_something_else_changes_nothing(
    office, apply, keys_of, anna
):
    """No validator could be shown a proof of such a key: it would spoil all leases."""
    payload = sign_key_addition(
        anna.key, PHONE, iss=anna.subject_id, aud=office.origin, jti=office.jti(), iat=1, exp=2
    )
    entry, sealed = office.change_keys(anna, payload, commit_to=b"something else")
    apply((entry, sealed))
    assert keys_of(anna) == [row(anna.key, 0)]


def test_a_change_that_does_not_open_changes_nothing(office, apply, keys_of, anna):
    berta = office.register(2)
    apply(berta.registration)
    applied = apply(office.add_key(anna, PHONE, slot_key=berta.slot_key))
    assert keys_of(anna) == [row(anna.key, 0)]
    assert not applied.changed_keys


def test_what_changes_nothing_is_filed_like_any_record_and_stops_nothing(
    ledger, office, apply, keys_of, anna
):
    before = ledger.store.state
    apply(office.change_keys(anna, office.request(anna)[1], kind=Kind.KEY_ADDED))
    apply(office.add_key(anna, PHONE))
    after = ledger.store.state
    assert (after.size, after.unfiled) == (before.size + 2, before.unfiled)
    with ledger.store.snapshot() as snapshot:
        assert snapshot.sealed(1) is not None
    assert keys_of(anna)[-1] == row(PHONE, 2)


def test_a_subject_has_at_most_so_many_keys(office, apply, keys_of, anna):
    devices = [Ed25519Key(n.to_bytes(32, "big")) for n in range(5_000, 5_000 + KEYS_MAX)]
    apply(*(office.add_key(anna, device) for device in devices))
    assert len(keys_of(anna)) == KEYS_MAX
    apply(office.revoke_key(anna, devices[0]), office.add_key(anna, PHONE))
    assert len(keys_of(anna)) == KEYS_MAX


def test_a_wave_that_was_not_written_leaves_no_key_behind(
    ledger, office, keys_of, anna, monkeypatch
):
    group = ledger.group
    frame = group.commit(group.batch([office.add_key(anna, PHONE)]))
    blocks = ledger.chain.take(frame)

    def full(_wave):
        raise StoreFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.store, "write", full)
        with pytest.raises(StoreFullError):
            ledger.applier.apply(blocks)
    assert keys_of(anna) == [row(anna.key, 0)]
    ledger.applier.apply(blocks)
    assert keys_of(anna) == [row(anna.key, 0), row(PHONE, 1)]


@pytest.mark.parametrize("seed", range(6))
def test_however_the_log_is_cut_into_waves_the_registry_is_the_same(ledger, office, keys_of, seed):
    """Applied one by one, or in waves of any size by a ledger that begins anew."""
    group = ledger.group
    rng = random.Random(seed)
    people = [office.register(n) for n in (1, 2)]
    devices = [PHONE, LAPTOP, WATCH]
    records = [person.registration for person in people]
    for _ in range(24):
        person, key = rng.choice(people), rng.choice(devices)
        by = rng.choice([person.key, *devices])
        act = office.add_key if rng.random() < 0.6 else office.revoke_key
        records.append(act(person, key, by=by))
    for record in records:
        group.commit(group.batch([record]))
        ledger.catch_up()
    rows = [keys_of(person) for person in people]
    assert any(len(of_person) > 1 for of_person in rows)
    ledger.store.close()
    ledger.folder /= "anew"
    ledger.open()
    frames = list(group.frames)
    while frames:
        count = rng.randint(1, 12)
        ledger.take(*frames[:count])
        frames = frames[count:]
    assert [keys_of(person) for person in people] == rows


# An officer revokes a key for who has lost the device.


def test_an_officer_revokes_a_key_and_be_it_the_last_one(office, apply, keys_of, anna):
    applied = apply(office.revoke_lost_key(anna, anna.key))
    assert keys_of(anna) == [row(anna.key, 0, 1)]
    [changed] = applied.changed_keys
    assert (changed.subject_id, changed.is_revocation) == (anna.subject_id, True)


def test_only_the_ledgers_attestation_key_speaks_for_officers(office, apply, keys_of, anna):
    records = [office.revoke_lost_key(anna, anna.key, attesting=key) for key in (anna.key, PHONE)]
    applied = apply(*records)
    assert keys_of(anna) == [row(anna.key, 0)]
    assert not applied.changed_keys


def test_an_officers_revocation_of_another_subjects_key_changes_nothing(
    office, apply, keys_of, anna
):
    berta = office.register(2)
    apply(berta.registration)
    apply(
        office.revoke_lost_key(anna, berta.key),
        office.revoke_lost_key(anna, anna.key, subject_id=berta.subject_id),
        office.revoke_lost_key(anna, anna.key, origin="other.test"),
        office.revoke_lost_key(anna, PHONE),
    )
    assert keys_of(anna) == [row(anna.key, 0)]
    assert keys_of(berta) == [row(berta.key, 1)]


def test_other_accesses_change_no_key(office, apply, keys_of, anna):
    record, _ = office.access(anna, key=Ed25519Key(b"A" * 32), reason="says key.revoked")
    apply(record)
    assert keys_of(anna) == [row(anna.key, 0)]


# The check of the files.


@pytest.fixture
def check(ledger):
    """Check the registry against the log, as fsck does; the codes that are found."""

    def run(*people, records):
        found = []
        tables = SimpleNamespace(count=lambda _table: 2 * len(people))
        with ledger.store.snapshot() as snapshot:
            checking = RegistryCheck(
                ledger.registry,
                snapshot,
                tables,
                Findings(found.append),
                cell_index_key=ledger.vault.index_key(),
                erasures=SimpleNamespace(count_tombstones=lambda: 0),
            )
            for index, (person, kind) in enumerate(records):
                stored, entry = snapshot.sealed(index), snapshot.entry(index)
                opened = open_stored(
                    stored, entry=entry, entry_index=index, slot_key=person.slot_key
                )
                if kind == Kind.SUBJECT_REGISTERED:
                    checking.check(index, entry, opened, slot=person.slot, slot_key=person.slot_key)
                else:
                    checking.check_change(index, entry, opened, slot=person.slot)
            checking.check_end()
        return [finding.code for finding in found]

    return run


def overwrite(ledger, person, keys):
    """Put another row into the registry, sealed as a ledger seals it."""
    with ledger.store.snapshot() as snapshot:
        subject = ledger.registry.find(snapshot, person.subject_id)
    key, sealed = ledger.registry.row_of(subject, keys(list(subject.keys)))
    environment = ledger.store._environment
    with environment.writing() as transaction:
        transaction.put(key, sealed, db=environment.table("subject"))


WRONG_ROWS = {
    "a key more": lambda rows: [*rows, KeyRow(WATCH.public.kid, 2)],
    "a key less": lambda rows: rows[:1],
    "a revocation less": lambda rows: [replace(row, revoked_at=None) for row in rows],
    "a revocation more": lambda rows: [replace(row, revoked_at=9) for row in rows],
}


@pytest.fixture
def history(office, apply, anna):
    """Two keys are added, and the first one is revoked."""
    apply(office.add_key(anna, PHONE), office.revoke_key(anna, anna.key, by=PHONE))
    apply(office.add_key(anna, LAPTOP, by=PHONE), office.revoke_lost_key(anna, LAPTOP))


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("name", ["", *WRONG_ROWS])
def test_fsck_finds_a_row_that_is_not_what_the_log_leads_to(ledger, anna, check, name):
    records = [(anna, Kind.SUBJECT_REGISTERED), (anna, Kind.KEY_ADDED)]
    records += [(anna, Kind.KEY_REVOKED), (anna, Kind.KEY_ADDED), (anna, Kind.ACCESS)]
    if name:
        overwrite(ledger, anna, WRONG_ROWS[name])
    assert check(anna, records=records) == ([Code.REGISTRY_WRONG] if name else [])


def test_fsck_finds_a_key_that_no_entry_brings(ledger, anna, check):
    overwrite(ledger, anna, WRONG_ROWS["a key more"])
    assert check(anna, records=[(anna, Kind.SUBJECT_REGISTERED)]) == [Code.REGISTRY_WRONG]
