"""The part of `heptad verify` that judges an export."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_OK, EXIT_USAGE, fail, told
from heptad.cli.plain import plain

if TYPE_CHECKING:
    from heptad.exports import ExportReport, Trusted

_BY_POLICY = "an export is judged by --policy; --cell adds the signatures of services and ledger"


def judge_export(path: Path, *, policy: Path | None, cell: Path | None, as_json: bool) -> NoReturn:
    """Check an archive, say what was found, and end with 0, 1 or 2."""
    from heptad.exports import ExportUnreadableError, check_export

    if policy is None:
        fail(_BY_POLICY, status=EXIT_USAGE, as_json=as_json)
    try:
        with told(as_json=as_json):
            by, mark = _trusted(policy, cell, as_json=as_json)
            report = check_export(path, by=by, tell=_tell)
    except ExportUnreadableError as error:
        if as_json:
            print(json.dumps({"valid": False, "reason": str(error)}))
        else:
            print(f"FAILED  export: {error}\n\nINVALID")
        raise typer.Exit(EXIT_FAILED) from None
    _print(report, mark, judged_signatures=cell is not None, as_json=as_json)
    raise typer.Exit(EXIT_OK if report.holds else EXIT_FAILED)


def _trusted(policy: Path, cell: Path | None, *, as_json: bool) -> "tuple[Trusted, str]":
    """By what to judge, and the policy's fingerprint. Raises: OSError, ConfigInvalidError."""
    from heptad.exports import Trusted
    from heptad.runtime.attestation import attestation_keys
    from heptad.runtime.config import Cell
    from heptad.runtime.config.decode import read
    from heptad.runtime.service_keys import service_keys
    from heptad.transparency.errors import FormatError
    from heptad.transparency.policy import Policy, fingerprint

    data = policy.read_bytes()
    try:
        known, mark = Policy.parse(data), fingerprint(data)
    except FormatError as error:
        fail(f"{policy} is no policy: {error}", status=EXIT_USAGE, as_json=as_json)
    now_s = int(time.time())
    if cell is None:
        return Trusted(known, now_s), mark
    described = read(Cell, cell)
    return Trusted(known, now_s, service_keys(described), attestation_keys(described)), mark


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 100 == 0 or done == total):
        print(f"\r{done} of {total} entries", end="" if done < total else "\n", file=sys.stderr)


def _print(report: "ExportReport", mark: str, *, judged_signatures: bool, as_json: bool) -> None:
    manifest = report.manifest
    if as_json:
        steps = [
            {"step": finding.subject, "holds": finding.holds, "detail": finding.detail}
            for finding in report.findings
        ]
        print(
            json.dumps(
                {
                    "valid": report.holds,
                    "policy_fingerprint": mark,
                    "subject": manifest.get("subject"),
                    "state": manifest.get("state"),
                    "created": manifest.get("created"),
                    "kinds": dict(report.kinds),
                    "steps": steps,
                }
            )
        )
        return
    lines = [
        f"policy   SHA-256 {mark}",
        f"export   {manifest.get('state')}, of {manifest.get('subject')} at "
        f"{manifest.get('origin')}, made {manifest.get('created')}",
        "",
    ]
    for finding in report.findings:
        outcome = "ok    " if finding.holds else "FAILED"
        lines.append(f"{outcome}  {finding.subject}: {finding.detail}")
    counts = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
    lines += ["", f"entries  {counts or 'none'}"]
    if not judged_signatures:
        lines.append("         services' and the ledger's signatures NOT judged: that needs --cell")
    lines = [plain(line) for line in lines]
    print("\n".join([*lines, "", "VALID" if report.holds else "INVALID"]))
