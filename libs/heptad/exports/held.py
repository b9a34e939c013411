"""What an export is made of: a subject's entries with all that only their subject may see."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from heptad.model.entry import Kind
from heptad.model.log_reads import PublishedCheckpoint
from heptad.verification.receipt_file import ReceiptFile

FORMAT: Final = "heptad-export/v1"


@dataclass(frozen=True, slots=True)
class Held:
    """One entry and its private half.

    `data` is the entry's bytes. `witness` has 32 bytes; it and `payload` are None where the private
    half is not there any more, or does not open.
    """

    index: int
    data: bytes
    payload: bytes | None = field(default=None, repr=False)
    witness: bytes | None = field(default=None, repr=False)


class Source(Protocol):
    """Where an export's content comes from: a ledger's reader.

    All of it stands under one checkpoint, however long the reading takes. May raise what its store
    raises, and a Problem if the subject is erased meanwhile.
    """

    @property
    def indexes(self) -> Sequence[int]:
        """The subject's entries under the checkpoint, or as many of them as one export may have;
        ascending."""

    @property
    def continues_at(self) -> int | None:
        """The first entry that is too much for this export; None where it is complete."""

    def held(self, kinds: Container[Kind] | None = None) -> Iterator[Held]:
        """All of them in this order, or those of some kinds; each call reads them anew."""

    def receipt(self, held: Held) -> ReceiptFile:
        """The receipt of one of them, with its private half, and an event's place in its bundle."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What the cell says of a service that processes personal data: for people, in words."""

    id: str
    purpose: str
    recipients: Sequence[str] = ()
    retention: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What an export says of itself.

    `role` and `caller` are of whoever asked: `subject` and an empty text, or those of an officer's
    certificate. `own_index` is the entry that records this export. `created_ms` is Unix time.
    Entries from `from_index` on were asked for.
    """

    origin: str
    subject_id: str
    created_ms: int
    role: str
    caller: str
    own_index: int
    checkpoint: PublishedCheckpoint
    software: str
    services: Sequence[ServiceFacts]
    from_index: int = 0
