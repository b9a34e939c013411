"""`python -m mutants`: plant every mutant of the list, see it caught, and write the table.

With --systematic: every small change of the files that matter most, and the score.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from mutants.catalogue import Mutant, areas, mutants
from mutants.judging import DEPTHS, MISNAMED, MISSED, Verdict, judge
from mutants.systematic import systematic
from mutants.table import TABLE, rendered
from mutants.workshop import Tree


def main() -> int:
    """Exit status 0 if every mutant was caught, those of the list by a test that it names."""
    chosen = _arguments()
    if not chosen.table:
        everything = systematic() if chosen.systematic else mutants()
        listed = [each for each in everything if each.id.startswith(tuple(chosen.only))]
        verdicts = _judged(_part(listed, chosen.part), chosen)
        counts = Counter(verdict.word for verdict in verdicts)
        print(", ".join(f"{count} {word}" for word, count in counts.most_common()))
        bad = MISSED if chosen.systematic else MISSED | MISNAMED
        if bad & counts.keys():
            return 1
    if not chosen.systematic:
        TABLE.write_text(rendered(areas()))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("only", nargs="*", default=[""], help="ids, or how they begin")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--systematic", action="store_true", help="every small change instead")
    parser.add_argument("--part", default="1/1", help="2/5: the second of five parts of the list")
    parser.add_argument("--table", action="store_true", help="write the table and run nothing")
    parser.add_argument("--depth", choices=DEPTHS, default="simulation", help="how far to look")
    return parser.parse_args()


def _part(listed: Sequence[Mutant], part: str) -> list[Mutant]:
    number, count = map(int, part.split("/"))
    return list(listed[number - 1 :: count])


def _judged(listed: list[Mutant], chosen: argparse.Namespace) -> list[Verdict]:
    folder = Path(tempfile.mkdtemp(prefix="heptad-mutants-"))
    trees = [Tree(folder / str(number)) for number in range(chosen.workers)]
    free: SimpleQueue[Tree] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(mutant: Mutant) -> Verdict:
        tree = free.get()
        began = time.monotonic()
        try:
            verdict = judge(mutant, tree, depth=chosen.depth)
        finally:
            free.put(tree)
        print(f"{time.monotonic() - began:6.1f} s  {verdict}", flush=True)
        return verdict

    try:
        for each in trees:
            each.warm()
        _require_sound(trees[0], listed)
        with ThreadPoolExecutor(chosen.workers) as workers:
            return list(workers.map(one, listed))
    finally:
        for tree in trees:
            tree.close()
        shutil.rmtree(folder)


def _require_sound(tree: Tree, listed: list[Mutant]) -> None:
    """Nothing is planted yet, and every test that the list names passes."""
    outcome = tree.run(sorted({test for mutant in listed for test in mutant.tests}))
    if outcome.failed is not None or outcome.trouble is not None:
        raise SystemExit(f"without a mutant: {outcome.trouble or outcome.failed}")


if __name__ == "__main__":
    sys.exit(main())
