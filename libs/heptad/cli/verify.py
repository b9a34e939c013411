"""`heptad verify`: check a receipt, or the evidence that it is of, off line and step by step."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heptad.transparency.checkpoint import Finding
    from heptad.transparency.policy import Policy
    from heptad.verification import EvidenceReport, ReceiptFile, ReceiptReport

_NOTHING_TO_JUDGE_BY: Final = (
    "say by what to judge: --policy for a receipt, --cell for evidence of misbehaviour, or both"
)


def command(
    receipt: Annotated[str, typer.Argument(help="Receipt; - reads standard input.")],
    *,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy file of the cell, from somebody else than its gateway."),
    ] = None,
    cell: Annotated[
        Path | None,
        typer.Option(help="cell.toml with the cell's public keys, to judge evidence by."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a receipt, off line: each step of the arithmetic, pass or fail.

    With --cell also the evidence of misbehaviour that the receipt may be of: who signed what twice.
    Ends with 0 if all of it is valid, 1 if it is not, 2 if it could not be judged: a file that is
    not there, or one to judge by that cannot be read.
    """
    if policy is None and cell is None:
        fail(_NOTHING_TO_JUDGE_BY, status=EXIT_USAGE, as_json=as_json)
    with told(as_json=as_json):
        data = sys.stdin.buffer.read() if receipt == "-" else Path(receipt).read_bytes()
    from heptad.verification import ReceiptFile, ReceiptUnreadableError

    judgement = Judgement(as_json=as_json)
    try:
        file = ReceiptFile.parse(data)
    except ReceiptUnreadableError as error:
        _print_unreadable(str(error), as_json=as_json)
        raise typer.Exit(EXIT_FAILED) from None
    if policy is not None:
        judgement.judge_receipt(file, policy)
    if cell is not None:
        judgement.judge_evidence(file, cell)
    judgement.print()
    if not judgement.holds:
        raise typer.Exit(EXIT_FAILED)


class Judgement:
    """What was judged so far, as lines for people and as members for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self.holds = True
        self._as_json = as_json
        self._lines: list[str] = []
        self._members: dict[str, object] = {}
        self._steps: list[Finding] = []

    def judge_receipt(self, file: "ReceiptFile", policy: Path) -> None:
        """Is the entry in a log that the policy believes?"""
        from heptad.transparency.errors import FormatError
        from heptad.transparency.policy import Policy, fingerprint
        from heptad.verification import examine_receipt_file

        with told(as_json=self._as_json):
            policy_file = policy.read_bytes()
        try:
            judged_by = Policy.parse(policy_file)
        except FormatError as error:
            fail(f"{policy} is no policy: {error}", status=EXIT_USAGE, as_json=self._as_json)
        report = examine_receipt_file(file, policy=judged_by, now_s=int(time.time()))
        mark = fingerprint(policy_file)
        self._members |= facts(report, policy_fingerprint=mark)
        self._lines += heading(report, judged_by, policy_fingerprint=mark)
        self._take(report.findings)

    def judge_evidence(self, file: "ReceiptFile", cell: Path) -> None:
        """Is somebody proven guilty? Of a receipt that is judged already it may just be silent."""
        from hashlib import sha256

        from heptad.runtime.config import Cell
        from heptad.runtime.config.decode import read
        from heptad.runtime.group import agreed_cell
        from heptad.verification import examine_evidence, is_evidence

        with told(as_json=self._as_json):
            judged_by = agreed_cell(read(Cell, cell))
            mark = sha256(cell.read_bytes()).hexdigest()
        if self._steps and not is_evidence(file.entry):
            return
        report = examine_evidence(file.entry, cell=judged_by)
        self._members |= evidence_facts(report, cell_fingerprint=mark)
        self._lines += ["", f"cell     SHA-256 {mark} of {judged_by.origin}", ""]
        self._take(report.findings)

    def print(self) -> None:
        """All of it."""
        if self._as_json:
            steps = [
                {"step": finding.subject, "holds": finding.holds, "detail": finding.detail}
                for finding in self._steps
            ]
            print(json.dumps({"valid": self.holds, **self._members, "steps": steps}))
        else:
            verdict = "VALID" if self.holds else "INVALID"
            print("\n".join([*self._lines, "", verdict]).lstrip("\n"))

    def _take(self, findings: "Sequence[Finding]") -> None:
        self._steps += findings
        for finding in findings:
            self.holds &= finding.holds
            mark = "ok    " if finding.holds else "FAILED"
            self._lines.append(f"{mark}  {finding.subject}: {finding.detail}")


def facts(report: "ReceiptReport", *, policy_fingerprint: str) -> dict[str, object]:
    """The report on a receipt as JSON, but for its steps."""
    members: dict[str, object] = {
        "policy_fingerprint": policy_fingerprint,
        "index": report.leaf_index,
        "checkpoint": {
            "origin": report.checkpoint.origin,
            "size": report.checkpoint.size,
            "root": report.checkpoint.root.hex(),
        },
        "cosigned_at_s": dict(report.cosigned_at_s),
    }
    if report.entry is not None:
        members["entry"] = {
            "kind": report.entry.kind.name,
            "service": report.entry.service,
            "action": report.entry.action,
            "outcome": report.entry.outcome.name.lower(),
            "time_ms": report.entry.time_ms,
            "validator": report.entry.validator,
        }
    if report.request_id is not None:
        members["request_id"] = report.request_id
    return members


def evidence_facts(report: "EvidenceReport", *, cell_fingerprint: str) -> dict[str, object]:
    """The report on evidence as JSON, but for its steps."""
    members: dict[str, object] = {"cell_fingerprint": cell_fingerprint}
    if report.evidence is not None:
        charge = report.evidence.charge
        members["evidence"] = {"accused": charge.name, "offence": charge.offence.name.lower()}
    return members


def heading(report: "ReceiptReport", policy: "Policy", *, policy_fingerprint: str) -> list[str]:
    """What a receipt is judged by, for people."""
    return [
        f"policy   SHA-256 {policy_fingerprint}",
        f"         {len(policy.logs)} log, {len(policy.witnesses)} witnesses, "
        f"quorum {policy.quorum}; compare it with what the cell's operators publish",
        f"entry    index {report.leaf_index} of {report.checkpoint.origin}, "
        f"{report.checkpoint.size} entries",
        "",
    ]


def _print_unreadable(reason: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"valid": False, "reason": reason}))
    else:
        print(f"FAILED  receipt: {reason}\n\nINVALID")
