"""Messages of `heptad.ledger.v1.LedgerService` that ask for many entries, as in `ledger`.

All `decode_…` raise Problem `frame_malformed`, and those of calls `parameter_invalid`.
"""

from collections.abc import Sequence

from heptad.model.entry import Kind, Outcome
from heptad.model.problems import Problem
from heptad.model.queries import (
    CheckpointSizes,
    EntryCount,
    EntryFilter,
    EntryPage,
    EntryQuery,
    LoggedEntry,
    LogTotals,
    Order,
    WatchedEntries,
)
from heptad.wire.convert.parsing import parse
from heptad.wire.ledger.v1 import ledger_pb2 as pb


def encode_list_call(query: EntryQuery) -> bytes:
    """A ListEntriesRequest."""
    return pb.ListEntriesRequest(
        page_size=query.page_size,
        filter=_filter_message(query.filter),
        order=int(query.order),  # type: ignore[arg-type]  # protobuf's stubs want their own enum
        page_token=query.page_token,
    ).SerializeToString()


def decode_list_call(data: bytes) -> EntryQuery:
    """A ListEntriesRequest."""
    message = parse(pb.ListEntriesRequest, data)
    start_index = message.start_index
    if start_index and message.filter.start_index:
        raise Problem("parameter_invalid", "it is there twice", field="start_index")
    if start_index:
        message.filter.start_index = start_index
    return EntryQuery(
        filter=_filter(message.filter),
        order=_order(message.order),
        page_size=message.page_size,
        page_token=message.page_token,
    )


def encode_page(page: EntryPage) -> bytes:
    """A ListEntriesResponse."""
    return pb.ListEntriesResponse(
        start_index=page.entries[0].index if page.entries else 0,
        entries=[entry.data for entry in page.entries],
        next_index=page.next_index,
        indexes=[entry.index for entry in page.entries],
        next_page_token=page.next_page_token,
        checkpoint_size=page.checkpoint_size,
        cost=page.cost,
    ).SerializeToString()


def decode_page(data: bytes) -> EntryPage:
    """A ListEntriesResponse."""
    message = parse(pb.ListEntriesResponse, data)
    return EntryPage(
        entries=_logged(message.indexes, message.entries),
        next_page_token=message.next_page_token,
        next_index=message.next_index,
        checkpoint_size=message.checkpoint_size,
        cost=message.cost,
    )


def encode_count_call(wanted: EntryFilter, page_token: str = "") -> bytes:
    """A CountEntriesRequest."""
    message = pb.CountEntriesRequest(filter=_filter_message(wanted), page_token=page_token)
    return message.SerializeToString()


def decode_count_call(data: bytes) -> tuple[EntryFilter, str]:
    """Filter and page token of a CountEntriesRequest."""
    message = parse(pb.CountEntriesRequest, data)
    return _filter(message.filter), message.page_token


def encode_count(count: EntryCount) -> bytes:
    """A CountEntriesResponse."""
    return pb.CountEntriesResponse(
        count=count.count,
        next_page_token=count.next_page_token,
        checkpoint_size=count.checkpoint_size,
        cost=count.cost,
    ).SerializeToString()


def decode_count(data: bytes) -> EntryCount:
    """A CountEntriesResponse."""
    message = parse(pb.CountEntriesResponse, data)
    return EntryCount(message.count, message.next_page_token, message.checkpoint_size, message.cost)


def encode_watch_call(wanted: EntryFilter) -> bytes:
    """A WatchEntriesRequest."""
    return pb.WatchEntriesRequest(filter=_filter_message(wanted)).SerializeToString()


def decode_watch_call(data: bytes) -> EntryFilter:
    """The filter of a WatchEntriesRequest."""
    return _filter(parse(pb.WatchEntriesRequest, data).filter)


def encode_watched(watched: WatchedEntries) -> bytes:
    """A WatchEntriesResponse."""
    return pb.WatchEntriesResponse(
        indexes=[entry.index for entry in watched.entries],
        entries=[entry.data for entry in watched.entries],
        next_index=watched.next_index,
        checkpoint_size=watched.checkpoint_size,
        cost=watched.cost,
    ).SerializeToString()


def decode_watched(data: bytes) -> WatchedEntries:
    """A WatchEntriesResponse."""
    message = parse(pb.WatchEntriesResponse, data)
    return WatchedEntries(
        entries=_logged(message.indexes, message.entries),
        next_index=message.next_index,
        checkpoint_size=message.checkpoint_size,
        cost=message.cost,
    )


def encode_totals_call() -> bytes:
    """A GetTotalsRequest."""
    return pb.GetTotalsRequest().SerializeToString()


def decode_totals_call(data: bytes) -> None:
    """A GetTotalsRequest, which says nothing."""
    parse(pb.GetTotalsRequest, data)


def encode_totals(totals: LogTotals) -> bytes:
    """A GetTotalsResponse."""
    return pb.GetTotalsResponse(
        size=totals.size,
        kinds=[
            pb.KindTotal(kind=kind, count=count)  # type: ignore[arg-type]  # protobuf wants its own enum
            for kind, count in totals.kinds.items()
        ],
        services=[pb.ServiceTotal(service=s, count=n) for s, n in totals.services.items()],
        service_count=totals.service_count,
    ).SerializeToString()


def decode_totals(data: bytes) -> LogTotals:
    """A GetTotalsResponse."""
    message = parse(pb.GetTotalsResponse, data)
    return LogTotals(
        size=message.size,
        kinds={int(total.kind): total.count for total in message.kinds},
        services={total.service: total.count for total in message.services},
        service_count=message.service_count,
    )


def encode_checkpoints_call(
    page_size: int = 0, order: Order = Order.ASCENDING, page_token: str = ""
) -> bytes:
    """A ListCheckpointsRequest; page size 0 means 100."""
    return pb.ListCheckpointsRequest(
        page_size=page_size,
        order=int(order),  # type: ignore[arg-type]  # protobuf wants its own enum
        page_token=page_token,
    ).SerializeToString()


def decode_checkpoints_call(data: bytes) -> tuple[int, Order, str]:
    """Page size, order and page token of a ListCheckpointsRequest."""
    message = parse(pb.ListCheckpointsRequest, data)
    return message.page_size, _order(message.order), message.page_token


def encode_checkpoints(sizes: CheckpointSizes) -> bytes:
    """A ListCheckpointsResponse."""
    message = pb.ListCheckpointsResponse(sizes=sizes.sizes, next_page_token=sizes.next_page_token)
    return message.SerializeToString()


def decode_checkpoints(data: bytes) -> CheckpointSizes:
    """A ListCheckpointsResponse."""
    message = parse(pb.ListCheckpointsResponse, data)
    return CheckpointSizes(tuple(message.sizes), message.next_page_token)


def _filter_message(wanted: EntryFilter) -> pb.EntryFilter:
    return pb.EntryFilter(
        start_index=wanted.start_index,
        end_index=wanted.end_index,
        from_ms=wanted.from_ms,
        until_ms=wanted.until_ms,
        service=wanted.service,
        kinds=[int(kind) for kind in wanted.kinds],  # type: ignore[misc]  # protobuf wants its own enum
        action=wanted.action,
        outcome=int(wanted.outcome),  # type: ignore[arg-type]  # protobuf wants its own enum
        validator=wanted.validator,
    )


def _filter(message: pb.EntryFilter) -> EntryFilter:
    """Raises: Problem `parameter_invalid`, naming the field."""
    try:
        kinds = tuple(sorted({Kind(kind) for kind in message.kinds}))
    except ValueError:
        raise Problem("parameter_invalid", "no such kind", field="kinds") from None
    try:
        outcome = Outcome(message.outcome)
    except ValueError:
        raise Problem("parameter_invalid", "no such outcome", field="outcome") from None
    wanted = EntryFilter(
        start_index=message.start_index,
        end_index=message.end_index,
        from_ms=message.from_ms,
        until_ms=message.until_ms,
        service=message.service,
        kinds=kinds,
        action=message.action,
        outcome=outcome,
        validator=message.validator,
    )
    for field, reason in wanted.mistakes():
        raise Problem("parameter_invalid", reason, field=field)
    return wanted


def _order(number: int) -> Order:
    try:
        return Order(number or Order.ASCENDING)
    except ValueError:
        raise Problem("parameter_invalid", "no such order", field="order") from None


def _logged(indexes: Sequence[int], entries: Sequence[bytes]) -> tuple[LoggedEntry, ...]:
    if len(indexes) != len(entries):
        raise Problem("frame_malformed", f"{len(indexes)} indexes for {len(entries)} entries")
    pairs = zip(indexes, entries, strict=True)
    return tuple(LoggedEntry(index, data) for index, data in pairs)
