"""Does this receipt prove its entry, under this policy? Every step, pass or fail.

Three things are proved, each by arithmetic that a person can do again: that the entry's bytes are
in the tree (leaf hash, folds, root), that the tree is one which enough replicas have cosigned (log
signature, cosignatures, quorum), and, for whoever holds payload and witness, that this entry is the
public half of that very request and says the same as its subject signed.

Nothing stops at the first failure: a person who looks at a bad receipt wants to see all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from heptad.crypto.accesses import parse_access
from heptad.crypto.requests import SignedRequest, parse_request
from heptad.crypto.sealing import WITNESS_BYTES, commitment
from heptad.crypto.signatures import verify
from heptad.model.bundles import split_private_half
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import BundleMembership
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.subjects import parse_subject_id
from heptad.transparency.checkpoint import Checkpoint, Finding, TimeWindow
from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.policy import Policy
from heptad.transparency.receipt import examine_receipt
from heptad.verification.errors import ReceiptRefusedError
from heptad.verification.receipt_file import ReceiptFile
from heptad.wire.convert.entry import decode_entry

CLOCK_BOUND_S: Final = 60
"""A cosignature may be this far ahead of the verifier's clock."""

_KINDS_OF_REQUESTS: Final = frozenset(
    {Kind.REQUEST, Kind.SUBJECT_REGISTERED, Kind.KEY_ADDED, Kind.KEY_REVOKED, Kind.EXPORT}
)


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """What was found, in the order of the arithmetic.

    `entry` is None if its bytes cannot be read, `request_id` is known only with the payload.
    `cosigned_at_s` has each good cosigner (by policy name) with its time, seconds since 1970.
    """

    findings: tuple[Finding, ...]
    checkpoint: Checkpoint
    leaf_index: int
    entry: Entry | None
    request_id: str | None
    cosigned_at_s: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether every finding holds: then, and only then, the receipt proves its entry."""
        return all(finding.holds for finding in self.findings)

    def require(self) -> None:
        """Do nothing if the receipt holds. Raises: ReceiptRefusedError, with the first failure."""
        for finding in self.findings:
            if not finding.holds:
                raise ReceiptRefusedError(f"{finding.subject}: {finding.detail}")


def verify_receipt_file(file: ReceiptFile, *, policy: Policy, now_s: int) -> ReceiptReport:
    """Prove that the file's entry is in a log that the policy believes, or raise.

    `now_s` is the verifier's clock, seconds since 1970: cosignatures from after it are not
    believed. Raises: ReceiptRefusedError.
    """
    report = examine_receipt_file(file, policy=policy, now_s=now_s)
    report.require()
    return report


def examine_receipt_file(file: ReceiptFile, *, policy: Policy, now_s: int) -> ReceiptReport:
    """Do all the arithmetic and say what came out at each step; never refuses."""
    entry, entry_finding = _read_entry(file.entry)
    proved = examine_receipt(
        file.entry,
        file.receipt,
        policy=policy,
        verify=verify,
        window=TimeWindow.until(now_s, bound_s=CLOCK_BOUND_S),
    )
    findings = [entry_finding]
    if file.receipt.extra:
        detail = f"{len(file.receipt.extra)} extra bytes that nobody signed; Heptad writes none"
        findings.append(Finding("extra", holds=False, detail=detail))
    findings += proved.findings
    if file.bundle is not None:
        findings.append(_examine_bundle(entry, file.bundle, proved.checkpoint))
    request_id = None
    if file.payload is not None and file.witness is not None:
        private, request_id = _examine_private(entry, file.payload, file.witness)
        findings += private
    return ReceiptReport(
        findings=tuple(findings),
        checkpoint=proved.checkpoint,
        leaf_index=file.receipt.leaf_index,
        entry=entry,
        request_id=request_id,
        cosigned_at_s=proved.cosigned_at_s,
    )


def examine_under(file: ReceiptFile, checkpoint: Checkpoint) -> tuple[Finding, ...]:
    """What is to be found about a receipt whose checkpoint was judged already; never refuses.

    For many receipts under one checkpoint, whose signatures would be verified again for each.
    """
    entry, entry_finding = _read_entry(file.entry)
    findings = [entry_finding, _examine_place(file, checkpoint)]
    if file.bundle is not None:
        findings.append(_examine_bundle(entry, file.bundle, checkpoint))
    if file.payload is not None and file.witness is not None:
        findings += _examine_private(entry, file.payload, file.witness)[0]
    return tuple(findings)


def _examine_place(file: ReceiptFile, checkpoint: Checkpoint) -> Finding:
    try:
        verify_inclusion(
            leaf_index=file.receipt.leaf_index,
            tree_size=checkpoint.size,
            leaf_hash=leaf_hash(file.entry),
            proof=file.receipt.proof,
            root_hash=checkpoint.root,
        )
    except ProofInvalidError as error:
        return Finding("root", holds=False, detail=str(error))
    detail = f"index {file.receipt.leaf_index} of {checkpoint.size}: leads to the checkpoint's root"
    return Finding("root", holds=True, detail=detail)


def _examine_bundle(
    entry: Entry | None, bundle: BundleMembership, checkpoint: Checkpoint
) -> Finding:
    """The bundle's own entry, which an event's receipt brings along, is in the same tree.

    What it says of the event is judged in `heptad.verification.bundles`.
    """
    if entry is not None and entry.kind is not Kind.EVENT:
        detail = f"only an event has a bundle, not an entry of kind {entry.kind.name}"
        return Finding("bundle in log", holds=False, detail=detail)
    try:
        verify_inclusion(
            leaf_index=bundle.index,
            tree_size=checkpoint.size,
            leaf_hash=leaf_hash(bundle.entry),
            proof=bundle.inclusion,
            root_hash=checkpoint.root,
        )
    except ProofInvalidError as error:
        return Finding("bundle in log", holds=False, detail=str(error))
    detail = f"index {bundle.index} of {checkpoint.size}: leads to the checkpoint's root"
    return Finding("bundle in log", holds=True, detail=detail)


def _read_entry(data: bytes) -> tuple[Entry | None, Finding]:
    try:
        entry = decode_entry(data)
    except MalformedError as error:
        return None, Finding("entry", holds=False, detail=str(error))
    return entry, Finding("entry", holds=True, detail=_in_words(entry))


def _in_words(entry: Entry) -> str:
    # A validator chooses `time_ms`: no more than a calendar can show may be believed of it.
    try:
        when = datetime.fromtimestamp(entry.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        when = f"{entry.time_ms} ms"
    if entry.kind is Kind.MISBEHAVIOUR_EVIDENCE:
        return f"{entry.kind.name}, in a block of {when}; who is proven guilty needs cell.toml"
    if entry.kind is Kind.EVENT:
        return (
            f"EVENT of service {entry.service!r}, action {entry.action!r}, outcome "
            f"{entry.outcome.name}, as it says at {when}; recorded by validator-{entry.validator}"
        )
    return (
        f"{entry.kind.name} of service {entry.service!r}, action {entry.action!r}, "
        f"outcome {entry.outcome.name}, admitted {when} by validator-{entry.validator}"
    )


def _examine_private(
    entry: Entry | None, payload: bytes, witness: bytes
) -> tuple[list[Finding], str | None]:
    """Hold payload and witness against the entry; also say which request the payload is."""
    if entry is None:
        detail = "the entry cannot be read, so nothing binds the payload to it"
        return [Finding("commitment", holds=False, detail=detail)], None
    findings = [_examine_commitment(entry, payload, witness)]
    if entry.kind is Kind.EVENT:
        return [*findings, _examine_subject(payload)], None
    if entry.kind is Kind.ACCESS:
        return [*findings, _examine_access(entry, payload)], None
    if entry.kind not in _KINDS_OF_REQUESTS:
        return findings, None
    try:
        request = parse_request(payload)
    except Problem as problem:
        detail = f"the payload is no signed request: {problem.detail}"
        return [*findings, Finding("request", holds=False, detail=detail)], None
    return [*findings, _examine_claims(entry, request)], request.request_id


def _examine_subject(half: bytes) -> Finding:
    """Whom an event is about: what its service committed to says so itself."""
    try:
        subject, payload = split_private_half(half)
        subject = parse_subject_id(subject)
    except ValueError:
        detail = "the private half does not begin with a subject's id and a line feed"
        return Finding("subject", holds=False, detail=detail)
    detail = f"the event is about {subject}; {len(payload)} bytes of payload"
    return Finding("subject", holds=True, detail=detail)


def _examine_access(entry: Entry, payload: bytes) -> Finding:
    """Who opened personal data, in the ledger's words; its signature needs the cell's keys."""
    try:
        said = parse_access(payload).record
    except Problem as problem:
        detail = f"the payload is no record of an access: {problem.detail}"
        return Finding("access", holds=False, detail=detail)
    detail = f"{said.action} by {said.role} {said.caller}, says {said.ledger}"
    if (entry.service, entry.action) != (OWN_SERVICE, said.action):
        detail = f"{detail}, but the entry says {entry.service!r}, {entry.action!r}"
        return Finding("access", holds=False, detail=detail)
    return Finding("access", holds=True, detail=detail)


def _examine_commitment(entry: Entry, payload: bytes, witness: bytes) -> Finding:
    if len(witness) != WITNESS_BYTES:
        detail = f"a witness has {WITNESS_BYTES} bytes, not {len(witness)}"
        return Finding("commitment", holds=False, detail=detail)
    computed = commitment(witness=witness, payload=payload)
    text = f"SHA-256(domain, witness, payload of {len(payload)} bytes) = {computed.hex()}"
    if computed == entry.commitment:
        return Finding("commitment", holds=True, detail=f"{text}: equal to the entry's")
    detail = f"{text}, the entry's is {entry.commitment.hex() or 'empty'}"
    return Finding("commitment", holds=False, detail=detail)


def _examine_claims(entry: Entry, request: SignedRequest) -> Finding:
    """The validator writes service and action into the entry; they must be those signed.

    A denied request's words stay private as far as the cell's policy does not know them: there,
    and only there, the entry may leave them out.
    """
    may_be_silent = entry.outcome is Outcome.DENIED
    detail = f"signed for service {request.svc!r}, action {request.act!r}"
    for said, signed in ((entry.service, request.svc), (entry.action, request.act)):
        if said != signed and not (may_be_silent and not said):
            detail = f"{detail}, but the entry says {entry.service!r}, {entry.action!r}"
            return Finding("request", holds=False, detail=detail)
    if entry.service and entry.action:
        return Finding("request", holds=True, detail=f"{detail}: as the entry says")
    return Finding("request", holds=True, detail=f"{detail}: denied, and left out of the entry")
