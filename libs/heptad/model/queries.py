"""Questions about the log's entries, and their answers, the same at every door.

Indexes count from 0, times are Unix ms, a range has its first and not its last. Time is that of the
block that brought an entry: a quorum agreed on it and it never falls along the log, so a range of
it is a range of the log. An entry's own time is the word of one validator.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from heptad.model.entry import Kind, Outcome

NAME_CHARACTERS_MAX: Final = 256
"""Of a service or action in a filter."""

NUMBER_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Entries of which all this holds; what is 0, empty or NONE says nothing.

    `start_index` <= index < `end_index`, `from_ms` <= block time < `until_ms`, one of `kinds`.
    """

    start_index: int = 0
    end_index: int = 0
    from_ms: int = 0
    until_ms: int = 0
    service: str = ""
    kinds: tuple[Kind, ...] = ()
    action: str = ""
    outcome: Outcome = Outcome.NONE
    validator: int = 0

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Field and reason of all that cannot be meant."""
        for name in ("start_index", "end_index", "from_ms", "until_ms"):
            if not 0 <= getattr(self, name) <= NUMBER_MAX:
                yield name, f"it is over {NUMBER_MAX}"
        if self.end_index and self.end_index < self.start_index:
            yield "end_index", f"{self.end_index} lies before start_index {self.start_index}"
        if self.until_ms and self.until_ms < self.from_ms:
            yield "until_ms", f"{self.until_ms} lies before from_ms {self.from_ms}"
        for name, text in (("service", self.service), ("action", self.action)):
            if len(text) > NAME_CHARACTERS_MAX:
                yield name, f"it has {len(text)} characters, at most {NAME_CHARACTERS_MAX} may be"
            if not text.isprintable():
                yield name, "it has characters that cannot be printed"

    @property
    def scans(self) -> bool:
        """Whether answering it may take more than reading the entries of one page."""
        return bool(self.service) or self.looks_inside

    @property
    def looks_inside(self) -> bool:
        """Whether it takes more than index, time and service to tell."""
        return bool(self.kinds or self.action or self.outcome or self.validator)


class Order(IntEnum):
    """Which end of the log comes first; the numbers are those of `heptad.ledger.v1.Order`."""

    ASCENDING = 1
    DESCENDING = 2


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """A page of entries: `page_size` 0 means 100; the token is of the page before, or empty."""

    filter: EntryFilter = EntryFilter()
    order: Order = Order.ASCENDING
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry's index and its bytes: the leaf."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries in the order asked for, all under the checkpoint of `checkpoint_size`.

    `next_page_token` is empty after the last page. Oldest first, `next_index` is where the next
    page begins to look, and 0 after the last.
    `cost` is what it made the ledger do, in entries read.
    """

    entries: tuple[LoggedEntry, ...]
    next_page_token: str
    next_index: int
    checkpoint_size: int
    cost: int = 0


@dataclass(frozen=True, slots=True)
class EntryCount:
    """How many entries were found in the part of the log that one call looked at; its cost."""

    count: int
    next_page_token: str
    checkpoint_size: int
    cost: int = 0


@dataclass(frozen=True, slots=True)
class WatchedEntries:
    """What a watch brings: entries, perhaps none, and where to begin again behind them.

    `cost` is what was looked at since the message before, in entries read.
    """

    entries: tuple[LoggedEntry, ...]
    next_index: int
    checkpoint_size: int
    cost: int = 0


@dataclass(frozen=True, slots=True)
class LogTotals:
    """Counts of all `size` applied entries, by kind's number (0: no entry) and by service."""

    size: int
    kinds: Mapping[int, int]
    services: Mapping[str, int]
    service_count: int


@dataclass(frozen=True, slots=True)
class CheckpointSizes:
    """Sizes of published checkpoints in the order asked for."""

    sizes: tuple[int, ...]
    next_page_token: str
