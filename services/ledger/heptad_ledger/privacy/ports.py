"""What the doors of the privacy service need of the part that carries erasures out.

Officers' decisions do not pass through here: each is a sealed record of access in the log, with the
action `erasure.ordered`, `erasure.refused`, `hold.set` or `hold.lifted`. It takes effect where that
entry is applied, so that a ledger rebuilt from the log decides the same again. An erasure that an
officer orders has the handle of its record, unless the subject has asked before and nobody has
decided: then that request is decided, and keeps its handle.

Who is on hold, `heptad_ledger.privacy.holds.HoldBook` says, from the subject's records alone. A
table of holds by slot would tie the slot, which the order names, to the time of an officer's entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """An erasure as the ledger keeps it.

    `number` counts erasures from 1, in the order in which they came. `request_hash` has 32 bytes.
    `subject_id` is empty once nobody may read it any more. Times are Unix ms, indexes those of the
    log; None until the entry is applied.
    """

    number: int
    request_hash: bytes
    state: ErasureState
    ordered_by: OrderedBy
    ground: ErasureGround
    received_at_ms: int
    subject_id: str = field(default="", repr=False)
    order_index: int | None = None
    refusal_index: int | None = None
    refusal_ground: RefusalGround | None = None
    certificate_index: int | None = None


class Erasures(Protocol):
    """Erasures that were asked for. Reads of one snapshot each, in the event loop."""

    def find(self, request_hash: bytes) -> ErasureRow | None:
        """The erasure of that handle; None if there is none."""

    def find_of_subject(self, subject_id: str) -> ErasureRow | None:
        """The last erasure that was asked for of that subject, also long after it is done."""

    def open_rows(self, *, after: int, count_max: int) -> Sequence[ErasureRow]:
        """Erasures that are `received` or `ordered`, with numbers above `after`, ascending."""

    def oldest_received_at_ms(self) -> int | None:
        """When the oldest one came that is not decided; None if all are."""
