"""Every metric in the catalogue is one that some part of the product really exports."""

import re
from pathlib import Path

from heptad.observability import catalogue
from heptad.observability.catalogue import Metric

ROOT = Path(__file__).resolve().parents[2]


def test_no_row_of_the_catalogue_is_an_empty_promise() -> None:
    own = ROOT / "libs" / "heptad" / "observability" / "catalogue.py"
    sources = [
        path.read_text("utf-8")
        for folder in ("libs", "services")
        for path in (ROOT / folder).rglob("*.py")
        if path != own
    ]
    used = set(re.findall(r"\b[A-Z][A-Z_]+\b", "\n".join(sources)))
    rows = {name for name, row in vars(catalogue).items() if isinstance(row, Metric)}
    assert rows - used == set()
