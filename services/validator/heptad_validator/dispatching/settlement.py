"""When a batch counts as committed: f + 1 replicas have reported the very same row.

Up to f replicas may lie. Of f + 1 that say the same, one at least is honest, and an honest replica
reports only what is committed. So f equal notices settle nothing, however long they wait, and a
liar can neither make a batch settle at a wrong index nor keep it from settling: each replica has
one voice for each batch, its first.
"""

from dataclasses import dataclass, field

from heptad.model.ids import BatchDigest
from heptad.wire.streams import CommittedBatch


class NoticeContradictsError(Exception):
    """A replica reported something that no honest one can; the message says what."""


@dataclass(slots=True)
class Settlement:
    """The notices about one batch. `fault_count` is f; `digest` is that of the batch we sent."""

    digest: BatchDigest
    fault_count: int
    _voices: dict[str, CommittedBatch] = field(default_factory=dict)
    _counts: dict[CommittedBatch, int] = field(default_factory=dict)

    def notice(self, replica_id: str, row: CommittedBatch) -> CommittedBatch | None:
        """Count a replica's row; the row as soon as f + 1 replicas have sent it.

        Raises: NoticeContradictsError if the row is about other bytes than we sent, or differs
        from what this replica said before; then it counts for nothing.
        """
        if row.digest != self.digest:
            raise NoticeContradictsError(
                f"{replica_id} reports batch {row.incarnation}/{row.sequence} with digest "
                f"{row.digest.hex()}, we sent {self.digest.hex()}"
            )
        before = self._voices.get(replica_id)
        if before is not None and before != row:
            raise NoticeContradictsError(
                f"{replica_id} reports batch {row.incarnation}/{row.sequence} at index "
                f"{row.first_index}, and reported {before.first_index} before, or another block"
            )
        if before is None:
            self._voices[replica_id] = row
            self._counts[row] = self._counts.get(row, 0) + 1
        return row if self._counts[row] > self.fault_count else None
