"""A subject's entries, read for its export: all of its own, no others', under one checkpoint."""

from dataclasses import replace

import pytest
from unit.ledger.bundle_records import KEY, bundle_records

from heptad.crypto.bundles import ServiceKey
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad.verification import examine_signed, examine_under
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.privacy import reading
from heptad_ledger.privacy.reading import SubjectReader

ATTESTATION = Ed25519Key(b"A" * 32)


class Office:
    """People of a ledger, and readers of what it holds about them."""

    def __init__(self, ledger, group, office):
        self.ledger, self.group, self.office = ledger, group, office
        self.anna, self.bob = office.register(1), office.register(2)
        self.commit([self.anna.registration, self.bob.registration])

    def commit(self, *batches):
        self.group.commit(*(self.group.batch(batch) for batch in batches))
        self.ledger.catch_up()

    def checkpoint(self):
        head = self.group.head()
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"abcd", bytes(64)),)).encode()
        return PublishedCheckpoint(note, head.size)

    def reader(self, person, checkpoint=None, *, count_max=1_000, from_index=0, slot_key=None):
        reader = SubjectReader(
            self.ledger.store,
            slot_key=slot_key or (lambda: person.slot_key),
            checkpoint=checkpoint or self.checkpoint(),
        )
        reader.find(from_index=from_index, count_max=count_max)
        return reader


@pytest.fixture
def desk(ledger, group, office):
    return Office(ledger, group, office)


def test_a_subject_gets_its_own_entries_with_payload_and_witness(desk):
    anna, office = desk.anna, desk.office
    first, first_jws = office.request(anna)
    other, _ = office.request(desk.bob)
    access, said = office.access(anna, key=ATTESTATION)
    desk.commit([first, other, access])

    reader = desk.reader(anna)

    helds = list(reader.held())
    assert list(reader.indexes) == [held.index for held in helds] == [0, 2, 4]
    assert [held.payload for held in helds] == [anna.payload, first_jws, said]
    assert [held.data for held in helds] == [desk.group.entries[n] for n in (0, 2, 4)]


def test_every_receipt_holds_under_the_one_checkpoint(desk, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 3)
    anna = desk.anna
    for _ in range(5):
        desk.commit([desk.office.request(anna)[0] for _ in range(40)])
    note = desk.checkpoint()
    desk.commit([desk.office.request(anna)[0]])

    reader = desk.reader(anna, note)

    head = Checkpoint.parse(Note.parse(note.note).text)
    helds = list(reader.held())
    assert len(helds) == 201
    for held in helds:
        receipt = reader.receipt(held)
        assert receipt.receipt.checkpoint == note.note
        assert all(finding.holds for finding in examine_under(receipt, head)), held.index


def test_some_kinds_can_be_read_alone(desk):
    access, _ = desk.office.access(desk.anna, key=ATTESTATION)
    desk.commit([desk.office.request(desk.anna)[0], access])
    reader = desk.reader(desk.anna)
    assert [held.index for held in reader.held({Kind.ACCESS})] == [3]


def test_an_event_comes_with_the_proof_that_its_service_signed_it(desk):
    people = [desk.bob, desk.anna, desk.anna, desk.bob]
    bundles = [bundle_records(desk.office, people) for _ in range(2)]
    plain, _ = desk.office.request(desk.anna)
    desk.commit([plain, *bundles[0][1], *bundles[1][1]])

    reader = desk.reader(desk.anna)

    events = list(reader.held({Kind.EVENT}))
    assert [held.index for held in events] == [5, 6, 10, 11]
    keys = {"tax": {KEY.public.kid: ServiceKey(KEY.public)}}
    head = Checkpoint.parse(Note.parse(desk.checkpoint().note).text)
    for held in events:
        receipt = reader.receipt(held)
        assert examine_signed(receipt, keys=keys).holds
        assert all(finding.holds for finding in examine_under(receipt, head))


def test_an_event_without_a_bundle_is_given_as_it_is(desk):
    _, records = bundle_records(desk.office, [desk.anna])
    entry = encode_entry(Entry(Kind.POLICY_CHANGE, "heptad", "a", Outcome.NONE, 1, 1, b""))
    desk.commit([(entry, b""), records[1]])
    reader = desk.reader(desk.anna)
    [event] = reader.held({Kind.EVENT})
    assert reader.receipt(event).bundle is None


def test_a_record_that_is_gone_or_opens_to_nobody_leaves_its_entry(desk, monkeypatch):
    record, _ = desk.office.request(desk.anna)
    desk.commit([record])
    with desk.ledger.store.snapshot() as snapshot:
        kind = type(snapshot)
    for sealed in (lambda self, index: None, lambda self, index: b"\x01" * 200):
        monkeypatch.setattr(kind, "sealed", sealed)
        helds = list(desk.reader(desk.anna).held())
        assert [(held.payload, held.witness) for held in helds] == [(None, None)] * 2


def test_as_many_as_may_be_are_read_and_where_to_go_on_is_told(desk):
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(20)])
    whole = list(desk.reader(desk.anna).indexes)
    first = desk.reader(desk.anna, count_max=7)
    assert (list(first.indexes), first.continues_at) == (whole[:7], whole[7])
    rest = desk.reader(desk.anna, from_index=first.continues_at)
    assert (list(rest.indexes), rest.continues_at) == (whole[7:], None)


def test_a_subject_that_is_erased_meanwhile_is_not_read_on(desk, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(9)])
    is_there = [True]

    def slot_key():
        if not is_there[0]:
            raise Problem("key_unknown", "erased")
        return desk.anna.slot_key

    helds = desk.reader(desk.anna, slot_key=slot_key).held()
    assert next(helds).index == 0
    is_there[0] = False
    with pytest.raises(Problem):
        list(helds)


def test_an_entry_that_is_not_what_its_hash_says_is_given_to_nobody(desk, monkeypatch):
    with desk.ledger.store.snapshot() as snapshot:
        kind = type(snapshot)
    batches = kind.batches

    def altered(self, index):
        for first_index, leaves in batches(self, index):
            yield first_index, leaves.replace(b"subject.register", b"subject.registeR")

    monkeypatch.setattr(kind, "batches", altered)
    with pytest.raises(StoreDamagedError):
        list(desk.reader(desk.anna).held())


def test_a_proof_that_does_not_lead_to_the_signed_root_is_given_to_nobody(desk):
    desk.commit([desk.office.request(desk.anna)[0]])
    reader = desk.reader(desk.anna)
    held = next(reader.held())
    with pytest.raises(StoreDamagedError):
        reader.receipt(replace(held, data=held.data + b"\x40\x01"))
