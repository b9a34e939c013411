"""From a request to be erased to its certificate: what is destroyed, in what order, what not."""

import pytest
from unit.ledger.erasures import NOW_MS, House, is_gone, records_of

from heptad.crypto.derivation import erasure_salt, request_ref
from heptad.model.erasure import (
    ErasureGround,
    ErasureState,
    OrderedBy,
    RefusalGround,
    request_digest,
    subject_pseudonym,
)
from heptad.model.requests import request_id_of
from heptad.vault.steps import Step
from heptad_ledger.privacy.intake import ALIASES_MAX


class CrashError(Exception):
    """The process ends here."""


@pytest.fixture
def house(tmp_path, kit, group):
    house = House(tmp_path, kit, group)
    yield house
    house.close()


@pytest.fixture
def people(house):
    """Two subjects, of whom Anna has three records and Bert two."""
    anna, bert = house.register(1, 2)
    house.commit(*(house.office.request(person)[0] for person in (anna, bert, anna)))
    return anna, bert


# What is destroyed.


def test_an_erasure_leaves_nothing_of_the_subject_and_everything_of_its_neighbour(house, people):
    anna, bert = people
    before = house.tables()
    house.ask(anna)
    house.finish()
    after = house.tables()
    assert is_gone(house, anna)
    assert len(records_of(house, bert)) == 2
    assert len(before["sealed"]) - len(after["sealed"]) == 3
    # Bert's two rows, and a tombstone
    assert len(after["subject"]) == 3
    # with the row of the request to be erased, and without Anna's three
    assert house.request_count() == 3


def test_rows_that_have_left_the_waiting_room_are_deleted_too(house, people):
    anna, bert = people
    house.ledger.store.settle()
    house.commit(house.office.request(anna)[0])
    house.ask(anna)
    house.finish()
    house.reopen()
    assert is_gone(house, anna)
    assert len(records_of(house, bert)) == 2
    assert house.request_count() == 3


def test_deleted_rows_do_not_come_back_with_a_start(house, people):
    anna, _ = people
    house.ask(anna)
    house.order()
    house.carry_out()
    before = house.tables()
    house.reopen()
    assert house.tables() == before
    assert house.request_count() == 3


def test_a_name_that_another_entry_bears_is_not_deleted(house, people):
    """An evil validator seals Bert's request under Anna's slot, after Bert's own."""
    anna, bert = people
    (entry, sealed), payload = house.office.request(bert)
    house.commit((entry, sealed))
    stray = house.office.record(payload, slot=anna.slot, slot_key=anna.slot_key, ref=b"s" * 16)
    house.commit(stray)
    house.ask(anna)
    house.finish()
    name = house.office_name(payload)
    with house.ledger.store.snapshot() as snapshot:
        assert snapshot.request(name) is not None


def test_only_the_request_to_be_erased_is_still_found_by_its_id(house, people):
    anna, _ = people
    record, payload = house.office.request(anna)
    house.commit(record)
    name = house.ask(anna)
    house.finish()
    index_key = house.ledger.vault.index_key()
    with house.ledger.store.snapshot() as snapshot:
        asked = request_ref(cell_index_key=index_key, request_id=request_id_of(name))
        assert snapshot.request(asked) is not None
        assert snapshot.request(house.office_name(payload)) is None


# The certificate.


def test_the_certificate_says_what_was_destroyed_and_how(house, people):
    anna, _ = people
    epoch = house.ledger.vault.epoch
    house.beyond_use = {epoch + 1: NOW_MS + 5}
    house.reopen()
    name = house.ask(anna, data={"ground": "objection"})
    house.finish()
    said = house.certificate(name)
    salt = erasure_salt(cell_index_key=house.ledger.vault.index_key(), request_hash=name)
    assert (said.slot, said.ground, said.ordered_by) == (
        anna.slot, ErasureGround.OBJECTION, OrderedBy.SUBJECT,
    )  # fmt: skip
    assert said.request_digest == request_digest(salt=salt, request_hash=name)
    assert said.subject_pseudonym == subject_pseudonym(salt=salt, subject_id=anna.subject_id)
    assert (said.epoch_old, said.epoch_new) == (epoch, epoch + 1)
    assert said.root_hash == house.ledger.vault.erase([anna.slot])[anna.slot].root_hash
    assert (said.backend, said.caveat) == (house.roots.backend, house.roots.caveat)
    # three records and the request; their rows, three names, the box and the registry's row
    assert (said.ciphertexts, said.index_rows) == (4, 4 + 3 + 2)
    assert said.beyond_use_until_ms == NOW_MS + 5
    assert said.order_index == house.desk.find(name).order_index


def test_a_ground_that_nobody_knows_does_not_stop_a_request(house, people):
    anna, _ = people
    name = house.ask(anna, data={"ground": "because"})
    assert house.desk.find(name).ground is ErasureGround.CONSENT_WITHDRAWN


def test_the_steps_come_in_their_order(house, people):
    house.ask(people[0])
    house.finish()
    assert house.steps == list(Step)


@pytest.mark.parametrize("last", list(Step))
def test_a_kill_between_any_two_steps_leaves_an_erasure_that_goes_on(house, people, last):
    anna, bert = people
    name = house.ask(anna)
    house.order()

    def die(step):
        if step is last:
            raise CrashError

    house.on_step = die
    with pytest.raises(CrashError):
        house.carry_out_and_attest()
    # nothing is attested before all of it is done
    assert not any(case.statement for case in house.cases()) or last is Step.ATTESTED
    house.reopen()
    # nothing more is filed, whatever has survived
    house.commit(house.office.request(anna)[0])
    house.finish()
    assert is_gone(house, anna)
    assert len(records_of(house, bert)) == 2
    assert house.desk.find(name).state is ErasureState.ERASED
    said = house.certificate(name)
    assert (said.ciphertexts, said.index_rows) == (4, 9)
    assert said.root_hash == house.ledger.vault.erase([anna.slot])[anna.slot].root_hash
    assert [key.epoch for key in house.roots.read()] == [said.epoch_new]
    house.commit(house.office.request(bert)[0])
    assert len(records_of(house, bert)) == 3


def test_many_rows_go_in_transactions_that_are_not_long_and_a_kill_in_the_middle_loses_no_count(
    house, people, monkeypatch
):
    anna, _ = people
    house.commit(*(house.office.request(anna)[0] for _ in range(20)))
    house.rows_at_once_max = 7
    house.reopen()
    name = house.ask(anna)
    house.order()
    store, left = house.ledger.store, [2]
    editing = store.editing

    def dying():
        left[0] -= 1
        if left[0] < 0:
            raise CrashError
        return editing()

    monkeypatch.setattr(store, "editing", dying)
    with pytest.raises(CrashError):
        house.carry_out()
    monkeypatch.undo()
    assert len(records_of(house, anna)) == 24 - 14
    house.reopen()
    house.finish()
    assert is_gone(house, anna)
    assert house.certificate(name).ciphertexts == 24


def test_a_thousand_are_erased_with_one_change_of_the_root_key(house):
    people = house.register(*range(1, 1_003))
    spared, erased = people[0], people[1:]
    house.commit(*(house.asked(person)[0] for person in erased))
    house.order()
    epoch = house.ledger.vault.epoch
    # one group holds a thousand, the last one is of the next
    assert len(house.eraser.due()) == 1_000
    house.eraser.execute(house.eraser.due())
    assert house.ledger.vault.epoch == epoch + 1
    house.carry_out()
    assert house.ledger.vault.epoch == epoch + 2
    house.attest()
    house.record()
    states = [case.state for case in house.cases()]
    assert states == [ErasureState.ERASED] * 1_001
    assert len(records_of(house, spared)) == 1
    assert len(house.tables()["sealed"]) == 1


# Records that come late, and requests that come again.


def test_nothing_is_filed_for_a_slot_whose_erasure_is_ordered(house, people):
    anna, bert = people
    house.ask(anna)
    house.order()
    unfiled, sealed = house.ledger.store.state.unfiled, len(house.tables()["sealed"])
    house.commit(house.office.request(anna)[0], house.office.request(bert)[0])
    assert house.ledger.store.state.unfiled == unfiled + 1
    assert len(house.tables()["sealed"]) == sealed + 1
    house.carry_out()
    house.commit(house.office.request(anna)[0])
    assert len(house.tables()["sealed"]) == 3


def test_what_comes_with_the_wave_of_the_order_is_deleted_with_the_rest(house, people):
    anna, _ = people
    house.ask(anna)
    house.decide()
    late = house.office.request(anna)[0]
    house.commit(*house.stated(), late)
    house.carry_out()
    assert is_gone(house, anna)


def test_a_request_that_comes_again_has_the_same_answer(house, people):
    anna, _ = people
    first = house.ask(anna)
    second = house.ask(anna)
    assert len(house.cases()) == 1
    house.finish()
    one, other = house.desk.find(first), house.desk.find(second)
    assert (one.state, one.certificate_index) == (other.state, other.certificate_index)
    of_subject = house.desk.find_of_subject(anna.subject_id)
    assert of_subject.request_hash == first
    assert of_subject.certificate_index == one.certificate_index


def test_requests_without_end_do_not_grow_the_table_without_end(house, people):
    anna, _ = people
    names = [house.ask(anna) for _ in range(ALIASES_MAX + 3)]
    found = [house.desk.find(name) is not None for name in names]
    assert sum(found) == ALIASES_MAX + 1


def test_an_erased_subject_asks_for_nothing_more(house, people):
    anna, _ = people
    house.ask(anna)
    house.finish()
    house.ask(anna)
    assert len(house.cases()) == 1


@pytest.mark.parametrize("erase", [True, False])
def test_no_id_gets_a_second_registration(house, people, erase):
    """Whoever has kept a registering record seals it once more, for a slot that is free."""
    anna, _ = people
    if erase:
        house.ask(anna)
        house.finish()
    subjects, slots = house.tables()["subject"], records_of(house, anna)
    [fresh] = house.ledger.vault.allocate(1)
    again = house.office.record(
        anna.payload, slot=fresh.slot, slot_key=fresh.key, witness=anna.witness,
        kind=house.kinds.SUBJECT_REGISTERED, action="subject.register", ref=b"n" * 16,
    )  # fmt: skip
    unfiled = house.ledger.store.state.unfiled
    house.commit(again)
    assert house.ledger.store.state.unfiled == unfiled + 1
    assert house.tables()["subject"] == subjects
    assert records_of(house, anna) == slots


def test_no_key_is_lent_from_the_order_on_and_everybody_is_told_why(house, people, kit):
    anna, bert = people
    counter = kit.Counter(house.ledger, house.group)
    counter.publish()

    def code(person):
        counter.publish()
        [lease] = counter.lease(person.subject_id, wait_ms=60_000)
        return lease.refused_code

    assert (code(anna), code(bert)) == ("", "")
    house.ask(anna)
    house.decide()
    assert code(anna) == ""
    house.record()
    assert (code(anna), code(bert)) == ("subject_erased", "")
    house.carry_out()
    # the tombstone says so now, to who has the id
    assert (code(anna), code(bert)) == ("subject_erased", "")
    assert counter.lease("ab-" + "z" * 26)[0].refused_code == "key_unknown"


# Who is believed.


def test_a_request_counts_if_the_subject_has_signed_it_and_only_then(house, people, kit):
    anna, bert = people
    forged = [
        house.asked(anna, key=bert.key)[0],
        # Anna's key is named, and somebody else has signed
        house.asked(anna, signature=b"s" * 64)[0],
        # signed by Bert, and laid under Anna's slot
        house.asked(bert, slot=anna.slot, slot_key=anna.slot_key)[0],
        house.asked(anna, svc="tax", service="heptad")[0],
        # the entry commits to something else
        house.asked(anna, entry_witness=b"x" * 32)[0],
    ]
    house.commit(*forged)
    assert house.cases() == []


def test_an_old_request_that_is_recorded_again_after_its_refusal_counts_for_nothing(house, people):
    anna, _ = people
    jti = house.office.jti()
    house.decided(anna, "hold.set", ground=RefusalGround.LEGAL_HOLD)
    name = house.ask(anna, jti=jti)
    house.order()
    house.decided(anna, "hold.lifted", ground=RefusalGround.LEGAL_HOLD)
    assert house.desk.find(name).state is ErasureState.REFUSED
    house.ask(anna, jti=jti, ref=b"o" * 16)
    house.order()
    house.carry_out()
    assert len(house.cases()) == 1
    assert len(records_of(house, anna)) == 7


def test_only_the_ledgers_attestation_key_orders(house, people, kit):
    anna, _ = people
    other = kit.Group().vote_keys[0]
    for order in (house.order_of(anna, key=other), house.order_of(anna, origin="other.test")):
        house.commit(order)
    house.carry_out()
    assert house.cases() == []
    assert len(records_of(house, anna)) == 3


def test_an_order_is_carried_out_once(house, people):
    anna, _ = people
    house.ask(anna)
    house.decide()
    stated = house.stated()
    house.commit(*stated, *stated)
    house.carry_out()
    epoch, cases = house.ledger.vault.epoch, house.cases()
    house.commit(*stated)
    house.carry_out()
    assert house.ledger.vault.epoch == epoch
    # what was counted is not counted again, from rows that are gone
    assert house.cases() == cases


def test_whoever_has_the_slot_in_another_vault_is_not_meant_by_an_order(house, people):
    """A vault that was made anew gives out numbers that the log has orders for."""
    slot = house.ledger.vault.slot_next
    house.commit(house.order_of(None, slot=slot))
    house.carry_out()
    later = house.office.register(9)
    assert later.slot == slot
    house.commit(later.registration)
    assert len(records_of(house, later)) == 1
    # also where all of it is applied again, over the vault that knows the slot
    house.forget_log()
    house.replayed()
    assert len(records_of(house, later)) == 1
    house.commit(house.office.request(later)[0])
    name = house.ask(later)
    house.finish()
    assert is_gone(house, later)
    assert house.desk.find(name).state is ErasureState.ERASED
