"""Unary calls to validators and to the ledger: deadlines in, values or `Problem`s out.

Messages are read and written by `heptad.wire.convert`, so gRPC sees bytes only. What fails leaves
as a `Problem` of the one table, whatever gRPC called it.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

import grpc

from heptad.crypto.bundles import Bundle
from heptad.model.answers import (
    BundleRecorded,
    PendingRequest,
    Registered,
    ValidatorStatus,
    Wait,
)
from heptad.model.log_reads import (
    ConsistencyProof,
    InclusionProof,
    LedgerStatus,
    PublishedCheckpoint,
    RequestReceipt,
    RequestStatus,
)
from heptad.model.problems import Problem
from heptad.model.queries import (
    CheckpointSizes,
    EntryCount,
    EntryFilter,
    EntryPage,
    EntryQuery,
    LogTotals,
    Order,
    WatchedEntries,
)
from heptad.model.routing import ranked
from heptad.runtime.status import problem_of
from heptad.wire.convert import ledger as ledger_wire
from heptad.wire.convert import ledger_queries as queries_wire
from heptad.wire.convert import validator as validator_wire

RETRYING: Final = (
    '{"methodConfig":[{"name":[{"service":"heptad.ledger.v1.LedgerService"}],'
    '"retryPolicy":{"maxAttempts":4,"initialBackoff":"0.05s","maxBackoff":"1s",'
    '"backoffMultiplier":3,"retryableStatusCodes":["UNAVAILABLE"]}}]}'
)
"""Service config of a ledger's channel: reads are repeated when the connection fails."""

_UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class Terms:
    """How one call is made: how long it may take, and the trace it belongs to (may be empty)."""

    deadline_s: float = 10.0
    traceparent: str = ""


async def unary_call(
    channel: grpc.aio.Channel, method: str, request: bytes, *, terms: Terms, unavailable: str
) -> bytes:
    """One unary call with bytes both ways. Raises: Problem."""
    metadata = (("traceparent", terms.traceparent),) if terms.traceparent else None
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    try:
        return await call(request, timeout=terms.deadline_s, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise problem_of(error, unavailable=unavailable) from error


class LedgerReader:
    """What anybody may ask a ledger. Every method raises Problem."""

    def __init__(
        self, channel: grpc.aio.Channel, *, watch_channel: grpc.aio.Channel | None = None
    ) -> None:
        """`watch_channel` is for streams, where they should have a smaller window."""
        self._channel = channel
        self._watch_channel = watch_channel or channel

    async def _ask(self, name: str, request: bytes, terms: Terms) -> bytes:
        return await unary_call(
            self._channel,
            f"/{ledger_wire.SERVICE}/{name}",
            request,
            terms=terms,
            unavailable="ledger_unavailable",
        )

    async def checkpoint(self, size: int = 0, *, terms: Terms) -> PublishedCheckpoint:
        """The published checkpoint of this size; 0 means the latest."""
        request = ledger_wire.encode_checkpoint_call(size)
        return ledger_wire.decode_checkpoint(await self._ask("GetCheckpoint", request, terms))

    async def entry(self, index: int, *, terms: Terms) -> bytes:
        """The bytes of one entry."""
        request = ledger_wire.encode_entry_call(index)
        return ledger_wire.decode_entry(await self._ask("GetEntry", request, terms))[1]

    async def entries(self, query: EntryQuery, *, terms: Terms) -> EntryPage:
        """A page of entries; ask again with its token for the next one."""
        request = queries_wire.encode_list_call(query)
        return queries_wire.decode_page(await self._ask("ListEntries", request, terms))

    async def count(self, wanted: EntryFilter, page_token: str = "", *, terms: Terms) -> EntryCount:
        """How many entries a part of the log has; ask again with the token for the next part."""
        request = queries_wire.encode_count_call(wanted, page_token)
        return queries_wire.decode_count(await self._ask("CountEntries", request, terms))

    async def watch(
        self, wanted: EntryFilter, *, terms: Terms
    ) -> AsyncGenerator[WatchedEntries, None]:
        """Entries as checkpoints are published, from `start_index` on, until the filter ends.

        Close the generator to end it sooner; of the terms only the trace counts.
        `heptad.client.follow` goes on after an interruption.
        """
        metadata = (("traceparent", terms.traceparent),) if terms.traceparent else None
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._watch_channel.unary_stream(
            f"/{ledger_wire.SERVICE}/WatchEntries"
        )
        call = method(queries_wire.encode_watch_call(wanted), metadata=metadata)
        try:
            async for answer in call:
                yield queries_wire.decode_watched(answer)
        except grpc.aio.AioRpcError as error:
            raise problem_of(error, unavailable="ledger_unavailable") from error
        finally:
            call.cancel()

    async def totals(self, *, terms: Terms) -> LogTotals:
        """The ledger's counters, by kind and by service."""
        request = queries_wire.encode_totals_call()
        return queries_wire.decode_totals(await self._ask("GetTotals", request, terms))

    async def checkpoint_sizes(
        self,
        page_size: int = 0,
        *,
        order: Order = Order.ASCENDING,
        page_token: str = "",
        terms: Terms,
    ) -> CheckpointSizes:
        """Sizes of published checkpoints, at most `page_size`; 0 means 100."""
        request = queries_wire.encode_checkpoints_call(page_size, order, page_token)
        answer = await self._ask("ListCheckpoints", request, terms)
        return queries_wire.decode_checkpoints(answer)

    async def inclusion_proof(
        self, index: int, tree_size: int = 0, *, terms: Terms
    ) -> InclusionProof:
        """Proves that an entry is in the tree; tree size 0 is the latest checkpoint's."""
        request = ledger_wire.encode_inclusion_call(index, tree_size)
        return ledger_wire.decode_inclusion(await self._ask("GetInclusionProof", request, terms))

    async def consistency_proof(
        self, first_size: int, second_size: int = 0, *, terms: Terms
    ) -> ConsistencyProof:
        """Proves that the second tree continues the first; 0 is the latest checkpoint's size."""
        request = ledger_wire.encode_consistency_call(first_size, second_size)
        answer = await self._ask("GetConsistencyProof", request, terms)
        return ledger_wire.decode_consistency(answer)

    async def receipt(
        self, request_id: bytes, event: int | None = None, *, terms: Terms
    ) -> RequestReceipt:
        """The receipt of a request, or of an event of a bundle (from 0).

        Once a checkpoint covers it; until then `receipt_pending`.
        """
        request = ledger_wire.encode_receipt_call(request_id, event)
        return ledger_wire.decode_receipt(await self._ask("GetReceipt", request, terms))

    async def request_status(self, request_id: bytes, *, terms: Terms) -> RequestStatus:
        """UNKNOWN or COMMITTED, as far as this ledger has come."""
        request = ledger_wire.encode_request_status_call(request_id)
        answer = await self._ask("GetRequestStatus", request, terms)
        return ledger_wire.decode_request_status(answer)

    async def tile(self, path: str, *, terms: Terms) -> bytes:
        """A tile or bundle of entries, by its canonical path."""
        request = ledger_wire.encode_tile_call(path)
        return ledger_wire.decode_tile(await self._ask("GetTile", request, terms))

    async def status(self, *, terms: Terms) -> LedgerStatus:
        """How the ledger is."""
        request = ledger_wire.encode_status_call()
        return ledger_wire.decode_status(await self._ask("GetStatus", request, terms))


class ValidatorCalls:
    """Unary calls to the validators of a cell, by number. Every method raises Problem."""

    def __init__(self, channels: Mapping[int, grpc.aio.Channel]) -> None:
        self._channels = dict(channels)
        self.numbers = tuple(sorted(channels))
        """The validators' numbers."""

    async def _ask(self, validator: int, name: str, request: bytes, terms: Terms) -> bytes:
        return await unary_call(
            self._channels[validator],
            f"/{validator_wire.SERVICE}/{name}",
            request,
            terms=terms,
            unavailable="validator_unavailable",
        )

    async def register(self, jws: bytes, *, iss: str, terms: Terms) -> Registered:
        """Register a subject by its signed registration, whose `iss` is the key's thumbprint.

        The next validator is tried where one cannot be reached, or reaches no quorum itself; each
        recognises the other's record.
        """
        request = validator_wire.encode_register(jws)
        answer = await self._ask_ranked(iss, "RegisterSubject", request, terms)
        return validator_wire.decode_registered(answer)

    async def submit_bundle(
        self, bundle: Bundle, *, iss: str, wait: Wait = Wait.COMMITTED, terms: Terms
    ) -> BundleRecorded:
        """Record a bundle of the service `iss`.

        The next validator is tried where one cannot be reached; each recognises the other's record.
        """
        request = validator_wire.encode_bundle(bundle.statement, bundle.events, wait)
        answer = await self._ask_ranked(iss, "SubmitBundle", request, terms)
        return validator_wire.decode_bundle_recorded(answer)

    async def _ask_ranked(self, iss: str, name: str, request: bytes, terms: Terms) -> bytes:
        """Ask the first validator by the ranking of `iss`, or the next one that can be reached.

        One that breaks off may have recorded it, which no other one's refusal takes back.
        """
        broken: Problem | None = None
        short: Problem | None = None
        for validator in ranked(iss, self.numbers):
            try:
                return await self._ask(validator, name, request, terms)
            except Problem as problem:
                if problem.code == "validator_unavailable":
                    broken = problem
                elif problem.code == "quorum_unavailable":
                    short = problem
                elif broken is not None and problem.kind.http == _UNAVAILABLE:
                    raise broken from problem
                else:
                    raise
        detail = "the cell has no validators"
        raise broken or short or Problem("validator_unavailable", detail, retry_after_s=1)

    async def pending(self, validator: int, request_id: bytes, *, terms: Terms) -> PendingRequest:
        """What one validator knows of a request."""
        request = validator_wire.encode_pending_call(request_id)
        answer = await self._ask(validator, "GetPendingRequest", request, terms)
        return validator_wire.decode_pending(answer)

    async def status(self, validator: int, *, terms: Terms) -> ValidatorStatus:
        """How one validator is."""
        request = validator_wire.encode_status_call()
        answer = await self._ask(validator, "GetStatus", request, terms)
        return validator_wire.decode_status(answer)
