"""What the handlers need of the rest of the cell; `wiring` gives them gRPC, tests give them fakes.

Every method raises `Problem`. Futures that `submit` returns get refusals as values.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from heptad.client import Bundle, Terms
from heptad.model.answers import (
    BundleRecorded,
    PendingRequest,
    Recorded,
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


class Submissions(Protocol):
    """Requests on their way to validators: `heptad.client.Submitter`."""

    @property
    def in_flight(self) -> int:
        """Requests submitted and not answered."""

    @property
    def ready(self) -> bool:
        """Whether at least one validator can be reached."""

    def troubles(self) -> dict[int, str]:
        """For each validator that cannot be reached: why."""

    def require_room(self, requests: int) -> None:
        """Refuse to have so many more under way, with `overloaded`."""

    def submit(
        self, jws: bytes, *, iss: str, wait: Wait, trace: bytes = b""
    ) -> "asyncio.Future[Recorded | Problem]":
        """Put one request on its way; `trace` is the packed context of a sampled trace."""


class Validators(Protocol):
    """Unary calls to validators: `heptad.client.ValidatorCalls`."""

    @property
    def numbers(self) -> Sequence[int]:
        """The validators' numbers."""

    async def register(self, jws: bytes, *, iss: str, terms: Terms) -> Registered:
        """Register a subject."""

    async def submit_bundle(
        self, bundle: Bundle, *, iss: str, wait: Wait, terms: Terms
    ) -> BundleRecorded:
        """Record a service's bundle."""

    async def pending(self, validator: int, request_id: bytes, *, terms: Terms) -> PendingRequest:
        """What one validator knows of a request."""

    async def status(self, validator: int, *, terms: Terms) -> ValidatorStatus:
        """How one validator is."""


class Ledger(Protocol):
    """Reads of the log: `heptad.client.LedgerReader`."""

    async def checkpoint(self, size: int = 0, *, terms: Terms) -> PublishedCheckpoint:
        """A published checkpoint."""

    async def entry(self, index: int, *, terms: Terms) -> bytes:
        """One entry's bytes."""

    async def entries(self, query: EntryQuery, *, terms: Terms) -> EntryPage:
        """A page of entries."""

    async def count(self, wanted: EntryFilter, page_token: str = "", *, terms: Terms) -> EntryCount:
        """How many entries a part of the log has."""

    def watch(self, wanted: EntryFilter, *, terms: Terms) -> AsyncGenerator[WatchedEntries, None]:
        """Entries as they are published, the first message at once."""

    async def totals(self, *, terms: Terms) -> LogTotals:
        """The ledger's counters."""

    async def checkpoint_sizes(
        self,
        page_size: int = 0,
        *,
        order: Order = Order.ASCENDING,
        page_token: str = "",
        terms: Terms,
    ) -> CheckpointSizes:
        """Sizes of published checkpoints."""

    async def inclusion_proof(
        self, index: int, tree_size: int = 0, *, terms: Terms
    ) -> InclusionProof:
        """Proves that an entry is in the log."""

    async def consistency_proof(
        self, first_size: int, second_size: int = 0, *, terms: Terms
    ) -> ConsistencyProof:
        """Proves that one log continues another."""

    async def receipt(
        self, request_id: bytes, event: int | None = None, *, terms: Terms
    ) -> RequestReceipt:
        """A request's receipt."""

    async def request_status(self, request_id: bytes, *, terms: Terms) -> RequestStatus:
        """How far a request has come."""

    async def tile(self, path: str, *, terms: Terms) -> bytes:
        """A tile or bundle of entries."""

    async def status(self, *, terms: Terms) -> LedgerStatus:
        """How the ledger is."""
