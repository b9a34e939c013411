"""`heptad scrape-targets`: where Prometheus finds the members of a cell."""

import json
from pathlib import Path
from typing import Annotated

from heptad.cli.exits import told
from heptad.cli.up import HOME_OPTION


def command(*, home: Annotated[Path, HOME_OPTION] = Path(".heptad")) -> None:
    """Print the members' metrics listeners as JSON, for `file_sd_configs` of Prometheus.

    Each has the label `member`, which the rules and dashboards in `ops/` go by.
    """
    with told(as_json=False):
        from heptad.runtime.config import load_cell
        from heptad.runtime.mesh import scrape_targets

        targets = scrape_targets(home.absolute(), load_cell(home.absolute()))
    groups = [
        {"targets": [address], "labels": {"member": name}} for name, address in targets.items()
    ]
    print(json.dumps(groups, indent=2))
