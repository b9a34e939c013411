"""After an erasure the files still check, at whatever step it is; and what is wrong is found."""

import pytest
from unit.ledger.erasures import House

from heptad.vault.inspection import VaultInspector
from heptad.vault.steps import Step
from heptad_ledger.fsck.erasure_check import ErasureCheck
from heptad_ledger.fsck.findings import Code, Findings
from heptad_ledger.fsck.private_half import PrivateCheck
from heptad_ledger.fsck.registry_check import RegistryCheck
from heptad_ledger.fsck.run import _waiting_rows
from heptad_ledger.fsck.tables import Tables
from heptad_ledger.privacy import deleting
from heptad_ledger.registry import Registry
from heptad_ledger.store import Snapshot
from heptad_ledger.store.environment import Environment


class KilledError(Exception):
    """The process ends here."""


@pytest.fixture
def house(tmp_path, kit, group):
    house = House(tmp_path, kit, group)
    house.people = house.register(1, 2, 3)
    house.commit(*(house.office.request(person)[0] for person in house.people * 2))
    yield house
    house.close()


def findings_of(house):
    """What a check of the private half finds in the files as they are."""
    house.close()
    environment = Environment(house.folder / "log", map_bytes_max=1 << 30, is_read_only=True)
    vault = VaultInspector(house.folder / "vault", house.roots)
    found = []
    findings = Findings(found.append)
    key = house.kit.ATTESTING.public
    registry = Registry(
        vault, own_slot=house.ledger.own_slot, origin=house.group.origin, cell_code="ab",
        attestation_keys={key.kid: key},
    )  # fmt: skip
    with environment.reading() as transaction:
        tables = Tables(transaction, environment)
        snapshot = Snapshot(transaction, environment, _waiting_rows(tables))
        erasures = ErasureCheck(tables, snapshot, vault, findings)
        PrivateCheck(
            tables,
            vault,
            size=snapshot.state().size,
            registry=RegistryCheck(
                registry,
                snapshot,
                tables,
                findings,
                erasures=erasures,
                cell_index_key=vault.cell_keys.index_key,
            ),
            erasures=erasures,
            findings=findings,
            progress=lambda *_: None,
        ).run()
    vault.close()
    environment.close()
    house.reopen()
    return [(finding.code, finding.detail) for finding in found]


def test_nothing_is_wrong_after_an_erasure(house):
    anna, bert, carl = house.people
    house.ask(anna)
    house.officer_orders(bert)
    house.finish()
    assert findings_of(house) == []
    house.ledger.store.settle()
    house.commit(house.office.request(carl)[0])
    assert findings_of(house) == []


@pytest.mark.parametrize("last", list(Step))
def test_nothing_is_wrong_at_any_step_of_one(house, last):
    house.ask(house.people[0])
    house.order()

    def die(step):
        if step is last:
            raise KilledError

    house.on_step = die
    with pytest.raises(KilledError):
        house.carry_out_and_attest()
    if last in (Step.ROOT_STAGED, Step.PATH_COMMITTED):
        # The vault settles these when it is opened, and the check opens nothing to write.
        house.reopen()
    assert findings_of(house) == []


def test_a_deletion_that_forgets_what_leads_to_the_erased_is_found(house, monkeypatch):
    """Requests are found by names that stand in records; whoever forgets them leaves rows."""
    monkeypatch.setattr(deleting, "_names", lambda payload: iter(()))
    house.ask(house.people[0])
    house.finish()
    codes = {code for code, _ in findings_of(house)}
    assert codes == {Code.REQUEST_INDEX_WRONG, Code.REGISTRY_WRONG}
