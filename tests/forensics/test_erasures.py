"""An erasure from its request to its certificate, and a kill at each of its steps.

The process is a real one (a fork that opens the files anew) and its end is SIGKILL.
"""

import os
import shutil
import signal

import pytest
from forensics.cell import CellOnDisk, finds_payload

from heptad.trials.forensics.loot import Loot, read_files
from heptad.vault.steps import Step
from heptad_ledger.backup.key_book import beyond_use_ms
from heptad_ledger.fsck.run import Job, check

REQUESTS = 2
ALWAYS = (Step.ROWS_DELETED, Step.PATH_COMMITTED, Step.LEASES_DRAINED)
STEPS = [
    pytest.param(
        step,
        marks=() if step in ALWAYS else pytest.mark.skipif(
            "HEPTAD_FORENSICS" not in os.environ, reason="make forensics"
        ),
    )
    for step in Step
]  # fmt: skip


def people_of(cell):
    return cell.people["anna"], cell.people["ben"]


@pytest.fixture(scope="module")
def ordered(tmp_path_factory):
    """A cell whose log holds the order to erase Anna; nothing is carried out yet."""
    cell = CellOnDisk(tmp_path_factory.mktemp("ordered"))
    cell.commit(*(cell.register(name, seed=n) for n, name in enumerate(("anna", "ben"), 1)))
    for number in range(1, REQUESTS + 1):
        cell.commit(*(cell.request(person, number) for person in cell.people.values()))
    cell.back_up("backup")
    cell.t0 = read_files([cell.copy_without_root("t0")])
    cell.order_erasure(cell.people["anna"])
    cell.close()
    return cell


@pytest.fixture
def cell(ordered, tmp_path):
    """A copy of it of one's own, open."""
    shutil.copytree(ordered.folder, tmp_path / "own", symlinks=True)
    own = ordered.moved_to(tmp_path / "own")
    own.open()
    yield own
    own.close()


def killed_at(step, cell):
    """Carry the order out in a process of its own that is killed as soon as a step is done."""
    cell.close()
    pid = os.fork()
    if pid == 0:

        def die(reached):
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            cell.open()
            cell.carry_out(die)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    return read_files([cell.home])


def findings_in(cell):
    found = []
    check(Job(cell.data, None, cell.cell), report=found.append, progress=lambda *_: None)
    return found


def test_an_erasure_deletes_rows_and_leaves_nothing_to_be_found(ordered, cell):
    anna, ben = people_of(cell)
    cell.carry_out()
    cell.wait_until_nothing_links()
    [certificate] = cell.certificates()
    assert certificate.ciphertexts == 1 + REQUESTS + 1
    assert certificate.beyond_use_until_ms == beyond_use_ms(
        cell.data, erased_at_epoch=certificate.epoch_new
    )
    attacker = cell.attacker(ordered.t0, cell.home)
    assert finds_payload(attacker, anna) == 0
    assert attacker.links(anna.indexes) == {}
    assert finds_payload(attacker, ben) == REQUESTS
    cell.close()
    assert findings_in(cell) == []


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_is_gone_on_from_and_nothing_else_is_lost(ordered, cell, step):
    anna, ben = people_of(cell)
    between = killed_at(step, cell)
    # then nobody has attested what is not done
    cell.open()
    assert cell.certificates() == []
    is_effaced = step >= Step.ROOT_EFFACED
    attacker = cell.attacker(ordered.t0, between)
    assert (finds_payload(attacker, anna) == 0) is is_effaced
    assert finds_payload(attacker, ben) == REQUESTS
    # and the next start goes on
    cell.carry_out()
    cell.wait_until_nothing_links()
    [certificate] = cell.certificates()
    assert certificate.ciphertexts == 1 + REQUESTS + 1
    attacker = cell.attacker(ordered.t0, without_roots(between), cell.home)
    assert finds_payload(attacker, anna) == 0
    assert attacker.links(anna.indexes) == {}
    assert finds_payload(attacker, ben) == REQUESTS
    assert attacker.links(ben.indexes)["pointers"] == set(ben.indexes)
    cell.close()
    assert findings_in(cell) == []


def without_roots(between):
    """What a thief has of that moment, who did not get the root keys."""
    return Loot(tuple((n, c) for n, c in between.stretches if "vault-root" not in n))
