"""Who decides about erasures, and what a ledger that comes back makes of what was decided."""

import pytest
from unit.ledger.erasures import House, is_gone, records_of

from heptad.crypto.derivation import erasure_salt
from heptad.model.erasure import (
    ErasureGround,
    ErasureState,
    OrderedBy,
    RefusalGround,
    subject_pseudonym,
)
from heptad.model.requests import request_hash


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


# Holds, officers.


def test_a_hold_refuses_with_its_ground_and_nothing_is_touched(house, people):
    anna, _ = people
    house.decided(anna, "hold.set", ground=RefusalGround.PUBLIC_TASK)
    name = house.ask(anna)
    house.order()
    house.carry_out()
    row = house.desk.find(name)
    assert (row.state, row.refusal_ground) == (ErasureState.REFUSED, RefusalGround.PUBLIC_TASK)
    assert row.refusal_index is not None
    assert len(records_of(house, anna)) == 5


def test_once_the_hold_is_lifted_a_new_request_is_carried_out(house, people):
    anna, _ = people
    house.decided(anna, "hold.set", ground=RefusalGround.PUBLIC_TASK)
    refused = house.ask(anna)
    house.order()
    house.decided(anna, "hold.lifted", ground=RefusalGround.PUBLIC_TASK)
    name = house.ask(anna)
    house.finish()
    assert is_gone(house, anna)
    assert house.desk.find(name).state is ErasureState.ERASED
    assert house.desk.find(refused).state is ErasureState.REFUSED


def test_of_refusals_of_one_subject_the_last_is_kept(house, people):
    anna, _ = people
    house.decided(anna, "hold.set", ground=RefusalGround.PUBLIC_TASK)
    names = []
    for _ in range(3):
        names.append(house.ask(anna))
        house.order()
    assert [house.desk.find(name) is not None for name in names] == [False, False, True]


def test_an_order_behind_a_hold_in_the_log_is_not_carried_out(house, people):
    """The hold was recorded while the order was on its way."""
    anna, _ = people
    name = house.ask(anna)
    house.decide()
    stated = house.stated()
    house.decided(anna, "hold.set", ground=RefusalGround.LEGAL_HOLD)
    house.commit(*stated)
    house.carry_out()
    assert len(records_of(house, anna)) == 5
    house.order()
    assert house.desk.find(name).state is ErasureState.REFUSED


@pytest.mark.parametrize("refusals_since", [0, 1, 2])
def test_an_order_that_a_hold_has_overruled_does_not_count_once_the_hold_is_lifted(
    house, people, refusals_since
):
    """The log shows it, signed, to every validator; the last refusal may be of another request."""
    anna, _ = people
    house.ask(anna)
    house.decide()
    overruled = house.stated()
    house.decided(anna, "hold.set", ground=RefusalGround.LEGAL_HOLD)
    house.commit(*overruled)
    for _ in range(refusals_since):
        house.order()
        house.ask(anna)
    house.decide()
    house.decided(anna, "hold.lifted", ground=RefusalGround.LEGAL_HOLD)
    house.commit(*overruled)
    house.carry_out()
    assert len(records_of(house, anna)) == 6 + refusals_since

    house.record()
    house.ask(anna)
    house.finish()
    assert is_gone(house, anna)


def test_an_officer_orders_and_the_order_has_the_handle_of_its_record(house, people):
    anna, _ = people
    name = house.officer_orders(anna)
    house.finish()
    said = house.certificate(name)
    assert (said.ordered_by, said.ground) == (OrderedBy.OFFICER, ErasureGround.UNLAWFUL_PROCESSING)
    assert is_gone(house, anna)


def test_under_review_a_request_waits_for_an_officer(house, people):
    anna, bert = people
    house.is_reviewed = True
    house.reopen()
    asked, denied = house.ask(anna), house.ask(bert)
    house.order()
    house.carry_out()
    assert house.desk.find(asked).state is ErasureState.RECEIVED
    assert [row.subject_id for row in house.desk.open_rows(after=0, count_max=9)] == [
        anna.subject_id, bert.subject_id,
    ]  # fmt: skip
    house.officer_orders(anna)
    house.decided(bert, "erasure.refused", ground=RefusalGround.EXCESSIVE)
    # decided is decided, before the statement is in the log
    assert house.desk.find(asked).state is ErasureState.ORDERED
    assert house.desk.find(denied).state is ErasureState.REFUSED
    house.finish()
    assert is_gone(house, anna)
    row = house.desk.find(denied)
    assert (row.refusal_ground, len(records_of(house, bert))) == (RefusalGround.EXCESSIVE, 4)
    assert house.desk.oldest_received_at_ms() is None


# Ledgers that come back.


def test_a_ledger_that_is_made_anew_over_its_old_vault_erases_again_what_was_ordered(
    house, people, tmp_path
):
    anna, bert = people
    old = house.copy_vault()
    name = house.ask(anna)
    house.finish()
    house.forget_log(vault=old)
    assert house.ledger.vault.lookup(anna.slot) == anna.slot_key
    house.ledger.catch_up()
    # the log says that it is erased, and this ledger does not, before it is true here too
    assert house.desk.find(name).state is ErasureState.ORDERED
    house.replayed()
    assert is_gone(house, anna)
    assert house.desk.find(name).state is ErasureState.ERASED
    assert house.record() == 0
    assert len(records_of(house, bert)) == 2


def test_a_ledger_that_comes_back_finds_whose_the_certificate_is(house, people):
    """It dies with its disk after the order, and another attests what it has carried out."""
    anna, _ = people
    old = house.copy_vault()
    name = house.ask(anna)
    house.order()
    house.forget_log(vault=old)
    house.replayed()
    house.finish()
    salt = erasure_salt(cell_index_key=house.ledger.vault.index_key(), request_hash=name)
    said = house.certificate(name)
    assert said.subject_pseudonym == subject_pseudonym(salt=salt, subject_id=anna.subject_id)
    assert house.desk.find_of_subject(anna.subject_id).request_hash == name


def test_entries_that_were_not_looked_at_before_a_kill_are_looked_at_after_it(
    house, people, monkeypatch
):
    anna, _ = people
    monkeypatch.setattr(house.ledger.intake, "take", lambda: None)
    house.ledger.applier._take_erasures = lambda: None
    name = house.ask(anna)
    assert house.cases() == []
    house.reopen()
    assert house.desk.find(name).state is ErasureState.RECEIVED


def test_names_of_requests_are_the_hashes_that_clients_compute(house, people):
    anna, _ = people
    jti = house.office.jti()
    assert house.ask(anna, jti=jti) == request_hash(iss=anna.subject_id, jti=jti)
    assert house.desk.find(request_hash(iss=anna.subject_id, jti=jti)) is not None
