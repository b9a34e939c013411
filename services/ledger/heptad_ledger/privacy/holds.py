"""Holds: why a subject's data must be kept, whoever asks for their erasure.

An officer sets and lifts them, each time with a ground and a reason, and each time that is a sealed
record of access among the subject's own. Those records *are* the holds: whoever has to decide about
an erasure reads the subject's rows anyway, and finds what was set and not lifted. So no table says
who is on hold, nothing has to be kept in step, a ledger that is rebuilt from the log has the same
holds, and what a subject is told in its export is what the decision was made by.

A subject has at most one hold of each ground: to set it again changes nothing, to lift it ends it.
A validator could record an old record once more; a record counts once, by its name, where it came
first. What does not carry the ledger's signature for this very subject counts for nothing.

An order that a hold has overruled stays in the log, signed, for any validator to record again once
the hold is lifted. So an order counts only if it was signed after every hold that was ever set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from heptad.crypto.accesses import parse_access, verify_access
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.sealing import open_stored
from heptad.model.access import AccessRecord
from heptad.model.entry import Kind
from heptad.model.erasing import Hold
from heptad.model.erasure import RefusalGround
from heptad.model.problems import Problem
from heptad.wire.convert.entry_facts import entry_facts
from heptad_ledger.privacy.rows import entries_of
from heptad_ledger.store import Snapshot

SET_HOLD: Final = "hold.set"
LIFT_HOLD: Final = "hold.lifted"

HOLD_GROUNDS: Final = frozenset(RefusalGround) - {RefusalGround.NO_GROUND, RefusalGround.EXCESSIVE}
"""Grounds that can stand beforehand; the others answer one request."""


@dataclass(frozen=True, slots=True)
class HoldHistory:
    """A subject's holds, those that were set first first, and what was before."""

    holds: tuple[Hold, ...] = ()

    orders_from_ms: int = 0
    """An order counts if it was signed at this time or later: behind the last hold that was set,
    lifted since or not; 0 if none ever was. (A record of access has whole seconds.)"""


def hold_history(
    snapshot: Snapshot,
    *,
    subject_id: str,
    slot_key: bytes,
    origin: str,
    keys: Mapping[str, PublicKey],
) -> HoldHistory:
    """What the subject's records say of holds.

    `slot_key` has 32 bytes; `keys` are the ledger's attestation keys by their `kid`. Costs a look
    at each of the subject's entries.
    """
    holds: dict[RefusalGround, Hold] = {}
    names: set[str] = set()
    orders_from_ms = 0
    for record in _records(snapshot, slot_key=slot_key, keys=keys):
        is_this_subjects = record.subject_id == subject_id and record.origin == origin
        if not is_this_subjects or record.request_id in names:
            continue
        names.add(record.request_id)
        ground = _ground(record.ground)
        if ground is None:
            continue
        if record.action == SET_HOLD:
            holds.setdefault(ground, Hold(ground, record.time_s * 1_000))
            orders_from_ms = max(orders_from_ms, (record.time_s + 1) * 1_000)
        elif record.action == LIFT_HOLD:
            holds.pop(ground, None)
    return HoldHistory(tuple(holds.values()), orders_from_ms)


def _records(
    snapshot: Snapshot, *, slot_key: bytes, keys: Mapping[str, PublicKey]
) -> Iterator[AccessRecord]:
    """The subject's records of access that the ledger has signed, by ascending index."""
    for index in entries_of(snapshot, slot_key=slot_key):
        entry = snapshot.entry(index)
        [(kind, _)] = entry_facts([entry])
        stored = snapshot.sealed(index) if kind == Kind.ACCESS else None
        if stored is None:
            continue
        try:
            opened = open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
            signed = parse_access(opened.payload)
            key = keys.get(signed.kid)
            if key is not None:
                verify_access(signed, key)
                yield signed.record
        except (Problem, SealBrokenError):
            continue


def _ground(text: str) -> RefusalGround | None:
    return next((ground for ground in HOLD_GROUNDS if ground.value == text), None)
