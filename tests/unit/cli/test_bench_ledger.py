import pytest

from heptad.cli.bench_ledger import sizes_to, verdict
from heptad_ledger.synthetic.cost import measure
from heptad_ledger.synthetic.fill import new_home


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


def test_a_cost_within_a_fifth_is_flat_and_one_beyond_it_is_not():
    assert "CPU of an entry: flat, +20% at 100" in verdict([row(10, 10.0), row(100, 12.0)])
    assert "CPU of an entry: not flat, -30% at 100" in verdict([row(10, 10.0), row(100, 7.0)])
    assert "bytes of an entry: not flat" in verdict([row(10, 1.0), row(100, 1.0, 2_000.0)])


def test_each_row_is_of_a_ledger_of_that_size(tmp_path):
    new_home(tmp_path / "cell")
    told = []
    rows = measure(
        tmp_path / "cell", [1_200, 3_000], block_batches=2, batch_records=200, tell=told.append
    )
    assert [row.size for row in rows] == [1_200, 3_000]
    assert [row.measured for row in rows] == [600, 1_500]
    assert all(row.cpu_us > 0 and row.proof_p99_ms >= row.proof_p50_ms for row in rows)
    assert len(told) == 2 * (2 + 4), "the smallest is made five times"
