"""Each of the 32 known bugs of this family of protocols has a test that is named after it.

The list is the design's; a test counts if its own name or its file's says `test_bug_<number>_`.
"""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

KNOWN_BUGS = {
    1: "vote, time-out, proposal durable before they are sent",
    2: "file and directory synced",
    3: "round after a restart = max(high_qc, highest_tc) + 1",
    4: "a restart sends the identical vote again",
    5: "all safety fields in one transaction; a failed write crashes",
    6: "off by one in the guard against signing twice",
    7: "no votes while syncing",
    8: "duplicate signers, also two valid signatures of one signer",
    9: "a bad vote blocks the QC",
    10: "the round not bound by the signature",
    11: "chain, epoch or kind not bound",
    12: "TC poisoning: a claimed high_qc_round without the QC behind it",
    13: "a signing path around the kernel",
    14: "a QC acted on before it was verified",
    15: "several blocks committed at once come out in the wrong order",
    16: "a block delivered twice after a gap of rounds",
    17: "commit on rounds that are not consecutive",
    18: "a QC shown to one replica, then withheld",
    19: "the Fast-HotStuff counter-example found by Twins",
    20: "the first time-outs are lost",
    21: "amplification that mixes rounds",
    22: "the next leader crashed with the only QC",
    23: "a silent leader; a leader that proposes only empty blocks",
    24: "the tail never flushed",
    25: "a joiner without the TC",
    26: "a validator that sends a batch to three replicas only",
    27: "votes of far future rounds",
    28: "many proposals in one round",
    29: "repeated bad signatures",
    30: "sync: a peer that lies about its height, goes silent, or answers garbage",
    31: "blocks and batches in one key space",
    32: "an assertion that is reachable from the network",
}


def numbers_in(name):
    return {int(number) for number in re.findall(r"test_bug_(\d+)_", name)}


def named_in(path):
    """The names of a file's tests, each with the file's own before it."""
    return [
        f"{path.stem}::{node.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_each_known_bug_has_a_test_that_is_named_after_it():
    named = [name for path in TESTS.rglob("test_*.py") for name in named_in(path)]
    tested = set().union(*map(numbers_in, named))
    assert {number: bug for number, bug in KNOWN_BUGS.items() if number not in tested} == {}
    assert tested <= KNOWN_BUGS.keys()
