"""Receipts of events: by the bundle's name and the event's number, provable to the last hash."""

import pytest
from unit.ledger.bundle_records import KEY, bundle_records

from heptad.crypto.bundles import ServiceKey, parse_statement
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.notes import Note, NoteSignature
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptFile, examine_signed
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.log_reads import LogReads


class Desk:
    """A ledger's public reads; `publish` makes the log's head its latest checkpoint."""

    def __init__(self, ledger, group):
        self.ledger, self.group, self.latest = ledger, group, None
        self.reads = LogReads(
            store=ledger.store,
            latest=lambda: self.latest,
            index_key=ledger.vault.index_key,
        )

    def publish(self):
        head = self.group.head()
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"abcd", bytes(64)),)).encode()
        self.ledger.store.publish(head.size, note)
        self.latest = PublishedCheckpoint(note, head.size)


@pytest.fixture
def desk(ledger, group, office):
    people = [office.register(n) for n in (1, 2, 3)]
    group.commit(group.batch([person.registration for person in people]))
    desk = Desk(ledger, group)
    desk.people = people
    return desk


def name_of(bundle):
    statement = parse_statement(bundle.statement)
    return request_hash(iss=statement.iss, jti=statement.jti)


def test_each_event_has_a_receipt_that_leads_to_the_signed_root(desk, group, office, ledger):
    bundle, records = bundle_records(office, desk.people)
    group.commit(group.batch(records))
    ledger.catch_up()
    desk.publish()
    root = group.head().root
    for event in range(3):
        found = desk.reads.event_receipt(name_of(bundle), event)
        assert (found.index, found.bundle.index) == (4 + event, 3)
        verify_inclusion(
            leaf_index=3, tree_size=7, leaf_hash=leaf_hash(found.bundle.entry),
            proof=found.bundle.inclusion, root_hash=root,
        )  # fmt: skip
        file = ReceiptFile(found.entry, Receipt.parse(found.proof), bundle=found.bundle)
        assert examine_signed(file, keys={"tax": {KEY.public.kid: ServiceKey(KEY.public)}}).holds


def test_a_receipt_of_an_event_stays_the_same_when_the_log_grows(desk, group, office, ledger):
    bundle, records = bundle_records(office, desk.people)
    group.commit(group.batch(records))
    ledger.catch_up()
    desk.publish()
    first = desk.reads.event_receipt(name_of(bundle), 1)
    group.commit(group.batch([office.request(desk.people[0])[0]]))
    ledger.catch_up()
    desk.publish()
    assert desk.reads.event_receipt(name_of(bundle), 1) == first


def refusal(desk, name, event):
    with pytest.raises(Problem) as caught:
        desk.reads.event_receipt(name, event)
    return caught.value.code


def test_what_there_is_not_has_no_receipt(desk, group, office, ledger):
    bundle, records = bundle_records(office, desk.people)
    jti = office.jti()
    request, _ = office.request(desk.people[0], jti=jti)
    assert refusal(desk, name_of(bundle), 0) == "request_unknown"
    group.commit(group.batch([*records, request]))
    ledger.catch_up()
    assert refusal(desk, name_of(bundle), 0) == "receipt_pending"
    desk.publish()
    assert refusal(desk, name_of(bundle), 3) == "parameter_invalid"
    requests_name = request_hash(iss=desk.people[0].subject_id, jti=jti)
    assert refusal(desk, requests_name, 0) == "parameter_invalid"


@pytest.mark.parametrize("spoiled", [1, 3])
def test_a_bundle_without_its_events_breaks_nothing(desk, group, office, ledger, spoiled):
    """An evil validator: an event is missing at the end of the log, or is something else."""
    bundle, records = bundle_records(office, desk.people)
    other = encode_entry(Entry(Kind.REQUEST, "tax", "", Outcome.ALLOWED, 1, 1, bytes(32)))
    written = records[:-1] if spoiled == 3 else [records[0], (other, b""), *records[2:]]
    group.commit(group.batch(written))
    ledger.catch_up()
    desk.publish()
    assert refusal(desk, name_of(bundle), 0) == "parameter_invalid"
