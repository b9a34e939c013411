"""What every honest entry keeps to, as far as one can tell from the log alone.

Only rules that really hold: replicas order batches without looking into them, and clocks of two
validators differ, so nothing is said about the times of requests. What follows from a block alone
(evidence) has exactly one form, and block times never go back.
"""

from collections.abc import Callable
from typing import Final

from heptad.consensus.evidence import decode_evidence
from heptad.crypto.bundles import parse_statement
from heptad.crypto.erasures import parse_certificate, parse_order, parse_refusal
from heptad.model.canonical import DIGEST_BYTES, MalformedError
from heptad.model.control_entry import control_entry
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.problems import Problem
from heptad.wire.convert.entry_facts import decode_duplicate, decode_policy_change

_COMMITTING = frozenset(
    {Kind.REQUEST, Kind.SUBJECT_REGISTERED, Kind.EVENT, Kind.KEY_ADDED, Kind.KEY_REVOKED}
    | {Kind.ACCESS, Kind.EXPORT}
)
_ERASURES: Final[dict[Kind, Callable[[bytes], object]]] = {
    Kind.ERASURE_ORDERED: parse_order,
    Kind.ERASURE_REFUSED: parse_refusal,
    Kind.ERASED: parse_certificate,
}
_ANSWERING_NOBODY = frozenset({Kind.EVENT, Kind.ACCESS})
HONEST_BYTES_MAX: Final = 16 << 10
"""More than twice the longest entry that an honest validator or block makes: evidence, of 6 KiB. So
1,000 entries next to each other fit into the file of an alarm, or one of them is an alarm itself.
"""


def entry_fault(entry: Entry, *, data: bytes, index: int) -> str:
    """What is wrong with this entry at that index, read from `data`; empty if nothing is."""
    if len(data) > HONEST_BYTES_MAX:
        return f"an entry of {len(data)} bytes; no honest one has more than {HONEST_BYTES_MAX}"
    if entry.kind is Kind.MISBEHAVIOUR_EVIDENCE:
        return _evidence_fault(entry, data)
    if entry.validator < 1:
        return f"a {entry.kind.name} that no validator has admitted"
    if entry.kind in _COMMITTING:
        return _commitment_fault(entry)
    return _statement_fault(entry, index)


def pair_fault(before: Entry, entry: Entry) -> str:
    """What two pieces of evidence, in the log's order, contradict each other in; mostly nothing."""
    try:
        charges = [decode_evidence(each.statement).charge for each in (before, entry)]
    except MalformedError:
        return ""
    if charges[0] == charges[1]:
        return f"a second proof that {charges[0].name} signed two {charges[0].offence.name.lower()}"
    if entry.time_ms < before.time_ms:
        return f"of a block of {entry.time_ms} ms, after one of {before.time_ms} ms"
    return ""


def _evidence_fault(entry: Entry, data: bytes) -> str:
    if data != control_entry(entry.kind, time_ms=entry.time_ms, statement=entry.statement):
        return "evidence, but not the bytes that follow from a block"
    try:
        decode_evidence(entry.statement)
    except MalformedError as error:
        return f"evidence that cannot be read: {error}"
    return ""


def _statement_fault(entry: Entry, index: int) -> str:
    if entry.kind is Kind.DUPLICATE:
        return _duplicate_fault(entry, index)
    if entry.kind is Kind.BUNDLE:
        return _bundle_fault(entry)
    if entry.kind in _ERASURES:
        return _erasure_fault(entry, index)
    return _policy_change_fault(entry) if entry.kind is Kind.POLICY_CHANGE else ""


def _commitment_fault(entry: Entry) -> str:
    if len(entry.commitment) != DIGEST_BYTES:
        return f"a {entry.kind.name} that commits to nothing"
    if entry.outcome is Outcome.NONE and entry.kind not in _ANSWERING_NOBODY:
        return f"a {entry.kind.name} without an outcome"
    return ""


def _bundle_fault(entry: Entry) -> str:
    try:
        statement = parse_statement(entry.statement)
    except Problem as problem:
        return f"a BUNDLE whose statement cannot be read: {problem.detail}"
    if statement.iss == entry.service:
        return ""
    return f"a BUNDLE of {entry.service!r} whose statement is one of {statement.iss!r}"


def _erasure_fault(entry: Entry, index: int) -> str:
    """Who has signed it, only the cell's keys can tell (`heptad.verification.certificates`)."""
    try:
        _ERASURES[entry.kind](entry.statement)
        if entry.kind is Kind.ERASED:
            order_index = parse_certificate(entry.statement).statement.order_index
            if order_index >= index:
                return f"an ERASED at {index} whose order is at {order_index}"
    except Problem as problem:
        return f"an {entry.kind.name} whose statement cannot be read: {problem.detail}"
    return ""


def _duplicate_fault(entry: Entry, index: int) -> str:
    try:
        copy, first = decode_duplicate(entry.statement)
    except Problem:
        return "a DUPLICATE whose statement cannot be read"
    if first < copy < index:
        return ""
    return f"a DUPLICATE at {index} that calls {copy} a later copy of {first}"


def _policy_change_fault(entry: Entry) -> str:
    try:
        decode_policy_change(entry.statement)
    except Problem as problem:
        return f"a POLICY_CHANGE whose statement cannot be read: {problem.detail}"
    return ""
