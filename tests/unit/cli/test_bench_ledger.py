from contextlib import closing

import pytest

from heptad.cli.bench_ledger import sizes_to, verdict
from heptad_ledger.errors import StoreError
from heptad_ledger.synthetic import grown
from heptad_ledger.synthetic.cost import measure
from heptad_ledger.synthetic.grown import GrownLedger


def row(size, cpu_us, log_bytes=900.0):
    return {"size": size, "cpu_us": cpu_us, "log_bytes": log_bytes}


@pytest.mark.parametrize(
    ("entries", "sizes"),
    [
        (10_000, [10_000]),
        (20_000, [10_000, 20_000]),
        (10_000_000, [10_000, 100_000, 1_000_000, 10_000_000]),
    ],
)
def test_sizes_grow_tenfold_up_to_what_was_asked_for(entries, sizes):
    assert sizes_to(entries) == sizes


def test_a_cost_within_a_fifth_of_the_least_is_flat_and_one_beyond_it_is_not():
    assert "CPU of an entry: flat, 20% more at 100 than at 10;" in verdict(
        [row(10, 10.0), row(100, 12.0)]
    )
    assert "CPU of an entry: not flat, 43% more at 10 than at 100;" in verdict(
        [row(10, 10.0), row(50, 9.0), row(100, 7.0)]
    )
    assert "bytes of an entry: not flat" in verdict([row(10, 1.0), row(100, 1.0, 2_000.0)])


def test_ledgers_of_each_size_are_measured_in_turns(tmp_path):
    told = []
    rows = measure(
        tmp_path, [1_200, 3_000], turns=2, block_batches=2, batch_records=200, tell=told.append
    )
    assert [row.size for row in rows] == [1_200, 3_000]
    assert [row.measured for row in rows] == [600, 1_500]
    assert [len(row.turns_cpu_us) for row in rows] == [2, 2]
    assert all(row.cpu_us > 0 and row.proof_p99_ms >= row.proof_p50_ms for row in rows)
    assert told[1:3] == ["turn 1 of 2", "turn 2 of 2"]
    made = {size: len(list((tmp_path / size).iterdir())) for size in ("1200", "3000")}
    assert made == {"1200": 2, "3000": 2}, "a full ledger gives way to a new one"


def test_a_large_ledger_stays_the_same_over_its_turns_and_ends_at_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(grown, "STRETCH", 100)
    plan = {"turns": 3, "block_batches": 2, "batch_records": 50}
    with closing(GrownLedger(tmp_path / "one", 1_000, **plan)) as ledger:
        sizes = [ledger.turn().size for _ in range(3)]
    assert sizes == [800, 900, 1_000]
    assert len(list((tmp_path / "one").iterdir())) == 1


def test_a_ledger_that_fails_ends_the_measurement_and_says_why(tmp_path):
    (tmp_path / "1200").write_text("in the way of its folder")
    with pytest.raises(StoreError, match="ended too early"):
        measure(tmp_path, [1_200], turns=1, block_batches=2, batch_records=200, tell=print)
