"""The filled ledger of benches is a real one: every hash, signature and private half is good."""

import pytest

from heptad.crypto import signatures
from heptad.model.entry import Kind
from heptad.runtime.config import load_cell
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.checkpoint import verify_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.synthetic import FillPlan, fill, new_home
from heptad_ledger.synthetic.fill import open_home

PLAN = FillPlan(entries=530, subjects=20, batch_records=50, block_batches=2, checkpoint_entries=200)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("filled") / "home"
    new_home(home)
    fill(home, PLAN)
    return home


@pytest.fixture
def parts(home):
    parts = open_home(home, load_cell(home))
    yield parts
    parts.close()


def test_every_record_of_a_filled_ledger_is_filed_and_every_subject_registered(parts):
    state = parts.store.state
    assert (state.size, state.subjects, state.unfiled, state.duplicates) == (530, 20, 0, 0)
    with parts.store.snapshot() as snapshot:
        assert all(snapshot.sealed(index) for index in range(530))
        kinds = [decode_entry(entry).kind for entry in snapshot.entries(0, 530)]
    assert kinds.count(Kind.SUBJECT_REGISTERED) == 20


def test_a_filled_ledgers_checkpoints_satisfy_its_cells_policy(parts, home):
    cell = load_cell(home)
    with parts.store.snapshot() as snapshot:
        entries = snapshot.entries(0, 530)
        for size in (200, 400, 530):
            note = snapshot.checkpoint(size).note
            head = verify_checkpoint(note, policy=cell_policy(cell), verify=signatures.verify)
            root = CompactRange.empty().extended(leaf_hashes(entries[:size])).root()
            assert (head.size, head.root) == (size, root)


def test_a_filled_ledger_goes_on_growing_behind_what_is_there(tmp_path):
    home = tmp_path / "home"
    new_home(home)
    fill(home, PLAN)
    figures = fill(home, FillPlan(entries=700, subjects=5, is_sealed=False))
    assert (figures.entries, figures.size) == (170, 700)
