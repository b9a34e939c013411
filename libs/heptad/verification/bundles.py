"""Did this service sign this event, or exactly these entries of the log? Every step, pass or fail.

The leaves are made again from the public entries (docs/spec/bundles.md), so nothing that a
validator adds takes part; the service's key comes from `cell.toml`, which the caller has from
elsewhere. Of an event alone a path through the signed tree is enough; of a whole bundle all leaves
are there, and their place in the log is proved as one range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heptad.crypto.bundles import (
    ServiceKey,
    SignedBundle,
    bundle_root,
    parse_statement,
    verify_statement,
)
from heptad.model.bundles import leaves_of_entries
from heptad.model.canonical import DIGEST_BYTES, MalformedError
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import BundleMembership
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint, Finding
from heptad.transparency.errors import ProofInvalidError
from heptad.transparency.merkle import (
    CompactRange,
    inclusion_steps,
    leaf_hash,
    leaf_hashes,
    verify_consistency,
)
from heptad.transparency.policy import Policy
from heptad.transparency.receipt import Receipt
from heptad.verification.bundle_file import BundleFile
from heptad.verification.errors import ReceiptRefusedError
from heptad.verification.receipt_file import ReceiptFile
from heptad.verification.receipts import ReceiptReport, examine_receipt_file
from heptad.wire.convert.entry import decode_entry, encode_entry

Keys = Mapping[str, Mapping[str, ServiceKey]]
"""Keys of services by service and key id: `heptad.runtime.service_keys`."""


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What was found, in the order of the arithmetic; `statement` is None if it cannot be read."""

    findings: tuple[Finding, ...]
    statement: SignedBundle | None

    @property
    def holds(self) -> bool:
        """Whether every finding holds."""
        return all(finding.holds for finding in self.findings)

    def require(self) -> None:
        """Do nothing if it holds. Raises: ReceiptRefusedError, with the first failure."""
        for finding in self.findings:
            if not finding.holds:
                raise ReceiptRefusedError(f"{finding.subject}: {finding.detail}")


def has_bundle(file: ReceiptFile) -> bool:
    """Whether a receipt is of a bundle's own entry or of an event."""
    try:
        return decode_entry(file.entry).kind in (Kind.BUNDLE, Kind.EVENT)
    except MalformedError:
        return False


def examine_signed(file: ReceiptFile, *, keys: Keys | None) -> BundleReport:
    """Did a service of the cell sign what this receipt is of: a bundle's own entry, or an event?

    Without keys all is judged but the signature. That the entry is in the log is judged apart, by a
    policy. Never refuses.
    """
    if file.bundle is None:
        entry, finding = _read(file.entry, Kind.BUNDLE, "bundle")
        return _statement_report(entry, finding, keys)
    return _examine_event(file, file.bundle, keys)


def examine_bundle_file(
    file: BundleFile, *, policy: Policy, keys: Keys | None, now_s: int
) -> tuple[ReceiptReport, BundleReport]:
    """Are exactly these entries in a log that the policy believes, and did their service sign them?

    Without keys all is judged but the signature. `now_s` is the verifier's clock, seconds since
    1970. Never refuses.
    """
    own = ReceiptFile(file.entry, file.receipt)
    in_log = examine_receipt_file(own, policy=policy, now_s=now_s)
    entry, stated = _examine_own(file.entry, keys)
    together = examine_range(file, in_log.checkpoint)
    findings = (*stated.findings, together, *_behind(entry, stated, file.events))
    return in_log, BundleReport(findings, stated.statement)


def examine_entries(data: bytes, events: Sequence[bytes], *, keys: Keys | None) -> BundleReport:
    """Did a service sign exactly these entries, a bundle's own and its events? Never refuses."""
    entry, own = _examine_own(data, keys)
    return BundleReport((*own.findings, *_behind(entry, own, events)), own.statement)


def _examine_own(data: bytes, keys: Keys | None) -> tuple[Entry | None, BundleReport]:
    entry, finding = _read(data, Kind.BUNDLE, "bundle")
    return entry, _statement_report(entry, finding, keys)


def _behind(head: Entry | None, own: BundleReport, events: Sequence[bytes]) -> list[Finding]:
    if head is None or own.statement is None:
        return []
    return _examine_events(events, head, own.statement)


def _statement_report(entry: Entry | None, finding: Finding, keys: Keys | None) -> BundleReport:
    """The findings on a bundle's own entry: what it states, and who has signed that."""
    if entry is None:
        return BundleReport((finding,), None)
    try:
        statement = parse_statement(entry.statement)
    except Problem as problem:
        broken = Finding("statement", holds=False, detail=problem.detail)
        return BundleReport((finding, broken), None)
    detail = f"{statement.count} events of {statement.iss!r}, root {statement.root.hex()}"
    if entry.service != statement.iss:
        detail = f"{detail}, but the entry says service {entry.service!r}"
    stated = Finding("statement", holds=entry.service == statement.iss, detail=detail)
    findings = [finding, stated]
    if keys is not None:
        findings.append(_examine_signature(statement, keys, entered_ms=entry.time_ms))
    return BundleReport(tuple(findings), statement)


def _examine_signature(statement: SignedBundle, keys: Keys, *, entered_ms: int) -> Finding:
    """By a key that the service had at the time; a retired one stays good for what it signed."""
    key = keys.get(statement.iss, {}).get(statement.kid)
    if key is None:
        detail = f"cell.toml has no key {statement.kid} of service {statement.iss!r}"
        return Finding("service signature", holds=False, detail=detail)
    try:
        verify_statement(statement, key.public)
        key.require_in_use(statement.iat)
        key.require_entered_in_time(entered_ms)
    except Problem as problem:
        return Finding("service signature", holds=False, detail=problem.detail)
    detail = f"{statement.algorithm.value} by key {statement.kid} of {statement.iss!r}"
    return Finding("service signature", holds=True, detail=detail)


def _examine_event(
    file: ReceiptFile, membership: BundleMembership, keys: Keys | None
) -> BundleReport:
    event, event_finding = _read(file.entry, Kind.EVENT, "event")
    head, head_finding = _read(membership.entry, Kind.BUNDLE, "bundle")
    report = _statement_report(head, head_finding, keys)
    findings = [event_finding, *report.findings]
    if event is not None and head is not None and report.statement is not None:
        place = file.receipt.leaf_index - membership.index - 1
        findings.append(_examine_place(event, head, report.statement, place))
        findings += _fold(event, report.statement, place, membership.path)
    return BundleReport(tuple(findings), report.statement)


def _examine_place(event: Entry, head: Entry, statement: SignedBundle, place: int) -> Finding:
    detail = f"event {place} of 0..{statement.count - 1}"
    if not 0 <= place < statement.count:
        return Finding("place", holds=False, detail=f"{detail}: not one of this bundle")
    wrong = _strange(event, head)
    return Finding("place", holds=not wrong, detail=f"{detail}{wrong}")


def _fold(
    event: Entry, statement: SignedBundle, place: int, path: Sequence[bytes]
) -> list[Finding]:
    """The path from the event's leaf to the root that the service signed."""
    [leaf] = leaves_of_entries([event], service=event.service)
    hashed = leaf_hash(leaf)
    detail = f"SHA-256(0x00, leaf of {len(leaf)} bytes) = {hashed.hex()}"
    findings = [Finding("event leaf", holds=True, detail=detail)]
    try:
        steps = inclusion_steps(
            leaf_index=place, tree_size=statement.count, leaf_hash=hashed, proof=path
        )
    except ProofInvalidError as error:
        return [*findings, Finding("signed root", holds=False, detail=str(error))]
    for count, step in enumerate(steps, start=1):
        side = "left" if step.sibling_is_left else "right"
        text = f"with {step.sibling.hex()} on the {side} = {step.result.hex()}"
        findings.append(Finding(f"event step {count}", holds=True, detail=text))
    computed = steps[-1].result if steps else hashed
    return [*findings, _signed_root(computed, statement)]


def _examine_events(events: Sequence[bytes], head: Entry, statement: SignedBundle) -> list[Finding]:
    """Every entry behind the bundle's own, and the root that they lead to."""
    if len(events) != statement.count:
        detail = f"{len(events)} entries, {statement.count} events were signed"
        return [Finding("events", holds=False, detail=detail)]
    read: list[Entry] = []
    for place, data in enumerate(events):
        event, finding = _read(data, Kind.EVENT, f"event {place}")
        if event is None:
            return [finding]
        if wrong := _strange(event, head):
            return [Finding(f"event {place}", holds=False, detail=f"the entry{wrong}")]
        read.append(event)
    root = bundle_root(leaves_of_entries(read, service=statement.iss))
    outcomes = [event.outcome for event in read]
    detail = (
        f"{len(read)} entries of kind EVENT and service {statement.iss!r}, "
        f"{outcomes.count(Outcome.DENIED)} of them refused acts"
    )
    return [Finding("events", holds=True, detail=detail), _signed_root(root, statement)]


def examine_range(file: BundleFile, checkpoint: Checkpoint) -> Finding:
    """The entries stand right behind the bundle's own, in the tree of the checkpoint."""
    start, end = file.receipt.leaf_index, file.receipt.leaf_index + 1 + len(file.events)
    where = f"entries {start}..{end - 1} of {checkpoint.size}"
    try:
        edge = _edge_before(file.receipt, file.entry, checkpoint)
        after = edge.extended(leaf_hashes((file.entry, *file.events)))
        verify_consistency(
            old_size=end,
            new_size=checkpoint.size,
            old_root=after.root(),
            new_root=checkpoint.root,
            proof=file.consistency,
        )
    except ProofInvalidError as error:
        return Finding("range in log", holds=False, detail=f"{where}: {error}")
    return Finding("range in log", holds=True, detail=f"{where}: lead to the checkpoint's root")


def _edge_before(receipt: Receipt, entry: bytes, checkpoint: Checkpoint) -> CompactRange:
    """The edge of the tree in front of an entry: the left siblings on its way up, one for each bit
    set in its index (RFC 9162, section 2.1.3.2). Raises: ProofInvalidError."""
    steps = inclusion_steps(
        leaf_index=receipt.leaf_index,
        tree_size=checkpoint.size,
        leaf_hash=leaf_hash(entry),
        proof=receipt.proof,
    )
    left = tuple(step.sibling for step in reversed(steps) if step.sibling_is_left)
    return CompactRange(receipt.leaf_index, left)


def _read(data: bytes, kind: Kind, name: str) -> tuple[Entry | None, Finding]:
    """An entry of that kind which spells nothing but what is judged here."""
    try:
        entry = decode_entry(data)
    except MalformedError as error:
        return None, Finding(name, holds=False, detail=str(error))
    if entry.kind is not kind:
        detail = f"an entry of kind {entry.kind.name}, not {kind.name}"
        return None, Finding(name, holds=False, detail=detail)
    if encode_entry(entry) != data:
        detail = "the entry's bytes hold more than its fields"
        return None, Finding(name, holds=False, detail=detail)
    if kind is Kind.EVENT and (len(entry.commitment) != DIGEST_BYTES or entry.statement):
        detail = "an event has a commitment and no statement"
        return None, Finding(name, holds=False, detail=detail)
    what = f"{entry.kind.name} of service {entry.service!r}, by validator-{entry.validator}"
    return entry, Finding(name, holds=True, detail=what)


def _strange(event: Entry, head: Entry) -> str:
    """What does not belong to the bundle in an event's entry, in words; empty if nothing."""
    if event.service != head.service:
        return f" says service {event.service!r}, its bundle's is {head.service!r}"
    if event.validator != head.validator:
        return f" is by validator-{event.validator}, its bundle by validator-{head.validator}"
    return ""


def _signed_root(computed: bytes, statement: SignedBundle) -> Finding:
    if computed == statement.root:
        return Finding("signed root", holds=True, detail=f"{computed.hex()}: equal to the signed")
    detail = f"{computed.hex()}, but {statement.root.hex()} was signed"
    return Finding("signed root", holds=False, detail=detail)
