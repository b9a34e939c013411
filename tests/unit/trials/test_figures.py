"""A run's JSON is read back by the next run, and only what changed is shown."""

import json
from dataclasses import replace

import pytest

from heptad.trials.bench_tables import comparison, tables
from heptad.trials.errors import TrialFault
from heptad.trials.figures import (
    CrashFigures,
    Figures,
    GrowthFigures,
    GrowthSample,
    MeshFigures,
    Run,
    WayFigures,
    comparable,
    read_figures,
)
from heptad.trials.latencies import Latencies
from heptad.trials.load import Closed, Measured, Open, Paced
from heptad.trials.machine import this_machine
from heptad.trials.orders import Order, Report, Way


def figures(per_s=1_000.0) -> Figures:
    times = Latencies(10, 1.0, 2.0, 3.0, 4.0)
    measured = Measured(0.0, per_s, 1.0, 10, {"overloaded": 1}, times)
    run = Run(measured, {"replica-1": 3.5, "load generator": 1.5}, 700.0, 1_800.0, 100_000_000)
    rest = MeshFigures(2.0, 0.1, {"up": 2}, {"up": 1}, {"up": 0.01}, run)
    return Figures(
        "2026-01-01T00:00:00+00:00",
        1.0,
        this_machine(),
        rest,
        (WayFigures(Way.HTTP, run, run),),
        (CrashFigures(Way.GRPC, 2, measured, replace(measured, achieved_per_s=850.0), 0.0, 3.0),),
        GrowthFigures(9, 64, 1_000, (GrowthSample(9, 3.0, 90_000_000, 50_000_000, 5_000_000),)),
    )


def test_figures_survive_their_json():
    assert read_figures(figures().encode().encode()) == figures()


def test_what_is_left_without_the_killed_is_a_share_of_the_run_beside_it():
    (pair,) = figures().crashed

    assert pair.share == pytest.approx(0.85)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"format": "heptad-bench/v0"}', b'{"format": "heptad-bench/v1"}']
)
def test_what_is_no_bench_is_refused(text):
    with pytest.raises(TrialFault):
        read_figures(text)


def test_a_change_of_a_tenth_is_shown_and_a_smaller_one_is_not():
    before = comparable(figures())

    assert comparison(before, comparable(figures(1_050.0))) is None
    table = comparison(before, comparable(figures(1_200.0)))
    assert table is not None
    assert table.row_count == 1


def test_every_table_is_drawn():
    titles = [table.title for table in tables(figures())]

    assert len(titles) == 5
    assert json.loads(figures().encode())["format"] == "heptad-bench/v1"


@pytest.mark.parametrize("load", [Closed(3, 1.0), Open(5.0, 2.0, 9), Paced(4, 0.1, 2)])
def test_orders_and_reports_survive_their_line(load):
    order = Order(Way.GRPC, "home", "subjects", 100, load, seed=4, down=("replica-3",))
    report = Report(figures().ways[0].capacity.measured, 5, 6, 7)

    assert Order.decode(order.encode()) == order
    assert Report.decode(report.encode()) == report
    assert "\n" not in order.encode() + report.encode()
