"""What one write transaction holds: all that a wave of committed blocks leads to.

Keys and indexes are packed already, so that the write path is `putmulti` over ready lists and
nothing else: `pack_index` is the one spelling of an index in keys and values.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from heptad.model.entry import Kind
from heptad_ledger.store.state import AppliedState

_U64: Final = Struct(">Q")
pack_index: Final = _U64.pack
"""An index, size or time as a key: eight bytes, big-endian, so that keys sort as numbers."""


SERVICE_CHARACTERS_MAX: Final = 64
"""Services with longer names, or with other than printable ASCII, are not indexed."""

_KINDS: Final = frozenset(map(int, Kind))


def is_indexed(service: str) -> bool:
    """Whether entries are found by this service's name without reading them."""
    is_name = bool(service) and service.isascii() and service.isprintable()
    return is_name and len(service) <= SERVICE_CHARACTERS_MAX


def unpack_index(packed: bytes) -> int:
    """What `pack_index` packed."""
    return int.from_bytes(packed, "big")


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Entries `first_index` <= i < `end_index` came with blocks of `time_ms`."""

    time_ms: int
    first_index: int
    end_index: int


@dataclass(frozen=True, slots=True)
class ServicePosting:
    """Which entries of one batch name `service`: offsets from the batch's `first_index`."""

    service: bytes
    first_index: int
    offsets: tuple[int, ...]

    def row(self) -> tuple[bytes, bytes]:
        """Key and value in `by_service`."""
        key = self.service + b"\0" + pack_index(self.first_index)
        return key, b"".join(offset.to_bytes(2, "big") for offset in self.offsets)


@dataclass(frozen=True, slots=True)
class Totals:
    """How many entries there are by kind and by service; Counters, to be added to.

    Kinds that are not known count as 0, and services that are not indexed as "".
    """

    kinds: Counter[int] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)

    def add(self, facts: Iterable[tuple[int, str]]) -> None:
        """Count entries, by what `heptad.wire.convert.entry_facts.entry_facts` says of them."""
        for (kind, service), count in Counter(facts).items():
            self.kinds[kind if kind in _KINDS else 0] += count
            self.services[service if is_indexed(service) else ""] += count


@dataclass(frozen=True, slots=True)
class Wave:
    """Everything that becomes durable together. All sequences of rows ascend by index.

    `leaves` are (first index, leaves section of a batch); `tiles` every tile that changed, by
    (level, index); `sealed` (index, stored record); `by_subject` (16-byte row key, index);
    `by_request` (16-byte reference, index); `subjects` (16-byte row key, row); `stated` the
    packed indexes of duplicates that the log now states by itself. Indexes are packed. `totals`
    count the wave's entries. `queued` are entries that concern erasures, by index as a number, with
    their records' routing headers (`heptad_ledger.privacy.intake`).
    """

    state: AppliedState
    leaves: Sequence[tuple[bytes, bytes]]
    tiles: Mapping[tuple[int, int], bytes]
    spans: Sequence[TimeSpan] = ()
    postings: Sequence[ServicePosting] = ()
    sealed: Sequence[tuple[bytes, bytes]] = ()
    by_subject: Sequence[tuple[bytes, bytes]] = ()
    by_request: Sequence[tuple[bytes, bytes]] = ()
    subjects: Sequence[tuple[bytes, bytes]] = ()
    stated: Sequence[bytes] = ()
    totals: Totals = field(default_factory=Totals)
    queued: Sequence[tuple[int, bytes]] = ()


def batch_postings(services: list[str], first_index: int) -> Iterator[ServicePosting]:
    """Which entries of a batch name which service; mostly all name one."""
    groups: dict[str, Sequence[int]] = {services[0]: range(len(services))}
    if services.count(services[0]) != len(services):
        named: defaultdict[str, list[int]] = defaultdict(list)
        for offset, service in enumerate(services):
            named[service].append(offset)
        groups = dict(named)
    for service, offsets in groups.items():
        if is_indexed(service):
            yield ServicePosting(service.encode("ascii"), first_index, tuple(offsets))
