"""Looking through the log for entries, a bounded look at a time.

Index and time are ranges of the log, a service has its postings: both lead straight to entries.
What an entry says apart from that is found by reading entries, 1 µs each, so a look ends after some
work, whether it has found anything or not, and says where to go on. Looks share nothing but the
position: each has a snapshot of its own, since what a published checkpoint covers never changes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from heptad.model.queries import EntryFilter, LoggedEntry, Order
from heptad.wire.convert.entry_facts import entry_test
from heptad_ledger.store import Snapshot
from heptad_ledger.store.wave import is_indexed

ROW_COST: Final = 4
"""What it costs to get to a batch or a posting, where reading an entry costs 1."""

FOUND_COST: Final = 2
"""What it costs to hand out an entry: its hash is held against the tree's, and it is sent."""

CUT_PER_COST: Final = 8
"""So many entries of a batch are cut out of it for the cost of 1."""


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How to look for what a filter wants between `start` and `end`.

    `service` is set if postings lead to the entries, `test` if entries must be read. A batch that
    does not hold the bytes `needle` has nothing to find: whatever names the action has them.
    """

    start: int
    end: int
    order: Order
    service: bytes
    test: Callable[[bytes], bool] | None
    needle: bytes

    @property
    def first_position(self) -> int:
        """Where to begin: the next index to look at, or newest first the one after it."""
        return self.start if self.order is Order.ASCENDING else self.end

    def clipped(self, position: int) -> int:
        """The position within the plan."""
        return min(max(position, self.start), self.end)

    def is_done(self, position: int) -> bool:
        """Whether nothing is left to look at."""
        return position >= self.end if self.order is Order.ASCENDING else position <= self.start


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, and where the next one begins."""

    found: Sequence[LoggedEntry]
    position: int
    cost: int


def plan_of(wanted: EntryFilter, order: Order, snapshot: Snapshot, *, published: int) -> ScanPlan:
    """The plan for a filter, within the published log."""
    start, end = wanted.start_index, wanted.end_index or published
    if wanted.from_ms:
        start = max(start, _index_at(snapshot, wanted.from_ms, published))
    if wanted.until_ms:
        end = min(end, _index_at(snapshot, wanted.until_ms, published))
    end = min(end, published)
    by_postings = bool(wanted.service) and is_indexed(wanted.service)
    reads_service = bool(wanted.service) and not by_postings
    test = None
    if wanted.looks_inside or reads_service:
        test = entry_test(wanted, with_service=reads_service)
    service = wanted.service.encode("ascii") if by_postings else b""
    needle = wanted.action.encode("utf-8")
    return ScanPlan(min(start, end), end, order, service, test, needle)


def look(
    snapshot: Snapshot,
    plan: ScanPlan,
    position: int,
    *,
    count_max: int,
    bytes_max: int,
    cost_max: int,
) -> Look:
    """Look from a position on, until enough is found or the cost is reached.

    What is found may be over `bytes_max` by its last entry.
    """
    found: list[LoggedEntry] = []
    size = cost = 0
    for row in _rows(snapshot, plan, position):
        if plan.is_done(position):
            break
        candidates, row_cost = _candidates(snapshot, row, plan, position)
        cost += row_cost
        for entry in candidates:
            if plan.test is not None and not plan.test(entry.data):
                continue
            found.append(entry)
            cost += FOUND_COST
            size += len(entry.data)
            if len(found) >= count_max or size >= bytes_max:
                return Look(found, _behind(entry.index, plan), cost)
        position = plan.clipped(row.end if plan.order is Order.ASCENDING else row.first_index)
        if cost >= cost_max:
            return Look(found, position, cost)
    return Look(found, plan.end if plan.order is Order.ASCENDING else plan.start, cost)


def tally(
    snapshot: Snapshot, plan: ScanPlan, position: int, *, cost_max: int
) -> tuple[int, int, int]:
    """Count from a position on, oldest first: entries found, next position, cost."""
    if plan.test is None and not plan.service:
        return plan.end - position, plan.end, 0
    count = cost = 0
    for row in _rows(snapshot, plan, position):
        if plan.is_done(position):
            break
        if plan.test is None:
            count += len(_within(row, plan, position))
            cost += ROW_COST
        else:
            candidates, row_cost = _candidates(snapshot, row, plan, position)
            count += sum(plan.test(entry.data) for entry in candidates)
            cost += row_cost
        position = plan.clipped(row.end)
        if cost >= cost_max:
            return count, position, cost
    return count, plan.end, cost


@dataclass(frozen=True, slots=True)
class _Row:
    """A batch, or what a posting names of it: offsets from its first index, ascending.

    `entries` are all entries of the batch; None where the batch has none that are wanted.
    """

    first_index: int
    offsets: Sequence[int]
    entries: Sequence[bytes] | None

    @property
    def end(self) -> int:
        """Behind the last of the offsets."""
        return self.first_index + self.offsets[-1] + 1


def _rows(snapshot: Snapshot, plan: ScanPlan, position: int) -> Iterator[_Row]:
    """What may hold entries, from a position on, in the plan's order."""
    is_ascending = plan.order is Order.ASCENDING
    if plan.service and is_ascending:
        for posting in snapshot.postings(plan.service, from_index=position):
            yield _Row(posting.first_index, posting.offsets, None)
    elif plan.service:
        for posting in snapshot.postings_before(plan.service, position):
            yield _Row(posting.first_index, posting.offsets, None)
    else:
        batches = snapshot.batches(position) if is_ascending else snapshot.batches_before(position)
        for first_index, leaves in batches:
            if plan.needle in leaves:
                entries = _cut(leaves)
                yield _Row(first_index, range(len(entries)), entries)
            else:
                yield _Row(first_index, range(_size(leaves)), None)


def _candidates(
    snapshot: Snapshot, row: _Row, plan: ScanPlan, position: int
) -> tuple[list[LoggedEntry], int]:
    """The row's entries within the plan that may be wanted, in its order; and the cost."""
    offsets, entries = _within(row, plan, position), row.entries
    cost = ROW_COST + len(row.offsets) // CUT_PER_COST
    if entries is None and plan.service:
        leaves = snapshot.leaves(row.first_index)
        entries = _cut(leaves) if plan.needle in leaves else None
        # The whole batch is cut up for the few entries that the posting names.
        cost += len(entries or ()) // CUT_PER_COST
    if entries is None:
        return [], cost
    if plan.order is Order.DESCENDING:
        offsets = offsets[::-1]
    found = [LoggedEntry(row.first_index + offset, entries[offset]) for offset in offsets]
    return found, cost + (len(found) if plan.test is not None else 0)


def _within(row: _Row, plan: ScanPlan, position: int) -> Sequence[int]:
    """The row's offsets that lie in the part of the plan that is still to be looked at."""
    low, high = plan.start, plan.end
    if plan.order is Order.ASCENDING:
        low = max(low, position)
    else:
        high = min(high, position)
    first = bisect_left(row.offsets, low - row.first_index)
    return row.offsets[first : bisect_left(row.offsets, high - row.first_index)]


def _behind(index: int, plan: ScanPlan) -> int:
    return index + 1 if plan.order is Order.ASCENDING else index


def _index_at(snapshot: Snapshot, time_ms: int, published: int) -> int:
    index = snapshot.index_at(time_ms)
    return published if index is None else index


def _cut(leaves: bytes) -> list[bytes]:
    """The entries of a leaves section, which was checked when it was applied."""
    entries: list[bytes] = []
    at, end = 0, len(leaves)
    while at < end:
        start = at + 2
        at = start + (leaves[at] << 8 | leaves[at + 1])
        entries.append(leaves[start:at])
    return entries


def _size(leaves: bytes) -> int:
    """How many entries a leaves section has."""
    count = at = 0
    end = len(leaves)
    while at < end:
        at += 2 + (leaves[at] << 8 | leaves[at + 1])
        count += 1
    return count
