"""Applying committed blocks: the log, the private rows, and what an evil validator cannot break."""

import pytest

from heptad.crypto.derivation import request_ref
from heptad.crypto.requests import parse_request
from heptad.crypto.sealing import open_stored
from heptad.model.entry import Entry, Kind, Outcome
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.wire.convert.entry import decode_entry, encode_entry
from heptad.wire.convert.entry_facts import encode_duplicate
from heptad_ledger.apply import HeadContradictedError
from heptad_ledger.privacy.rows import entries_of
from heptad_ledger.store import Duplicate, TimeSpan


def rows_of(ledger, person):
    """All indexes that the person's key finds."""
    with ledger.store.snapshot() as snapshot:
        return list(entries_of(snapshot, slot_key=person.slot_key))


def open_at(ledger, person, index):
    with ledger.store.snapshot() as snapshot:
        return open_stored(
            snapshot.sealed(index),
            entry=snapshot.entry(index),
            entry_index=index,
            slot_key=person.slot_key,
        )


def statement(kind, content):
    entry = Entry(kind, "heptad", "state", Outcome.NONE, 1, 1, b"", content)
    return encode_entry(entry), b""


def test_a_registration_and_requests_are_found_by_subject_request_time_and_service(
    ledger, group, office
):
    # given two subjects and their requests, over several blocks
    anna, ben = office.register(1), office.register(2)
    group.commit(group.batch([anna.registration, ben.registration]))
    first, first_jws = office.request(anna)
    second, _ = office.request(ben)
    third, third_jws = office.request(anna, service="health")
    group.commit(group.batch([first, second]), group.batch([third], validator=2), time_ms=77)
    group.commit()
    # when all is applied as one wave
    applied = ledger.catch_up()
    # then the log is the group's, and every row is there
    assert applied.state.size == 5
    assert applied.state.edge.root() == group.head().root
    assert [head.size for head in applied.heads] == [2, 5, 5]
    assert rows_of(ledger, anna) == [0, 2, 4]
    assert rows_of(ledger, ben) == [1, 3]
    assert open_at(ledger, anna, 2).payload == first_jws
    assert open_at(ledger, anna, 4).payload == third_jws
    with ledger.store.snapshot() as snapshot:
        ref = request_ref(
            cell_index_key=ledger.vault.index_key(),
            request_id=parse_request(third_jws).request_id,
        )
        assert snapshot.request(ref) == 4
        assert list(snapshot.spans(from_ms=77, until_ms=78)) == [TimeSpan(77, 2, 5)]
        assert [p.offsets for p in snapshot.postings(b"tax")] == [(0, 1)]
        assert [p.first_index for p in snapshot.postings(b"health")] == [4]
        subject = ledger.registry.find(snapshot, anna.subject_id)
        assert (subject.slot, subject.keys[0].index) == (anna.slot, 0)
        assert subject.keys[0].kid == anna.key.public.kid
        assert ledger.registry.find(snapshot, "ab-nobody") is None
    assert (applied.state.subjects, applied.state.unfiled) == (2, 0)


def test_waves_of_any_cut_lead_to_the_same_rows(ledger, group, office, kit, tmp_path):
    # given a chain of ten blocks
    people = [office.register(seed) for seed in range(1, 4)]
    group.commit(group.batch([person.registration for person in people]))
    for round_ in range(9):
        group.commit(group.batch([office.request(people[round_ % 3])[0] for _ in range(40)]))
    # when one ledger takes it block by block with restarts, as another would in one wave
    for count, frame in enumerate(group.frames):
        ledger.take(frame)
        if count % 4 == 3:
            ledger.store.close()
            ledger.open()
    # then counts and rows are whole: the row numbers went on over the restarts
    assert ledger.store.state.size == 363
    assert ledger.store.state.edge.root() == group.head().root
    assert [len(rows_of(ledger, person)) for person in people] == [121, 121, 121]
    assert ledger.store.state.unfiled == 0


def test_a_head_that_the_entries_do_not_have_is_refused_and_nothing_is_written(ledger, group):
    group.commit(group.batch([statement(Kind.POLICY_CHANGE, b"x")]))
    ledger.catch_up()
    group.commit(group.batch([statement(Kind.POLICY_CHANGE, b"y")]), root=b"\x01" * 32)
    with pytest.raises(HeadContradictedError):
        ledger.catch_up()
    assert ledger.store.state.height == 1
    with ledger.store.snapshot() as snapshot:
        assert snapshot.state().size == 1


def test_row_numbers_are_not_used_up_by_a_wave_that_failed(ledger, group, office, kit):
    person = office.register(1)
    group.commit(group.batch([person.registration]))
    ledger.catch_up()
    record, _ = office.request(person)
    wrong = kit.Group()
    wrong.commit(wrong.batch([person.registration]))
    wrong.commit(wrong.batch([record]), root=b"\x01" * 32)
    with pytest.raises(HeadContradictedError):
        ledger.take(wrong.frames[1])
    ledger.chain.restart(ledger.tip())
    group.commit(group.batch([record]))
    ledger.catch_up()
    assert rows_of(ledger, person) == [0, 1]


def test_what_an_evil_validator_files_stays_a_leaf_and_is_counted(ledger, group, office):
    # given one honest subject
    anna = office.register(1)
    group.commit(group.batch([anna.registration]))
    ledger.catch_up()
    good, jws = office.request(anna)
    nobody = office.vault.allocate(1)[0]
    entry, sealed = good
    own = ledger.vault.lookup(ledger.own_slot)
    stolen = office.register(2, slot_key=type(nobody)(anna.slot, anna.slot_key))
    on_own_slot = office.register(3, slot_key=type(nobody)(ledger.own_slot, own))
    other_cell = office.register(4, aud="other.test")
    unopenable = office.register(5)
    unsigned_slot = office.vault.allocate(1)[0]
    unsigned = office.register(6).payload
    forged = unsigned[:-5] + (b"AAAAA" if unsigned[-5:] != b"AAAAA" else b"BBBBB")
    changed = unopenable.registration[1][:-1] + b"\0"
    evil = [
        (entry, sealed[:5]),
        (entry, bytes(200)),
        (entry + b"\x28\x01", sealed),
        (b"not an entry", sealed),
        office.record(jws, slot=nobody.slot, slot_key=nobody.key),
        office.record(jws, slot=2**40, slot_key=nobody.key),
        office.record(jws, slot=0, slot_key=nobody.key),
        stolen.registration,
        on_own_slot.registration,
        other_cell.registration,
        (unopenable.registration[0], changed),
        office.record(
            forged, slot=unsigned_slot.slot, slot_key=unsigned_slot.key,
            kind=Kind.SUBJECT_REGISTERED, ref=b"\x57" * 16,
        ),
        office.record(
            b"no JWS", slot=nobody.slot, slot_key=nobody.key, kind=Kind.SUBJECT_REGISTERED,
            ref=b"\x55" * 16,
        ),
    ]  # fmt: skip
    # when all of it is committed
    group.commit(group.batch(evil))
    applied = ledger.catch_up()
    # then every leaf is there, no row is, and the honest go on
    assert applied.state.size == 1 + len(evil)
    assert applied.state.unfiled == len(evil)
    assert applied.state.subjects == 1
    assert rows_of(ledger, anna) == [0]
    group.commit(group.batch([good]))
    assert ledger.catch_up().state.unfiled == len(evil)
    assert rows_of(ledger, anna) == [0, 1 + len(evil)]


def test_a_record_under_a_destroyed_routing_key_or_slot_is_not_stored(ledger, group, office):
    anna, ben = office.register(1), office.register(2)
    group.commit(group.batch([anna.registration, ben.registration]))
    ledger.catch_up()
    late, _ = office.request(anna)
    of_erased, _ = office.request(ben)
    old_key = office.vault.current_routing_key().key.key_id
    office.vault.rotate_routing_key(now_ms=1)
    again, _ = office.request(ben)
    office.vault.erase([ben.slot], routing_key_ids=[old_key])
    ledger.filer.forget()
    group.commit(group.batch([late, of_erased, again]))
    applied = ledger.catch_up()
    assert applied.state.unfiled == 3
    with ledger.store.snapshot() as snapshot:
        assert [snapshot.sealed(index) for index in (2, 3, 4)] == [None] * 3


def test_the_first_copy_of_a_request_wins_and_the_later_one_is_queued_and_kept(
    ledger, group, office
):
    anna = office.register(1)
    jti = office.jti()
    group.commit(group.batch([anna.registration]))
    first, _ = office.request(anna, jti=jti)
    second, _ = office.request(anna, jti=jti, witness=b"\x66" * 32)
    group.commit(group.batch([first]), group.batch([second], validator=2))
    applied = ledger.catch_up()
    assert applied.duplicates == (Duplicate(2, 1),)
    assert rows_of(ledger, anna) == [0, 1, 2]
    # when the log states it, it leaves the queue; an untrue statement changes nothing
    lies = [
        statement(Kind.DUPLICATE, encode_duplicate(index=2, first_index=0)),
        statement(Kind.DUPLICATE, encode_duplicate(index=9, first_index=1)),
        statement(Kind.DUPLICATE, b"\xff"),
    ]
    group.commit(group.batch(lies))
    assert ledger.catch_up().stated == 0
    group.commit(group.batch([statement(Kind.DUPLICATE, encode_duplicate(index=2, first_index=1))]))
    assert ledger.catch_up().stated == 1
    with ledger.store.snapshot() as snapshot:
        assert snapshot.duplicates(count_max=10) == []


@pytest.mark.parametrize("same_wave", [True, False])
def test_a_later_copy_of_a_registration_registers_nobody(ledger, group, office, same_wave):
    jti = office.jti()
    first = office.register(1, jti=jti)
    slot = office.vault.allocate(1)[0]
    payload, witness = first.payload, b"\x77" * 32
    copy = office.record(
        payload, slot=slot.slot, slot_key=slot.key, witness=witness, kind=Kind.SUBJECT_REGISTERED
    )
    group.commit(group.batch([first.registration]))
    if not same_wave:
        ledger.catch_up()
    group.commit(group.batch([copy]))
    applied = ledger.catch_up()
    assert applied.duplicates == (Duplicate(1, 0),)
    assert (applied.state.subjects, applied.state.unfiled) == (1, 0)
    with ledger.store.snapshot() as snapshot:
        assert snapshot.sealed(1) is None
        assert ledger.registry.find(snapshot, first.subject_id) is not None


def test_services_with_strange_names_are_not_indexed_and_break_nothing(ledger, group):
    names = ["tax", "x" * 65, "t\0ax", "täx", "", "tax"]
    entries = [
        (encode_entry(Entry(Kind.REQUEST, name, "a", Outcome.NONE, 1, 1, b"")), b"")
        for name in names
    ]
    group.commit(group.batch(entries))
    ledger.catch_up()
    with ledger.store.snapshot() as snapshot:
        assert [p.offsets for p in snapshot.postings(b"tax")] == [(0, 5)]
        for name in ("x" * 65, "t\0ax", "täx", "t"):
            assert list(snapshot.postings(name.encode())) == []


def test_a_fencing_batch_without_records_adds_no_leaf(ledger, group):
    group.commit(group.batch([]))
    group.commit(group.batch([]), group.batch([statement(Kind.POLICY_CHANGE, b"x")]))
    applied = ledger.catch_up()
    assert (applied.state.height, applied.state.size) == (2, 1)
    assert applied.state.edge == CompactRange.empty().extended(leaf_hashes(group.entries))


def test_a_blocks_control_entries_stand_behind_its_batches(ledger, group, office):
    # given blocks whose control entries stand behind batches, alone, and before further batches
    anna = office.register(1)
    group.commit(group.batch([anna.registration]), control=(b"proof one", b"proof two"))
    group.commit(control=(b"proof three",), time_ms=77)
    group.commit(group.batch([office.request(anna)[0]]))
    # when all is applied as one wave
    applied = ledger.catch_up()
    # then the head is the group's, and each is a public entry with its block's time
    assert (applied.state.size, applied.state.edge.root()) == (5, group.head().root)
    assert [head.size for head in applied.heads] == [3, 4, 5]
    assert rows_of(ledger, anna) == [0, 4]
    with ledger.store.snapshot() as snapshot:
        assert [snapshot.entry(index) for index in range(5)] == group.entries
        entry = decode_entry(snapshot.entry(3))
        assert snapshot.sealed(3) is None
    assert entry == Entry(
        Kind.MISBEHAVIOUR_EVIDENCE, "", "", Outcome.NONE, 77, 0, b"", b"proof three"
    )
