"""From a request to be erased to its certificate: what is destroyed, in what order, what not."""

import pytest
from unit.ledger.erasures import House

from heptad.model.erasure import ErasureState
from heptad.vault.errors import SlotErasedError
from heptad.vault.steps import Step
from heptad_ledger.privacy.rows import entries_of


@pytest.fixture
def house(tmp_path, kit, group):
    house = House(tmp_path, kit, group)
    yield house
    house.close()


def test_an_erasure_leaves_nothing_that_the_subject_had(house):
    anna, bert = house.register(1, 2)
    house.commit(*(house.office.request(p)[0] for p in (anna, bert, anna)))
    before = house.tables()
    name = house.ask(anna)
    house.finish()
    after = house.tables()
    row = house.desk.find(name)
    assert row.state is ErasureState.ERASED
    assert len(before["sealed"]) == 5
    assert len(after["sealed"]) == 2
    with house.ledger.store.snapshot() as snapshot:
        assert list(entries_of(snapshot, slot_key=anna.slot_key)) == []
        assert len(list(entries_of(snapshot, slot_key=bert.slot_key))) == 2
    with pytest.raises(SlotErasedError):
        house.ledger.vault.lookup(anna.slot)
    certificate = house.certificate(name)
    assert certificate.ciphertexts == 4
    assert house.steps == list(Step)
