"""A ledger that is put back from a backup of before an erasure carries it out before it is read."""

import asyncio

import pytest
from forensics.cell import CellOnDisk, finds_payload

from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.trials.forensics.loot import read_files
from heptad_ledger.backup.key_book import beyond_use_ms
from heptad_ledger.privacy.gate import ReplayGate

REQUESTS = 2


@pytest.fixture
def cell(tmp_path):
    """Anna is erased, with a certificate in the log; then the ledger is lost and put back."""
    cell = CellOnDisk(tmp_path)
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben"), 1)))
    for number in range(1, REQUESTS + 1):
        cell.commit(*(cell.request(person, number) for person in cell.people.values()))
    cell.back_up("backup")
    cell.order_erasure(cell.people["anna"])
    cell.carry_out()
    [cell.certificate] = cell.certificates()
    cell.restore("backup")
    yield cell
    cell.close()


def gate_of(cell, *, catch_up=lambda: None):
    """The gate of the restored ledger, with the real parts behind it."""

    async def caught_up(_seconds):
        cell.catch_up()
        catch_up()
        return True

    async def carry_out():
        cell.parts.intake.take()
        eraser, _ = cell.erasers()
        while group := eraser.due():
            eraser.execute(group)

    async def keep(name, value):
        cell.parts.store.keep(name, value)

    log = EventLog(bound={}, write=lambda _: None)
    return ReplayGate(cell.parts.store, catch_up=caught_up, carry_out=carry_out, keep=keep, log=log)


def test_a_restored_ledger_holds_the_erased_persons_key_again_and_lets_nobody_read(cell):
    # given what makes the replay necessary: the key is back
    anna = cell.people["anna"]
    assert cell.parts.vault.lookup(anna.slot) == anna.slot_key
    assert finds_payload(cell.attacker(cell.data), anna) == REQUESTS
    with pytest.raises(Problem) as refused:
        gate_of(cell).require_open()
    assert refused.value.code == "vault_unavailable"


def test_having_caught_up_alone_does_not_open_it(cell):
    """It is shut as long as an order that is in the log is not carried out."""

    def still_shut():
        with pytest.raises(Problem):
            gate.require_open()

    gate = gate_of(cell, catch_up=still_shut)
    asyncio.run(gate.settle())
    gate.require_open()


def test_before_its_first_read_it_has_carried_the_erasure_out_again(cell):
    anna, ben = cell.people["anna"], cell.people["ben"]
    gate = gate_of(cell)
    asyncio.run(gate.settle())
    gate.require_open()
    # then the person is found in the restored files no more than in those of the lost ledger
    attacker = cell.attacker(cell.home)
    assert finds_payload(attacker, anna) == 0
    assert anna.slot_key not in attacker.keys.slots
    assert finds_payload(attacker, ben) == REQUESTS
    cell.wait_until_nothing_links()
    attacker = cell.attacker(cell.home)
    assert attacker.links(anna.indexes) == {}
    assert attacker.links(ben.indexes)["pointers"] == set(ben.indexes)
    # and nobody attests a second time
    cell.carry_out()
    assert cell.certificates() == [cell.certificate]


def test_the_backup_itself_opens_until_its_key_is_effaced_and_the_restored_book_says_so(cell):
    anna = cell.people["anna"]
    asyncio.run(gate_of(cell).settle())
    backup, key = cell.folder / "backup", cell.folder / "backup.key"
    assert finds_payload(cell.attacker(backup, key), anna) == REQUESTS
    epoch = cell.parts.vault.epoch
    until_ms = beyond_use_ms(cell.data, erased_at_epoch=epoch)
    assert until_ms >= cell.certificate.beyond_use_until_ms
    cell.wait_until_nothing_links()
    cell.efface_backup_keys()
    everything = read_files([cell.folder])
    attacker = cell.attacker(everything)
    assert finds_payload(attacker, anna) == 0
    assert attacker.links(anna.indexes) == {}
    assert beyond_use_ms(cell.data, erased_at_epoch=epoch) == 0


def test_a_ledger_that_is_ended_before_it_has_replayed_owes_it_still(cell):
    gate = gate_of(cell)
    cell.catch_up()
    assert not gate.is_open
    cell.close()
    cell.open()
    assert not gate_of(cell).is_open
    asyncio.run(gate_of(cell).settle())
    cell.close()
    cell.open()
    assert gate_of(cell).is_open


@pytest.mark.parametrize("slots_skipped", [100, 1], ids=["a slot left out", "a slot beyond"])
def test_somebody_whom_the_backup_does_not_know_is_not_found_with_what_it_brought_back(
    tmp_path, slots_skipped
):
    """Registered after the backup, erased by the lost ledger: an old leaf that a thief has opens
    under the key that the backup holds of it, so the restored path gets new keys."""
    cell = CellOnDisk(tmp_path)
    cell.commit(cell.register("ben", seed=2))
    cell.commit(cell.request(cell.people["ben"], 1))
    cell.back_up("backup")
    cell.commit(cell.register("carl", seed=3), cell.register("anna", seed=1))
    cell.commit(cell.request(cell.people["anna"], 1))
    anna, ben = cell.people["anna"], cell.people["ben"]
    t0 = read_files([cell.copy_without_root("t0")])
    cell.order_erasure(anna)
    cell.carry_out()
    cell.restore("backup", slots_skipped=slots_skipped)
    # (with the backup's own key she is found: until that is effaced)
    key = cell.folder / "backup.key"
    assert finds_payload(cell.attacker(t0, cell.data, cell.folder / "backup", key), anna) == 1
    asyncio.run(gate_of(cell).settle())
    attacker = cell.attacker(t0, cell.data)
    assert finds_payload(attacker, anna) == 0
    assert finds_payload(attacker, ben) == 1
    cell.close()
