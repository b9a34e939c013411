"""What is asked for when somebody wants all that is held about a subject, and what comes back."""

from dataclasses import dataclass, field
from typing import TypeAlias

from heptad.model.log_reads import RequestReceipt


@dataclass(frozen=True, slots=True)
class SubjectsExport:
    """The subject asks: `jws` is its signed request, which is recorded already."""

    jws: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfficersExport:
    """An officer asks: the reason and a legal ground (may be empty) are recorded first.

    Entries from `from_index` on are meant.
    """

    subject_id: str = field(repr=False)
    reason: str = field(repr=False)
    ground: str = field(default="", repr=False)
    from_index: int = 0


ExportCall: TypeAlias = SubjectsExport | OfficersExport


@dataclass(frozen=True, slots=True)
class ExportBegun:
    """The archive follows: with so many entries, recorded by the log's entry `own_index`."""

    subject_id: str = field(repr=False)
    entries: int
    own_index: int


@dataclass(frozen=True, slots=True)
class ExportChunk:
    """The archive's next bytes; `done` of `total` steps of the work are behind them."""

    data: bytes = field(repr=False)
    done: int
    total: int


ExportPart: TypeAlias = ExportBegun | ExportChunk


@dataclass(frozen=True, slots=True)
class OpenReceipt:
    """The subject asks for a receipt with its private half, by a request that is not recorded.

    `request_id` has 32 bytes; `event` is that of a bundle, from 0.
    """

    jws: bytes = field(repr=False)
    request_id: bytes
    event: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedReceipt:
    """A receipt with what its entry commits to; `witness` has 32 bytes."""

    receipt: RequestReceipt
    payload: bytes = field(repr=False)
    witness: bytes = field(repr=False)
