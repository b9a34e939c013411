"""Is this `cell.toml` the one that the log went by from an entry on?

Whoever is handed a new file is handed new keys. The log's own entry, at its place and under its
cosigned root, says which file the ledger went by: the bytes in hand either have that digest or not.
"""

from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Finding
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.entry_facts import decode_policy_change


def is_policy_change(entry: bytes) -> bool:
    """True if this is a readable entry of kind policy change."""
    try:
        return decode_entry(entry).kind is Kind.POLICY_CHANGE
    except MalformedError:
        return False


def examine_policy_change(entry: bytes, *, cell_sha256: bytes) -> Finding:
    """Does the entry, a policy change, name the file of this digest? Never refuses."""
    try:
        named, previous = decode_policy_change(decode_entry(entry).statement)
    except (MalformedError, Problem) as error:
        return Finding("cell file", holds=False, detail=str(error))
    detail = f"the entry names {named.hex()}, which followed {previous.hex()}"
    if named != cell_sha256:
        detail = f"{detail}; the file in hand is {cell_sha256.hex()}"
    return Finding("cell file", holds=named == cell_sha256, detail=detail)
