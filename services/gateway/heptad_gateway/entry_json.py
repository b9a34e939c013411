"""An entry as JSON: the bytes that are the leaf, and what they say, for reading only."""

from heptad.model.canonical import MalformedError
from heptad.model.entry import Outcome
from heptad.transparency.notes import encode_base64
from heptad.wire.convert.entry import decode_entry


def entry_members(index: int, data: bytes) -> dict[str, object]:
    """The members of one entry. Whoever hashes it takes `entry`, never the others."""
    members: dict[str, object] = {"index": index, "entry": encode_base64(data)}
    try:
        entry = decode_entry(data)
    except MalformedError:
        # A newer version's entry is still a leaf: its bytes are there, its meaning is not known.
        return members
    members |= {
        "kind": entry.kind.name,
        "service": entry.service,
        "action": entry.action,
        "time_ms": entry.time_ms,
        "validator": entry.validator,
    }
    if entry.outcome is not Outcome.NONE:
        members["outcome"] = entry.outcome.name.lower()
    if entry.commitment:
        members["commitment"] = encode_base64(entry.commitment)
    if entry.statement:
        members["statement"] = encode_base64(entry.statement)
    return members
