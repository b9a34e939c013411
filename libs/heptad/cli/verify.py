"""`heptad verify`: check a receipt, off line, step by step."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told

if TYPE_CHECKING:
    from heptad.transparency.policy import Policy
    from heptad.verification import ReceiptReport


def command(
    receipt: Annotated[str, typer.Argument(help="Receipt; - reads standard input.")],
    *,
    policy: Annotated[
        Path, typer.Option(help="Policy file of the cell, from somebody else than its gateway.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a receipt, off line: each step of the arithmetic, pass or fail.

    Ends with 0 if the receipt is valid, 1 if it is not, 2 if it could not be judged: a file that
    is not there, or a policy that cannot be read.
    """
    with told(as_json=as_json):
        data = sys.stdin.buffer.read() if receipt == "-" else Path(receipt).read_bytes()
        policy_file = policy.read_bytes()
    from heptad.transparency.errors import FormatError
    from heptad.transparency.policy import Policy, fingerprint
    from heptad.verification import ReceiptFile, ReceiptUnreadableError, examine_receipt_file

    try:
        judged_by = Policy.parse(policy_file)
    except FormatError as error:
        fail(f"{policy} is no policy: {error}", status=EXIT_USAGE, as_json=as_json)
    try:
        file = ReceiptFile.parse(data)
    except ReceiptUnreadableError as error:
        _print_unreadable(str(error), as_json=as_json)
        raise typer.Exit(EXIT_FAILED) from None
    report = examine_receipt_file(file, policy=judged_by, now_s=int(time.time()))
    if as_json:
        print(json.dumps(facts(report, policy_fingerprint=fingerprint(policy_file))))
    else:
        print(text(report, judged_by, policy_fingerprint=fingerprint(policy_file)))
    if not report.holds:
        raise typer.Exit(EXIT_FAILED)


def facts(report: "ReceiptReport", *, policy_fingerprint: str) -> dict[str, object]:
    """The report as JSON."""
    members: dict[str, object] = {
        "valid": report.holds,
        "policy_fingerprint": policy_fingerprint,
        "index": report.leaf_index,
        "checkpoint": {
            "origin": report.checkpoint.origin,
            "size": report.checkpoint.size,
            "root": report.checkpoint.root.hex(),
        },
        "cosigned_at_s": dict(report.cosigned_at_s),
        "steps": [
            {"step": finding.subject, "holds": finding.holds, "detail": finding.detail}
            for finding in report.findings
        ],
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


def text(report: "ReceiptReport", policy: "Policy", *, policy_fingerprint: str) -> str:
    """The report for people."""
    lines = [
        f"policy   SHA-256 {policy_fingerprint}",
        f"         {len(policy.logs)} log, {len(policy.witnesses)} witnesses, "
        f"quorum {policy.quorum}; compare it with what the cell's operators publish",
        f"entry    index {report.leaf_index} of {report.checkpoint.origin}, "
        f"{report.checkpoint.size} entries",
        "",
    ]
    for finding in report.findings:
        mark = "ok    " if finding.holds else "FAILED"
        lines.append(f"{mark}  {finding.subject}: {finding.detail}")
    lines += ["", "VALID" if report.holds else "INVALID"]
    return "\n".join(lines)


def _print_unreadable(reason: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"valid": False, "reason": reason}))
    else:
        print(f"FAILED  receipt: {reason}\n\nINVALID")
