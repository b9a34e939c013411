"""Does this certificate prove that somebody's data were destroyed? Every step, pass or fail.

Proved is what the ledger attested (by its key in `cell.toml`), that the log has it (by the policy),
and that it answers this request and is about this subject (by salt, request id and subject id).
Not proved, by anything, is that the ledger was honest when it attested: `DOES_NOT_PROVE` says so,
and whoever shows a person that a certificate is valid shows that with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.erasures import (
    Attested,
    certificate_claims,
    parse_certificate,
    parse_order,
    verify_attested,
)
from heptad.crypto.jwk import PublicKey
from heptad.model import base64url
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.erasure import (
    ErasureCertificate,
    ErasureOrder,
    request_digest,
    subject_pseudonym,
)
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint, Finding
from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.policy import Policy
from heptad.verification.certificate_file import CertificateFile
from heptad.verification.errors import ReceiptRefusedError
from heptad.verification.receipt_file import ReceiptFile
from heptad.verification.receipts import ReceiptReport, examine_receipt_file
from heptad.wire.convert.entry import decode_entry

AttestationKeys = Callable[[int], Mapping[str, PublicKey]]
"""The ledger's attestation keys by key id, as they were at a time in Unix ms:
`heptad.runtime.attestation`. A key that was stolen after its end attests nothing."""

PROVES: Final = (
    "the ledger attested what is said above, under its own key",
    "order and certificate are in a log that enough of the cell's replicas have cosigned, so the "
    "ledger can neither deny them nor say something else to somebody else",
)
DOES_NOT_PROVE: Final = (
    "that the ledger did what it attests: erasure is proved for a ledger that was honest then",
    "that no copy exists which the ledger does not know of, nor anything about data elsewhere",
    "more of the place of the root key than `caveat` says",
    "what replicas and backups hold before the times that are given for them",
)


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """What was found; `certificate` is None if it cannot be read.

    `in_log` is the receipt of its entry; `findings` are all others, in the order of the proof.
    """

    in_log: ReceiptReport
    findings: tuple[Finding, ...]
    certificate: ErasureCertificate | None

    @property
    def holds(self) -> bool:
        """Whether every finding holds."""
        return self.in_log.holds and all(finding.holds for finding in self.findings)

    def require(self) -> None:
        """Do nothing if it holds. Raises: ReceiptRefusedError, with the first failure."""
        self.in_log.require()
        for finding in self.findings:
            if not finding.holds:
                raise ReceiptRefusedError(f"{finding.subject}: {finding.detail}")


def examine_certificate_file(
    file: CertificateFile,
    *,
    policy: Policy,
    keys: AttestationKeys | None,
    now_s: int,
    subject_id: str | None = None,
) -> CertificateReport:
    """Do all the steps and say what came out; never refuses.

    Without keys all is judged but the ledger's signatures; without the subject's id, all but whom
    the certificate is about. `now_s` is the verifier's clock, seconds since 1970.
    """
    receipt = ReceiptFile(file.entry, file.receipt)
    in_log = examine_receipt_file(receipt, policy=policy, now_s=now_s)
    findings = [_examine_entry(file)]
    try:
        attested = parse_certificate(file.signature)
    except Problem as problem:
        broken = Finding("certificate", holds=False, detail=problem.detail)
        return CertificateReport(in_log, (*findings, broken), None)
    certificate = attested.statement
    findings += [
        _examine_core(file, certificate, in_log.checkpoint),
        *_signature("attestation", attested, keys, entered_ms=_time_of(in_log)),
        *_examine_order(file, certificate, in_log, keys),
        _examine_request(file, certificate),
    ]
    if subject_id is not None:
        findings.append(_examine_subject(file, certificate, subject_id))
    return CertificateReport(in_log, tuple(findings), certificate)


def _examine_entry(file: CertificateFile) -> Finding:
    """The log's entry is a certificate, and its statement the very JWS."""
    subject = "entry states"
    try:
        entry = decode_entry(file.entry)
    except MalformedError as error:
        return Finding(subject, holds=False, detail=str(error))
    if entry.kind is not Kind.ERASED:
        return Finding(subject, holds=False, detail=f"a {entry.kind.name}, not an ERASED")
    if entry.statement != file.signature:
        return Finding(subject, holds=False, detail="the entry states another certificate")
    detail = f"exactly the certificate: {len(file.signature)} bytes"
    return Finding(subject, holds=True, detail=detail)


def _examine_core(
    file: CertificateFile, certificate: ErasureCertificate, checkpoint: Checkpoint
) -> Finding:
    """What is shown is what was signed, for the cell whose log this is."""
    shown, signed = file.core, certificate_claims(certificate)
    # As text: to Python 1, 1.0 and true are equal.
    if strict_json.encode(shown) != strict_json.encode(signed):
        detail = "what `core` shows is not what was signed"
        return Finding("core", holds=False, detail=detail)
    if certificate.origin != checkpoint.origin:
        detail = f"a certificate of {certificate.origin} in the log of {checkpoint.origin}"
        return Finding("core", holds=False, detail=detail)
    detail = (
        f"slot {certificate.slot}, ground {certificate.ground} ({certificate.ground.article}), "
        f"by {certificate.ordered_by}; root key {certificate.epoch_old} destroyed, "
        f"{certificate.ciphertexts} ciphertexts and {certificate.index_rows} rows deleted"
    )
    return Finding("core", holds=True, detail=detail)


def _signature(
    subject: str,
    attested: Attested[ErasureCertificate] | Attested[ErasureOrder],
    keys: AttestationKeys | None,
    *,
    entered_ms: int,
) -> list[Finding]:
    """By a key of the time at which, as the entry says, it came into the log."""
    if keys is None:
        return []
    try:
        if isinstance(attested.statement, ErasureOrder):
            verify_attested(attested, keys(entered_ms))
        else:
            verify_attested(attested, keys(entered_ms))
    except Problem as problem:
        return [Finding(subject, holds=False, detail=problem.detail)]
    return [Finding(subject, holds=True, detail=f"signed by the ledger's key {attested.kid}")]


def _examine_order(
    file: CertificateFile,
    certificate: ErasureCertificate,
    in_log: ReceiptReport,
    keys: AttestationKeys | None,
) -> list[Finding]:
    """The log has the order in front of the certificate, and it orders exactly this."""
    placed = _examine_place(file, certificate, in_log)
    try:
        entry = decode_entry(file.order_entry)
        if entry.kind is not Kind.ERASURE_ORDERED:
            detail = f"a {entry.kind.name}, not an ERASURE_ORDERED"
            return [placed, Finding("order", holds=False, detail=detail)]
        attested = parse_order(entry.statement)
    except (MalformedError, Problem) as error:
        detail = error.detail if isinstance(error, Problem) else str(error)
        return [placed, Finding("order", holds=False, detail=detail)]
    if attested.statement != _order_of(certificate):
        detail = "the order is another one than the certificate says"
        return [placed, Finding("order", holds=False, detail=detail)]
    agrees = Finding("order", holds=True, detail="orders what the certificate says was done")
    signed = _signature("order signed", attested, keys, entered_ms=entry.time_ms)
    return [placed, agrees, *signed]


def _time_of(in_log: ReceiptReport) -> int:
    return in_log.entry.time_ms if in_log.entry is not None else 0


def _examine_place(
    file: CertificateFile, certificate: ErasureCertificate, in_log: ReceiptReport
) -> Finding:
    checkpoint, subject = in_log.checkpoint, "order in log"
    if certificate.order_index >= in_log.leaf_index:
        detail = f"index {certificate.order_index} is not before {in_log.leaf_index}"
        return Finding(subject, holds=False, detail=detail)
    try:
        verify_inclusion(
            leaf_index=certificate.order_index,
            tree_size=checkpoint.size,
            leaf_hash=leaf_hash(file.order_entry),
            proof=file.order_inclusion,
            root_hash=checkpoint.root,
        )
    except ProofInvalidError as error:
        return Finding(subject, holds=False, detail=str(error))
    detail = f"index {certificate.order_index}: leads to the same checkpoint's root"
    return Finding(subject, holds=True, detail=detail)


def _order_of(certificate: ErasureCertificate) -> ErasureOrder:
    return ErasureOrder(
        origin=certificate.origin,
        slot=certificate.slot,
        ground=certificate.ground,
        ordered_by=certificate.ordered_by,
        request_digest=certificate.request_digest,
        ordered_at_ms=certificate.ordered_at_ms,
    )


def _examine_request(file: CertificateFile, certificate: ErasureCertificate) -> Finding:
    request_hash = base64url.decode(file.request_id)
    computed = request_digest(salt=file.salt, request_hash=request_hash)
    if computed != certificate.request_digest:
        detail = f"it answers another request than {file.request_id}"
        return Finding("request", holds=False, detail=detail)
    return Finding("request", holds=True, detail=f"it answers {file.request_id}")


def _examine_subject(
    file: CertificateFile, certificate: ErasureCertificate, subject_id: str
) -> Finding:
    is_ascii = subject_id.isascii()
    computed = subject_pseudonym(salt=file.salt, subject_id=subject_id) if is_ascii else b""
    if computed != certificate.subject_pseudonym:
        return Finding("subject", holds=False, detail="it is about somebody else")
    return Finding("subject", holds=True, detail=f"it is about {subject_id}")
