"""`python -m heptad_ledger.synthetic HOME --entries 10000000`: a filled home, for benches."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from heptad.runtime.config.files import CELL_FILE
from heptad_ledger.synthetic.fill import fill, new_home
from heptad_ledger.synthetic.records import FillPlan


def main() -> None:
    """Make the home if there is none, fill it, print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="heptad_ledger.synthetic", description=main.__doc__)
    parser.add_argument("home", type=Path, help="folder of the cell; made if it is not there")
    parser.add_argument("--entries", type=int, required=True, help="size of the log at the end")
    parser.add_argument("--subjects", type=int, default=FillPlan(0).subjects)
    parser.add_argument("--seed", type=int, default=FillPlan(0).seed)
    parser.add_argument("--batch-records", type=int, default=FillPlan(0).batch_records)
    parser.add_argument("--block-batches", type=int, default=FillPlan(0).block_batches)
    parser.add_argument("--signed", action="store_true", help="each record a request of its own")
    parser.add_argument("--public", action="store_true", help="entries without private halves")
    asked = parser.parse_args()
    plan = FillPlan(
        entries=asked.entries,
        subjects=asked.subjects,
        seed=asked.seed,
        batch_records=asked.batch_records,
        block_batches=asked.block_batches,
        is_sealed=not asked.public,
        is_signed=asked.signed,
    )
    if not (asked.home / CELL_FILE).exists():
        new_home(asked.home)
    figures = fill(asked.home, plan, tell=lambda line: print(line, file=sys.stderr))
    print(json.dumps(dataclasses.asdict(figures)))


if __name__ == "__main__":
    main()
