"""`heptad verify`: check a receipt, a bundle, a certificate, evidence, an alarm, or a whole log."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_OK, EXIT_USAGE, fail, told
from heptad.cli.plain import plain
from heptad.cli.verify_export import judge_export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heptad.runtime.config import Cell
    from heptad.runtime.service_keys import ServiceKeys
    from heptad.transparency.checkpoint import Checkpoint, Finding
    from heptad.transparency.policy import Policy
    from heptad.verification import (
        BundleFile,
        BundleReport,
        CertificateFile,
        CertificateReport,
        EvidenceReport,
        Raised,
        ReceiptFile,
        ReceiptReport,
    )

_NOTHING_TO_JUDGE_BY: Final = (
    "say by what to judge: --policy for a receipt, --cell for evidence of misbehaviour and for a "
    "service's signature, or both"
)
_LOGS_BY_POLICY: Final = "a log is judged by --policy, and by nothing else"


def command(
    what: Annotated[
        str,
        typer.Argument(
            help="Receipt, bundle, export, certificate or alarm; - reads standard input. Or a log: "
            "its http(s) address, or a folder."
        ),
    ],
    *,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy file of the cell, from somebody else than its gateway."),
    ] = None,
    cell: Annotated[
        Path | None,
        typer.Option(
            help="cell.toml with the cell's public keys, to judge evidence, bundles and "
            "certificates by."
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Subject's id: is the certificate about this subject?"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a receipt, an alarm of an auditor, or a log: each step of the arithmetic, pass or fail.

    Of a log every entry and every tile is read and hashed, up to the cosigned root; of an export
    every file, every entry's commitment and every receipt.
    With --cell also the evidence of misbehaviour that the receipt may be of: who signed what twice;
    and of bundles and their events, that their service signed exactly them; and of a certificate
    of an erasure, that the ledger attested it, and what that does not prove.
    Ends with 0 if all of it is valid, 1 if it is not, 2 if it could not be judged: a file that is
    not there, or one to judge by that cannot be read.
    """
    if policy is None and cell is None:
        fail(_NOTHING_TO_JUDGE_BY, status=EXIT_USAGE, as_json=as_json)
    if "://" in what or Path(what).is_dir():
        if policy is None or cell is not None:
            fail(_LOGS_BY_POLICY, status=EXIT_USAGE, as_json=as_json)
        log_judgement = Judgement(as_json=as_json)
        log_judgement.judge_log(what, policy)
        log_judgement.end()
    if _is_archive(Path(what)):
        judge_export(Path(what), policy=policy, cell=cell, as_json=as_json)
    with told(as_json=as_json):
        data = sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes()
    judgement = Judgement(as_json=as_json, subject=subject)
    _judge_file(data, judgement, policy=policy, cell=cell)
    judgement.end()


def _is_archive(path: Path) -> bool:
    """Whether a file is a zip, which only an export is; importing what reads it takes longer."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _judge_file(
    data: bytes, judgement: "Judgement", *, policy: Path | None, cell: Path | None
) -> None:
    """What is no file of the kind that it means to be is invalid, and the command ends with 1."""
    from heptad.verification import (
        AlarmUnreadableError,
        CertificateUnreadableError,
        ReceiptUnreadableError,
    )

    kinds = {AlarmUnreadableError: "alarm", CertificateUnreadableError: "certificate"}
    try:
        _judge(data, judgement, policy=policy, cell=cell)
    except (AlarmUnreadableError, CertificateUnreadableError, ReceiptUnreadableError) as error:
        what = kinds.get(type(error), "receipt")
        _print_unreadable(str(error), as_json=judgement.as_json, what=what)
        raise typer.Exit(EXIT_FAILED) from None


def _judge(data: bytes, judgement: "Judgement", *, policy: Path | None, cell: Path | None) -> None:
    """Raises: ReceiptUnreadableError; AlarmUnreadableError; CertificateUnreadableError."""
    from heptad.verification import (
        BundleFile,
        CertificateFile,
        ReceiptFile,
        has_bundle,
        is_alarm,
        is_bundle_file,
        is_certificate_file,
        is_policy_change,
        parse_alarm,
    )

    if is_alarm(data):
        judgement.judge_alarm(parse_alarm(data), policy, cell)
        return
    if is_bundle_file(data):
        judgement.judge_bundle(BundleFile.parse(data), policy, cell)
        return
    if is_certificate_file(data):
        judgement.judge_certificate(CertificateFile.parse(data), policy, cell)
        return
    file = ReceiptFile.parse(data)
    if policy is not None:
        judgement.judge_receipt(file, policy)
    if has_bundle(file):
        judgement.judge_signed(file, cell)
    elif cell is not None and is_policy_change(file.entry):
        judgement.judge_policy_change(file, cell)
    elif cell is not None:
        judgement.judge_evidence(file, cell)


class Judgement:
    """What was judged so far, as lines for people and as members for programs."""

    def __init__(self, *, as_json: bool, subject: str | None = None) -> None:
        self.holds = True
        self._subject = subject
        self.as_json = as_json
        self._lines: list[str] = []
        self._members: dict[str, object] = {}
        self._steps: list[Finding] = []

    def judge_receipt(self, file: "ReceiptFile", policy: Path) -> None:
        """Is the entry in a log that the policy believes?"""
        from heptad.verification import examine_receipt_file

        judged_by, mark = self._read_policy(policy)
        report = examine_receipt_file(file, policy=judged_by, now_s=int(time.time()))
        self._take_receipt(report, judged_by, mark)

    def judge_bundle(self, file: "BundleFile", policy: Path | None, cell: Path | None) -> None:
        """Are exactly these entries in the log, and did their service sign them?"""
        from heptad.verification import examine_bundle_file

        if policy is None:
            reason = "a whole bundle is judged by --policy, and its service's signature by --cell"
            fail(reason, status=EXIT_USAGE, as_json=self.as_json)
        judged_by, mark = self._read_policy(policy)
        keys, lines = self._service_keys(cell)
        in_log, signed = examine_bundle_file(
            file, policy=judged_by, keys=keys, now_s=int(time.time())
        )
        self._take_receipt(in_log, judged_by, mark)
        self._take_signed(signed, lines)

    def judge_certificate(
        self, file: "CertificateFile", policy: Path | None, cell: Path | None
    ) -> None:
        """Did the ledger attest this erasure, of this subject, and does the log have it?"""
        from functools import partial

        from heptad.runtime.attestation import attestation_keys, attestation_keys_at
        from heptad.verification import examine_certificate_file

        if policy is None:
            reason = "a certificate is judged by --policy, and the ledger's signature by --cell"
            fail(reason, status=EXIT_USAGE, as_json=self.as_json)
        judged_by, mark = self._read_policy(policy)
        keys = None
        lines = ["", "ledger   signature NOT judged: that needs --cell cell.toml", ""]
        if cell is not None:
            known, cell_mark = self._cell(cell)
            self._members["cell_fingerprint"] = cell_mark
            lines = ["", f"cell     SHA-256 {cell_mark} of {known.origin}", ""]
            with told(as_json=self.as_json):
                attestation_keys(known)
            keys = partial(attestation_keys_at, known)
        report = examine_certificate_file(
            file,
            policy=judged_by,
            keys=keys,
            now_s=int(time.time()),
            subject_id=self._subject,
        )
        self._take_receipt(report.in_log, judged_by, mark)
        self._lines += lines
        self._take_certificate(file, report, is_attested=keys is not None)

    def judge_signed(self, file: "ReceiptFile", cell: Path | None) -> None:
        """Did a service sign this event, or this bundle?"""
        from heptad.verification import examine_signed

        keys, lines = self._service_keys(cell)
        self._take_signed(examine_signed(file, keys=keys), lines)

    def judge_evidence(self, file: "ReceiptFile", cell: Path) -> None:
        """Is somebody proven guilty? Of a receipt that is judged already it may just be silent."""
        from heptad.runtime.group import agreed_cell
        from heptad.verification import examine_evidence, is_evidence

        known, mark = self._cell(cell)
        judged_by = agreed_cell(known)
        if self._steps and not is_evidence(file.entry):
            return
        report = examine_evidence(file.entry, cell=judged_by)
        self._members |= evidence_facts(report, cell_fingerprint=mark)
        self._lines += ["", f"cell     SHA-256 {mark} of {judged_by.origin}", ""]
        self._take(report.findings)

    def judge_policy_change(self, file: "ReceiptFile", cell: Path) -> None:
        """Is this the file that the log went by from there on?"""
        from heptad.verification import examine_policy_change

        known, mark = self._cell(cell)
        self._lines += ["", f"cell     SHA-256 {mark} of {known.origin}", ""]
        self._take([examine_policy_change(file.entry, cell_sha256=bytes.fromhex(mark))])

    def judge_alarm(self, raised: "Raised", policy: Path | None, cell: Path | None) -> None:
        """Is the log, or somebody behind it, as wrong as an auditor says?"""
        from heptad.runtime.group import agreed_cell
        from heptad.runtime.service_keys import service_keys
        from heptad.verification import examine_alarm

        if policy is None:
            reason = "an alarm is judged by --policy"
            fail(reason, status=EXIT_USAGE, as_json=self.as_json)
        judged_by, mark = self._read_policy(policy)
        agreed = keys = None
        if cell is not None:
            known = self._cell(cell)[0]
            with told(as_json=self.as_json):
                agreed, keys = agreed_cell(known), service_keys(known)
        report = examine_alarm(
            raised, policy=judged_by, now_s=int(time.time()), cell=agreed, keys=keys
        )
        said = {"kind": str(raised.alarm), "severity": raised.alarm.severity}
        self._members |= {"policy_fingerprint": mark, "alarm": {**said, "detail": raised.detail}}
        self._lines += [
            *policy_lines(judged_by, mark),
            f"alarm    {raised.alarm} ({raised.alarm.severity}): {raised.detail}",
            f"seen     in {raised.source}, at {raised.seen_at_s}",
            "",
        ]
        self._take(report.findings)

    def judge_log(self, where: str, policy: Path) -> None:
        """Is the log there what its checkpoint says, and has a quorum cosigned that?"""
        from heptad.crypto.signatures import verify
        from heptad.transparency.checkpoint import Finding, TimeWindow, examine_checkpoint
        from heptad.transparency.errors import FormatError
        from heptad.transparency.tiles import CHECKPOINT_PATH
        from heptad.verification import (
            CLOCK_BOUND_S,
            LogInvalidError,
            SourceUnreadableError,
            open_source,
            verify_log,
        )

        judged_by, mark = self._read_policy(policy)
        now_s = int(time.time())
        try:
            with open_source(where) as source:
                self._members |= {"policy_fingerprint": mark, "log": source.name}
                self._lines += [f"log      {source.name}", *policy_lines(judged_by, mark), ""]
                note = source.read(CHECKPOINT_PATH)
                if note is None:
                    raise LogInvalidError("the log serves no checkpoint")
                window = TimeWindow.until(now_s, bound_s=CLOCK_BOUND_S)
                examined = examine_checkpoint(note, policy=judged_by, verify=verify, window=window)
                self._members |= checkpoint_facts(examined.checkpoint)
                self._take(examined.findings)
                if not self.holds:
                    return
                verified = verify_log(source.read, policy=judged_by, now_s=now_s, note=note)
        except SourceUnreadableError as error:
            fail(str(error), status=EXIT_USAGE, as_json=self.as_json)
        except (LogInvalidError, FormatError) as error:
            self._take([Finding("log", holds=False, detail=str(error))])
            return
        size, root = verified.checkpoint.size, verified.checkpoint.root.hex()
        detail = f"{size} in {verified.bundles} bundles, {verified.tiles} tiles, root {root}"
        self._take([Finding("entries", holds=True, detail=detail)])

    def end(self) -> None:
        """Say all of it, and end with 0 or 1."""
        self._print()
        raise typer.Exit(EXIT_OK if self.holds else EXIT_FAILED)

    def _read_policy(self, policy: Path) -> "tuple[Policy, str]":
        """The policy and its fingerprint."""
        from heptad.transparency.errors import FormatError
        from heptad.transparency.policy import Policy, fingerprint

        with told(as_json=self.as_json):
            policy_file = policy.read_bytes()
        try:
            return Policy.parse(policy_file), fingerprint(policy_file)
        except FormatError as error:
            fail(f"{policy} is no policy: {error}", status=EXIT_USAGE, as_json=self.as_json)

    def _print(self) -> None:
        if self.as_json:
            steps = [
                {"step": finding.subject, "holds": finding.holds, "detail": finding.detail}
                for finding in self._steps
            ]
            print(json.dumps({"valid": self.holds, **self._members, "steps": steps}))
        else:
            verdict = "VALID" if self.holds else "INVALID"
            lines = map(plain, self._lines)
            print("\n".join([*lines, "", verdict]).lstrip("\n"))

    def _cell(self, path: Path) -> "tuple[Cell, str]":
        """The cell in a file, and the file's SHA-256."""
        from hashlib import sha256

        from heptad.runtime.config import Cell
        from heptad.runtime.config.decode import read

        with told(as_json=self.as_json):
            return read(Cell, path), sha256(path.read_bytes()).hexdigest()

    def _service_keys(self, path: Path | None) -> "tuple[ServiceKeys | None, list[str]]":
        """The keys to judge a service's signature by, and the lines that say whose they are."""
        from heptad.runtime.service_keys import service_keys

        if path is None:
            self._members["service_signature"] = "not judged"
            return None, ["", "service  signature NOT judged: that needs --cell cell.toml", ""]
        cell, mark = self._cell(path)
        self._members["cell_fingerprint"] = mark
        with told(as_json=self.as_json):
            return service_keys(cell), ["", f"cell     SHA-256 {mark} of {cell.origin}", ""]

    def _take_receipt(self, report: "ReceiptReport", judged_by: "Policy", mark: str) -> None:
        self._members |= facts(report, policy_fingerprint=mark)
        self._lines += heading(report, judged_by, policy_fingerprint=mark)
        self._take(report.findings)

    def _take_signed(self, report: "BundleReport", lines: list[str]) -> None:
        if report.statement is not None:
            self._members["bundle"] = {
                "request_id": report.statement.request_id,
                "service": report.statement.iss,
                "count": report.statement.count,
            }
        self._lines += lines
        self._take(report.findings)

    def _take_certificate(
        self, file: "CertificateFile", report: "CertificateReport", *, is_attested: bool
    ) -> None:
        from heptad.cli.certificate_lines import certificate_lines
        from heptad.verification import DOES_NOT_PROVE, PROVES

        self._take(report.findings)
        self._members |= {
            "attestation": "judged" if is_attested else "not judged",
            "subject": "not judged" if self._subject is None else "judged",
            "certificate": dict(file.core),
        }
        if self._subject is None:
            self._lines.append("whom it is about was NOT judged: that needs --subject ID")
        if report.certificate is not None:
            self._lines += ["", *certificate_lines(report.certificate)]
        if self.holds and is_attested:
            self._members["does_not_prove"] = list(DOES_NOT_PROVE)
            self._lines += ["", "proves", *(f"  - {line}" for line in PROVES)]
            self._lines += ["does not prove", *(f"  - {line}" for line in DOES_NOT_PROVE)]

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
        **checkpoint_facts(report.checkpoint),
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


def checkpoint_facts(checkpoint: "Checkpoint") -> dict[str, object]:
    """What a checkpoint says, as JSON."""
    return {
        "checkpoint": {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
        }
    }


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
        *policy_lines(policy, policy_fingerprint),
        f"entry    index {report.leaf_index} of {report.checkpoint.origin}, "
        f"{report.checkpoint.size} entries",
        "",
    ]


def policy_lines(policy: "Policy", policy_fingerprint: str) -> list[str]:
    """What is judged by, for people."""
    names = {log.key.name for log in policy.logs}
    keys = f" with {len(policy.logs)} keys" if len(policy.logs) > len(names) else ""
    return [
        f"policy   SHA-256 {policy_fingerprint}",
        f"         {len(names)} log{keys}, {len(policy.witnesses)} witnesses, "
        f"quorum {policy.quorum}; compare it with what the cell's operators publish",
    ]


def _print_unreadable(reason: str, *, as_json: bool, what: str) -> None:
    if as_json:
        print(json.dumps({"valid": False, "reason": reason}))
    else:
        print(f"FAILED  {plain(what)}: {plain(reason)}\n\nINVALID")
