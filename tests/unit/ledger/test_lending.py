"""Leases, slots, look-ups: what a validator gets, when, and what the ledger remembers of it."""

import asyncio

import pytest

from heptad.crypto.derivation import lease_key
from heptad.crypto.registration import verify_registration
from heptad.crypto.requests import claims_digest, parse_request
from heptad.crypto.sealing import commitment
from heptad.model.entry import Kind
from heptad.model.lending import (
    LeaseSubjects,
    LentElsewhere,
    LookUpRequest,
    RequestFound,
    ReserveSlots,
    ReturnLeases,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.model.routing import ranked
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.lending import desk as desk_module
from heptad_ledger.lending import elsewhere as elsewhere_module
from heptad_ledger.lending import loans as loans_module
from heptad_ledger.lending.elsewhere import ElsewhereBook
from heptad_ledger.lending.loans import MARGIN_S, LoanBook
from heptad_ledger.watermark import Watermark

HOLDER = "validator-1"


def test_a_lease_brings_all_that_proves_the_subjects_key(counter, office):
    anna = office.register(1)
    counter.commit(office.register(2).registration, anna.registration)
    [lease] = counter.lease(anna.subject_id)
    assert (lease.subject_id, lease.key_ref, lease.refused_code) == (anna.subject_id, anna.slot, "")
    assert lease.lease_key == lease_key(slot_key=anna.slot_key, lease_id=lease.lease_id)
    assert lease.ttl_ms == 60_000
    # then the evidence holds, step by step
    [key] = lease.keys
    assert (key.kid, key.revoked, key.index) == (anna.key.public.kid, False, 1)
    assert decode_entry(key.entry).commitment == commitment(
        witness=key.witness, payload=key.payload
    )
    name = subject_id(cell_code="ab", witness=key.witness, payload=key.payload)
    assert name == anna.subject_id
    assert verify_registration(parse_request(key.payload)).kid == key.kid
    receipt = Receipt.parse(key.proof)
    checkpoint = Checkpoint.parse(Note.parse(receipt.checkpoint).text)
    verify_inclusion(
        leaf_index=key.index, tree_size=checkpoint.size, leaf_hash=leaf_hash(key.entry),
        proof=receipt.proof, root_hash=checkpoint.root,
    )  # fmt: skip


def test_each_lease_has_an_id_and_a_key_of_its_own(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    leases = [counter.lease(anna.subject_id)[0] for _ in range(5)]
    assert len({lease.lease_id for lease in leases}) == 5
    assert len({lease.lease_key for lease in leases}) == 5


def test_a_proof_is_made_once_and_stays_good(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    before = counter.lease(anna.subject_id)[0].keys[0].proof
    counter.commit(office.register(2).registration)
    assert counter.lease(anna.subject_id)[0].keys[0].proof == before


def test_unknown_and_erased_subjects_are_refused_one_by_one(counter, office):
    anna, ben = office.register(1), office.register(2)
    counter.commit(anna.registration, ben.registration)
    office.vault.erase([ben.slot])
    answers = counter.lease("ab-nobody", anna.subject_id, ben.subject_id)
    assert [answer.refused_code for answer in answers] == ["key_unknown", "", "key_unknown"]
    assert answers[0].lease_key == answers[2].lease_key == b""


def test_a_subject_that_is_not_under_a_checkpoint_is_waited_for(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration, publish=False)
    assert counter.lease(anna.subject_id)[0].refused_code == "vault_unavailable"

    async def scenario():
        question = LeaseSubjects((anna.subject_id,), 5_000)
        waiting = asyncio.create_task(counter.desk.lease(question, holder=HOLDER))
        await asyncio.sleep(0)
        assert not waiting.done()
        counter.publish()
        return (await waiting).leases

    [lease] = asyncio.run(scenario())
    assert lease.keys[0].kid == anna.key.public.kid


def test_waiting_ends_with_the_time_that_was_given(counter, office):
    async def scenario():
        question = LeaseSubjects(("ab-nobody",), 5_000)
        waiting = asyncio.create_task(counter.desk.lease(question, holder=HOLDER))
        await asyncio.sleep(0)
        counter.now_s += 6
        counter.published.advance(1)
        return (await waiting).leases

    assert asyncio.run(scenario())[0].refused_code == "key_unknown"


def test_slots_are_fresh_and_lent(counter):
    slots = asyncio.run(counter.desk.reserve(ReserveSlots(3), holder=HOLDER))
    more = asyncio.run(counter.desk.reserve(ReserveSlots(2), holder=HOLDER))
    refs = [slot.key_ref for slot in (*slots.slots, *more.slots)]
    assert len(set(refs)) == 5
    assert slots.ttl_ms == 60_000
    for slot in slots.slots:
        key = counter.ledger.vault.lookup(slot.key_ref)
        assert slot.lease_key == lease_key(slot_key=key, lease_id=slot.lease_id)
    assert len(counter.loans) == 5


def test_a_request_is_found_among_its_subjects_entries_only(counter, office):
    anna, ben = office.register(1), office.register(2)
    jti = office.jti()
    record, jws = office.request(anna, jti=jti)
    counter.commit(anna.registration, ben.registration, record)
    request_id = request_hash(iss=anna.subject_id, jti=jti)
    found = counter.look_up(request_id, anna.subject_id)
    assert found == RequestFound(True, 2, claims_digest(parse_request(jws)), record[0], "")
    for subject in (ben.subject_id, "ab-nobody", ""):
        assert counter.look_up(request_id, subject) == RequestFound(False)
    assert counter.look_up(b"\x01" * 32, anna.subject_id) == RequestFound(False)


def test_a_registration_is_found_by_its_request_and_names_the_subject(counter, office):
    jti = office.jti()
    anna = office.register(1, jti=jti)
    counter.commit(anna.registration)
    request_id = request_hash(iss=anna.key.public.kid, jti=jti)
    found = counter.look_up(request_id)
    assert (found.found, found.index, found.subject_id) == (True, 0, anna.subject_id)
    assert found.claims_digest == claims_digest(parse_request(anna.payload))
    # then it is out of reach with the routing key of its time, or with the subject's slot
    office.vault.rotate_routing_key(now_ms=1)
    assert counter.look_up(request_id).found
    old = office.vault.routing_keys()[0].key.key_id
    office.vault.erase(routing_key_ids=[old])
    assert not counter.look_up(request_id).found


def test_a_row_that_an_evil_validator_planted_is_not_taken_for_the_request(counter, office):
    """It files its own record under the reference of a request that is to come."""
    anna = office.register(1)
    jti, other = office.jti(), office.jti()
    _, planted_payload = office.request(anna, jti=other)
    wanted, _ = office.request(anna, jti=jti)
    ref = office_ref(office, anna, jti)
    planted = office.record(planted_payload, slot=anna.slot, slot_key=anna.slot_key, ref=ref)
    rubbish = office.record(
        b"no JWS", slot=anna.slot, slot_key=anna.slot_key, ref=office_ref(office, anna, "x")
    )
    counter.commit(anna.registration, planted, wanted, rubbish)
    request_id = request_hash(iss=anna.subject_id, jti=jti)
    assert not counter.look_up(request_id, anna.subject_id).found
    assert not counter.look_up(request_hash(iss=anna.subject_id, jti="x"), anna.subject_id).found


def office_ref(office, person, jti):
    from heptad.crypto.derivation import request_ref
    from heptad.model.requests import request_id

    name = request_id(iss=person.subject_id, jti=jti)
    return request_ref(cell_index_key=office.vault.index_key(), request_id=name)


def test_a_look_up_waits_for_the_log_to_be_applied_that_far(counter, office, monkeypatch):
    anna = office.register(1)
    record, _ = office.request(anna, jti="00000000-0000-4000-8000-00000000ffff")
    request_id = request_hash(iss=anna.subject_id, jti="00000000-0000-4000-8000-00000000ffff")

    async def scenario():
        question = LookUpRequest(request_id, anna.subject_id, 2)
        waiting = asyncio.create_task(counter.desk.look_up(question))
        await asyncio.sleep(0)
        assert not waiting.done()
        counter.commit(anna.registration, record)
        return await waiting

    assert asyncio.run(scenario()).found
    monkeypatch.setattr(desk_module, "LOOK_UP_WAIT_S_MAX", 0.01)
    with pytest.raises(Problem) as caught:
        counter.look_up(request_id, anna.subject_id, applied_size_min=3)
    assert caught.value.code == "vault_unavailable"


def test_a_look_up_waits_for_what_is_committed_and_not_yet_applied(counter, office, monkeypatch):
    """Somebody was told of the commit, and comes again through another validator at once."""
    anna = office.register(1)
    jti = "00000000-0000-4000-8000-00000000fffe"
    record, _ = office.request(anna, jti=jti)
    request_id = request_hash(iss=anna.subject_id, jti=jti)
    counter.committed_size = 2

    async def scenario():
        waiting = asyncio.create_task(counter.desk.look_up(LookUpRequest(request_id, "x", 0)))
        found = asyncio.create_task(
            counter.desk.look_up(LookUpRequest(request_id, anna.subject_id, 0))
        )
        await asyncio.sleep(0)
        assert not waiting.done()
        counter.commit(anna.registration, record)
        assert not (await waiting).found
        return await found

    assert asyncio.run(scenario()).found
    monkeypatch.setattr(desk_module, "LOOK_UP_WAIT_S_MAX", 0.01)
    counter.committed_size = 3
    with pytest.raises(Problem) as caught:
        counter.look_up(request_id, anna.subject_id)
    assert caught.value.code == "vault_unavailable"


def test_loans_end_when_returned_or_over_and_only_their_holder_returns_them(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    [lease] = counter.lease(anna.subject_id)
    [second] = counter.lease(anna.subject_id, holder="validator-2")
    returned = ReturnLeases((lease.lease_id, b"\x00" * 16))
    counter.desk.take_back(returned, holder="validator-2")
    assert len(counter.loans) == 2
    counter.desk.take_back(returned, holder=HOLDER)
    assert len(counter.loans) == 1
    counter.now_s += 60 + MARGIN_S
    counter.loans.sweep(counter.now_s)
    assert len(counter.loans) == 0
    counter.desk.take_back(ReturnLeases((second.lease_id,)), holder="validator-2")


def test_a_slot_is_drained_only_after_its_last_lease_and_after_what_nobody_remembers():
    book = LoanBook(ttl_s=60, now_s=1_000)
    assert book.drained_at_s(7) == 1_000 + 60 + MARGIN_S
    book.lend(b"a" * 16, slot=7, holder=HOLDER, now_s=2_000)
    book.lend(b"b" * 16, slot=7, holder=HOLDER, now_s=2_010)
    book.lend(b"c" * 16, slot=8, holder=HOLDER, now_s=2_020)
    assert book.drained_at_s(7) == 2_010 + 60 + MARGIN_S
    book.take_back(b"b" * 16, holder=HOLDER)
    assert book.drained_at_s(7) == 2_000 + 60 + MARGIN_S
    book.sweep(2_065)
    assert book.drained_at_s(7) == 1_065
    assert book.drained_at_s(8) == 2_085


def test_there_is_a_limit_to_leases(monkeypatch):
    monkeypatch.setattr(loans_module, "LOANS_MAX", 2)
    book = LoanBook(ttl_s=60, now_s=0)
    for name in (b"a", b"b"):
        book.lend(name * 16, slot=1, holder=HOLDER, now_s=0)
    with pytest.raises(Problem) as caught:
        book.lend(b"c" * 16, slot=1, holder=HOLDER, now_s=0)
    assert caught.value.code == "overloaded"
    book.lend(b"c" * 16, slot=1, holder=HOLDER, now_s=65)


def test_a_denied_request_of_a_duplicate_kind_is_looked_up_like_any_other(counter, office):
    """`kind` decides only whether a subject is named; nothing else in the record does."""
    anna = office.register(1)
    jti = office.jti()
    _, payload = office.request(anna, jti=jti)
    record = office.record(payload, slot=anna.slot, slot_key=anna.slot_key, kind=Kind.ACCESS)
    counter.commit(anna.registration, record)
    found = counter.look_up(request_hash(iss=anna.subject_id, jti=jti), anna.subject_id)
    assert (found.found, found.subject_id) == (True, "")


def test_a_watermark_wakes_each_waiter_at_its_own_value():
    async def scenario():
        mark = Watermark(3)
        assert await mark.reached(3, timeout_s=0)
        five, four = (asyncio.create_task(mark.reached(value, timeout_s=10)) for value in (5, 4))
        await asyncio.sleep(0)
        mark.advance(4)
        assert await four
        assert not five.done()
        mark.advance(2)
        assert mark.value == 4
        mark.advance(9)
        assert await five
        assert not await mark.reached(10, timeout_s=0.001)
        assert mark._waiting == {}

    asyncio.run(scenario())


# Subjects for whom another than their first validator works.


def homes_of(person):
    """The person's first validator, and the other one."""
    return [f"validator-{number}" for number in ranked(person.subject_id, (1, 2))]


def test_a_first_validator_is_told_when_another_one_gets_its_subjects_lease(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    home, other = homes_of(anna)
    counter.lease(anna.subject_id, holder=home)
    assert counter.told == []
    counter.lease(anna.subject_id, "ab-nobody", holder=other)
    # for as long as that lease can be used, and by a clock that runs ahead
    look_up_ms = int((60 + MARGIN_S + 30) * 1000)
    assert counter.told == [(home, LentElsewhere((anna.subject_id,), look_up_ms))]


def test_nobody_is_told_of_the_lease_that_shows_a_registration_to_be_done(counter, office):
    """It is given back before anything can be admitted under it."""
    anna = office.register(1)
    counter.commit(anna.registration)
    home, other = homes_of(anna)
    counter.lease(anna.subject_id, holder=other, is_registering=True)
    assert counter.told == []
    assert list(counter.desk.lent_elsewhere(home)) == []


def test_nobody_is_told_of_a_lease_under_which_only_events_are_sealed(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    home, other = homes_of(anna)
    counter.lease(anna.subject_id, holder=other, is_sealing=True)
    assert counter.told == []
    assert list(counter.desk.lent_elsewhere(home)) == []
    # but of one under which its requests may be admitted
    counter.lease(anna.subject_id, holder=other)
    assert [told for told, _ in counter.told] == [home]


def test_a_first_validator_that_connects_later_is_told_what_it_missed(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    home, other = homes_of(anna)
    counter.lease(anna.subject_id, holder=other)
    counter.now_s += 40
    [lent] = counter.desk.lent_elsewhere(home)
    assert lent == LentElsewhere((anna.subject_id,), int((60 + MARGIN_S + 30 - 40) * 1000))
    assert list(counter.desk.lent_elsewhere(other)) == []
    # as long as a request of that time can be fresh, and no longer
    counter.now_s += 60 + MARGIN_S + 30 - 40 + 330
    assert list(counter.desk.lent_elsewhere(home)) == [LentElsewhere((anna.subject_id,), 0)]
    counter.now_s += 1
    assert list(counter.desk.lent_elsewhere(home)) == []


def test_of_too_many_strays_a_first_validator_is_told_that_all_may_be(monkeypatch):
    monkeypatch.setattr(elsewhere_module, "SUBJECTS_MAX", 3)
    book = ElsewhereBook(validators=(1,), ttl_s=60, skew_s_max=30, lifetime_s_max=300)
    for number in range(5):
        book.lent([f"s{number}"], holder="validator-2", now_s=float(number))
    everything, rest = book.of_home("validator-1", 4.0)
    assert everything == LentElsewhere((), int((1 + 60 + MARGIN_S + 30 - 4) * 1000))
    assert rest.subject_ids == ("s2", "s3", "s4")
