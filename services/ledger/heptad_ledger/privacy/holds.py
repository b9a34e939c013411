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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Lock
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


SUBJECTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class HoldHistory:
    """A subject's holds, those that were set first first, and what was before."""

    holds: tuple[Hold, ...] = ()

    orders_from_ms: int = 0
    """An order counts if it was signed at this time or later: behind the last hold that was set,
    lifted since or not; 0 if none ever was. (A record of access has whole seconds.)"""


@dataclass(frozen=True, slots=True)
class _Read:
    """What the first `rows` of a subject's records say; `names` are those that were met."""

    rows: int = 0
    holds: tuple[Hold, ...] = ()
    orders_from_ms: int = 0
    names: frozenset[str] = frozenset()


class HoldBook:
    """Reads holds, and remembers of the subjects asked about last how far it has read.

    To read an entry costs some 50 to 150 µs, most of it to find it in its batch, so a subject with
    many entries could otherwise occupy the ledger by asking for its erasure again and again. Any
    thread may ask. What is remembered is dropped with the subject: `forget`.
    """

    def __init__(self, *, subjects_max: int = SUBJECTS_MAX) -> None:
        self._subjects_max = subjects_max
        self._known: dict[str, _Read] = {}
        self._lock = Lock()

    def history(
        self,
        snapshot: Snapshot,
        *,
        subject_id: str,
        slot_key: bytes,
        origin: str,
        keys: Mapping[str, PublicKey],
    ) -> HoldHistory:
        """What the subject's records say of holds.

        `slot_key` has 32 bytes; `keys` are the ledger's attestation keys by their `kid`, the same
        at each call.
        """
        read = self._known.get(subject_id, _Read())
        for record in _records(snapshot, slot_key=slot_key, keys=keys, from_row=read.rows):
            read = replace(read, rows=read.rows + 1)
            if record is None or (record.subject_id, record.origin) != (subject_id, origin):
                continue
            if record.request_id not in read.names:
                read = _with(read, record)
        with self._lock:
            self._known.pop(subject_id, None)
            self._known[subject_id] = read
            while len(self._known) > self._subjects_max:
                del self._known[next(iter(self._known))]
        return HoldHistory(read.holds, read.orders_from_ms)

    def forget(self, subject_ids: Iterable[str]) -> None:
        """Remember nothing of these, who are erased."""
        with self._lock:
            for subject_id in subject_ids:
                self._known.pop(subject_id, None)


def _with(read: _Read, record: AccessRecord) -> _Read:
    """With one more record of access, which counts if it sets or lifts a hold."""
    read = replace(read, names=read.names | {record.request_id})
    ground = _ground(record.ground)
    if ground is None:
        return read
    others = tuple(hold for hold in read.holds if hold.ground is not ground)
    if record.action == LIFT_HOLD:
        return replace(read, holds=others)
    if record.action != SET_HOLD:
        return read
    from_ms = max(read.orders_from_ms, (record.time_s + 1) * 1_000)
    is_new = len(others) == len(read.holds)
    holds = (*others, Hold(ground, record.time_s * 1_000)) if is_new else read.holds
    return replace(read, holds=holds, orders_from_ms=from_ms)


def _records(
    snapshot: Snapshot, *, slot_key: bytes, keys: Mapping[str, PublicKey], from_row: int
) -> Iterator[AccessRecord | None]:
    """For each of the subject's rows, ascending: a record of access that the ledger has signed, or
    None for anything else."""
    for index in entries_of(snapshot, slot_key=slot_key, from_row=from_row):
        entry = snapshot.entry(index)
        [(kind, _)] = entry_facts([entry])
        stored = snapshot.sealed(index) if kind == Kind.ACCESS else None
        if stored is None:
            yield None
            continue
        try:
            opened = open_stored(stored, entry=entry, entry_index=index, slot_key=slot_key)
            signed = parse_access(opened.payload)
            key = keys.get(signed.kid)
            if key is not None:
                verify_access(signed, key)
            yield signed.record if key is not None else None
        except (Problem, SealBrokenError):
            yield None


def _ground(text: str) -> RefusalGround | None:
    return next((ground for ground in HOLD_GROUNDS if ground.value == text), None)
