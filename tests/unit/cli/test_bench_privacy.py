"""What a vault and a ledger of many subjects cost: small ones, for the shape of the figures."""

import json
import random
from dataclasses import asdict

import pytest
from rich.console import Console

from heptad.cli import bench_privacy
from heptad_ledger.synthetic import (
    FillPlan,
    erasing_cost,
    fill,
    new_home,
    pages,
    subjects_cost,
    vault_cost,
)


@pytest.fixture(scope="module", autouse=True)
def few():
    """Enough to see that it is counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault_cost, "_ERASED_AT_EACH_SIZE", 20)
        patch.setattr(vault_cost, "_GROUPS_OF_A_SIZE", 2)
        patch.setattr(vault_cost, "COLD_STARTS", 3)
        patch.setattr(subjects_cost, "COLD_STARTS", 3)
        yield


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vault")
    return vault_cost.measure(folder, subjects=2_000, groups=(1, 100), tell=lambda line: None)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("ledger") / "cell"
    new_home(home)
    fill(home, FillPlan(entries=1_200, subjects=600, batch_records=100, block_batches=2))
    return home


@pytest.fixture(scope="module")
def ledger(home):
    return subjects_cost.measure(home, tell=lambda line: None)


@pytest.fixture(scope="module")
def erasing(home, ledger):
    return erasing_cost.measure(home, groups=(1, 20, 1_000), tell=lambda line: None)


def test_a_vault_is_measured_in_groups_of_each_size(vault):
    assert [(row.group, row.groups) for row in vault.erasures] == [(1, 20), (100, 2)]
    assert all(row.per_s > 0 and row.p99_ms >= row.p50_ms > 0 for row in vault.erasures)
    assert vault.subjects == 2_000
    assert 32 < vault.bytes_per_subject <= vault.bytes_per_subject_after_erasures


def test_a_ledgers_bytes_are_told_by_table(ledger):
    assert (ledger.subjects, ledger.entries) == (600, 1_200)
    assert set(ledger.bytes_per_subject) == {
        *("sealed", "by_subject", "by_request", "recent", "subject", "public", "vault")
    }
    # A request and a registration, each with its signature, sealed.
    assert ledger.bytes_per_subject["sealed"] > 600
    assert ledger.look_up_warm_us > 0


def test_erasures_in_a_ledger_take_rows_along(erasing):
    assert [(row.group, row.groups) for row in erasing.erasures] == [(1, 20), (20, 2)]
    # Registration: record, row by subject, row by request, row and box of the registry; a request
    # on the average.
    assert 5 < erasing.rows_each < 12


def test_all_figures_are_shown(vault, ledger, erasing, capsys):
    parts = {"vault": vault, "ledger": ledger, "erasing": erasing}
    figures = json.loads(json.dumps({name: asdict(part) for name, part in parts.items()}))
    console = Console(width=100)
    for table in bench_privacy.tables(figures):
        console.print(table)

    shown = capsys.readouterr().out
    assert "With 2,000 subjects" in shown
    assert "ledger: bytes a subject, sealed" in shown


def test_a_file_that_was_forgotten_is_not_in_the_page_cache(tmp_path):
    """In the file system of the temporary folder: one that keeps files in memory cannot forget."""
    path = tmp_path / "file"
    path.write_bytes(random.randbytes(1 << 20))
    assert pages.resident_part(path) == 1.0

    pages.forget(tmp_path)

    if pages.resident_part(path) == 1.0:
        pytest.skip("this file system lives in memory")
    assert pages.resident_part(path) < 0.5
