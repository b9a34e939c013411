"""`python -m heptad.observability.table`: the catalogue of metrics as a page, docs/metrics.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heptad.observability.catalogue import CATALOGUE, Metric

PAGE: Final = Path(__file__).parents[3] / "docs" / "metrics.md"

_HEAD: Final = """# Metrics

Every member serves its metrics at `/metrics` of its own listener (`node.metrics` in its
`config.toml`), in Prometheus' text format; `heptad scrape-targets` prints where.
No label holds anything about a person. A name is never changed, only retired. Made from
`heptad.observability.catalogue` by `python -m heptad.observability.table`.

Beside these each process has `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds` and
`process_start_time_seconds`. A counter or histogram that has counted nothing yet is not there.

| metric | kind | labels | tells |
|---|---|---|---|
"""


def page() -> str:
    """The page, as it is committed."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, metric in CATALOGUE.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{name}` | {metric.kind.value} | {labels} | {_told(metric)} |\n"


def _told(metric: Metric) -> str:
    return metric.help.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
