"""Bundles at the ledger: filed for every subject, found by their name, marked where they repeat."""

import pytest
from unit.ledger.bundle_records import bundle_records

from heptad.crypto.bundles import bundle_digest, parse_statement
from heptad.crypto.derivation import request_ref, subject_index_key, subject_row_key
from heptad.crypto.sealing import open_stored
from heptad.model.bundles import private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.store import Duplicate


def rows_of(snapshot, person):
    index_key, found = subject_index_key(person.slot_key), []
    while True:
        row_key = subject_row_key(index_key=index_key, row=len(found))
        if (index := snapshot.subject_row(row_key)) is None:
            return found
        found.append(index)


def index_of(ledger, bundle):
    name = parse_statement(bundle.statement).request_id
    reference = request_ref(cell_index_key=ledger.vault.index_key(), request_id=name)
    with ledger.store.snapshot() as snapshot:
        return snapshot.request(reference)


@pytest.fixture
def people(group, office):
    anna, ben = office.register(1), office.register(2)
    group.commit(group.batch([anna.registration, ben.registration]))
    return anna, ben


def test_each_event_is_filed_for_its_subject_and_opens_under_its_key(ledger, group, office, people):
    anna, ben = people
    bundle, records = bundle_records(office, (anna, ben, anna))
    group.commit(group.batch(records))
    applied = ledger.catch_up()
    assert (applied.state.size, applied.state.unfiled) == (6, 0)
    with ledger.store.snapshot() as snapshot:
        assert rows_of(snapshot, anna) == [0, 3, 5]
        assert rows_of(snapshot, ben) == [1, 4]
        opened = open_stored(
            snapshot.sealed(4), entry=snapshot.entry(4), entry_index=4, slot_key=ben.slot_key
        )
    assert opened.witness == bundle.events[1].witness
    assert opened.payload == private_half(subject=ben.subject_id, payload=b"R-1")


def test_a_bundle_is_found_by_its_name_and_its_events_by_none(ledger, group, office, people):
    bundle, records = bundle_records(office, people)
    group.commit(group.batch(records))
    applied = ledger.catch_up()
    assert index_of(ledger, bundle) == 2
    assert applied.duplicates == ()


@pytest.mark.parametrize("apart", [True, False])
def test_a_later_copy_of_a_bundle_is_marked_once_whichever_wave_brings_it(
    ledger, group, office, people, apart
):
    jti = office.jti()
    bundle, records = bundle_records(office, people, jti=jti)
    anna = people[0]
    request, _ = office.request(anna, jti=(request_jti := office.jti()))
    again, _ = office.request(anna, jti=request_jti, witness=b"\x09" * 32)
    group.commit(group.batch([request, *records]))
    if apart:
        ledger.catch_up()
    # The copy stands before another duplicate, in one batch.
    group.commit(group.batch([*records, again], validator=2))
    applied = ledger.catch_up()
    assert index_of(ledger, bundle) == 3
    assert applied.duplicates == (Duplicate(6, 3), Duplicate(9, 2))


@pytest.mark.parametrize("statement", [b"", b"a.b.c", b"\xff" * 3_000])
def test_a_bundle_that_cannot_be_read_is_a_leaf_and_nothing_more(ledger, group, people, statement):
    entry = encode_entry(Entry(Kind.BUNDLE, "tax", "", Outcome.NONE, 1, 1, b"", statement))
    group.commit(group.batch([(entry, b"")]))
    applied = ledger.catch_up()
    assert (applied.state.size, applied.state.unfiled) == (3, 1)


def test_a_bundle_is_looked_up_by_its_name_alone(ledger, group, office, people):
    from heptad.model.lending import LookUpRequest
    from heptad.model.requests import request_hash
    from heptad_ledger.lending.desk import LendingDesk

    bundle, records = bundle_records(office, people)
    group.commit(group.batch(records))
    ledger.catch_up()
    statement = parse_statement(bundle.statement)
    name = request_hash(iss=statement.iss, jti=statement.jti)
    desk = LendingDesk(
        store=ledger.store, vault=ledger.vault, registry=ledger.registry, evidence=None,
        loans=None, elsewhere=None, applied_size=None, published_size=None, catch_up=None,
        now_s=None,
    )  # fmt: skip
    with ledger.store.snapshot() as snapshot:
        found = desk._look_up(LookUpRequest(name, ""), snapshot)
        as_subjects = desk._look_up(LookUpRequest(name, people[0].subject_id), snapshot)
    assert (found.found, found.index) == (True, 2)
    assert found.claims_digest == bundle_digest(statement)
    assert not as_subjects.found
