"""`python -m heptad_ledger.fsck HOME`: the check as a process of its own; prints JSON, a line each.

`heptad ledger fsck` starts it and shows what it prints. A process of its own, because a database
that is damaged in a way that nobody thought of must not take the one down that has to tell it.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Final

from heptad.runtime.config import LedgerConfig, load_cell
from heptad.runtime.config.files import load_node_config
from heptad.runtime.errors import RuntimeRoomError
from heptad_ledger.errors import StoreError
from heptad_ledger.fsck.findings import Finding
from heptad_ledger.fsck.run import Job, check

EXIT_CLEAN: Final = 0
EXIT_FOUND: Final = 1
EXIT_NOT_TRIED: Final = 2
EXIT_INTERRUPTED: Final = 130
_TOLD_EVERY_S: Final = 0.2


class _Lines:
    """What is printed."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def finding(self, finding: Finding) -> None:
        """One thing that is wrong."""
        self._print({"finding": {**dataclasses.asdict(finding), "derived": finding.is_derived}})

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far it is; most calls say nothing."""
        now_s = time.monotonic()
        if now_s >= self._next_s or done == total:
            self._next_s = now_s + _TOLD_EVERY_S
            self._print({"progress": {"stage": stage, "done": done, "total": total}})

    def _print(self, line: dict[str, object]) -> None:
        print(json.dumps(line), flush=True)

    def end(self, **what: object) -> None:
        """The last line."""
        self._print(what)


def main() -> int:
    """Check the ledger of a home; 0 if all is well, 1 if not, 2 if it could not be tried."""
    asked = _arguments()
    lines = _Lines()
    try:
        job = _job(asked)
        started_s, started_cpu_s = time.monotonic(), time.process_time()
        summary = check(job, report=lines.finding, progress=lines.progress)
    except OSError as error:
        lines.end(error=f"{error.filename}: {error.strerror}")
        return EXIT_NOT_TRIED
    except (StoreError, RuntimeRoomError) as error:
        lines.end(error=str(error))
        return EXIT_NOT_TRIED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # Whoever pressed Ctrl-C knows it.
    lines.end(
        summary={
            "size": summary.size,
            "vouched": summary.vouched,
            "findings": summary.counts,
            "repaired": summary.repaired,
            "left_out": summary.left_out,
            "seconds": time.monotonic() - started_s,
            "cpu_s": time.process_time() - started_cpu_s,
        }
    )
    return EXIT_CLEAN if summary.is_clean else EXIT_FOUND


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="heptad_ledger.fsck", description=main.__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--data", type=Path, help="the ledger's data, if not those of the home")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that was kept elsewhere")
    parser.add_argument("--public", action="store_true", help="open no records")
    parser.add_argument("--repair", action="store_true", help="make again what is derived")
    return parser.parse_args()


def _job(asked: argparse.Namespace) -> Job:
    cell = load_cell(asked.home)
    config = load_node_config(LedgerConfig, home=asked.home, name=cell.ledger.id)
    data = asked.data or asked.home / cell.ledger.id / config.node.data
    return Job(
        data=data,
        static=data / config.static_folder if config.static_folder else None,
        cell=cell,
        kept=asked.checkpoint.read_bytes() if asked.checkpoint else None,
        private=not asked.public,
        repair=asked.repair,
    )


if __name__ == "__main__":
    sys.exit(main())
