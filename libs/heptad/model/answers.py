"""What a validator is asked and what it answers, the same at every door.

A refusal is a `heptad.model.problems.Problem`; everything else that comes back stands here.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from heptad.model.entry import Outcome
from heptad.model.problems import Problem


class RequestState(IntEnum):
    """How far a request has come; the numbers are those of `heptad.validator.v1.RequestState`."""

    UNKNOWN = 1
    PENDING = 2
    """Admitted, not yet known to be committed."""
    COMMITTED = 3
    INVALID = 4
    """Expired, and absent from the log."""


class Wait(IntEnum):
    """When to answer; the numbers are those of `heptad.validator.v1.Wait`."""

    COMMITTED = 1
    """Once it is committed, or pending for five seconds."""
    ADMITTED = 2
    """Once it is in a batch."""


class SubmitItem(NamedTuple):
    """One signed request in a stream. A tuple, because thousands of them are made each second.

    `id` is chosen by the caller, unique among its requests in flight; `jws` is the compact JWS.
    `trace` is the packed context of a sampled trace (24 bytes), empty for what is not traced.
    """

    id: int
    jws: bytes
    wait: Wait
    trace: bytes = b""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that was admitted.

    `request_id` is the 32-byte hash behind the public handle. `state` is PENDING or COMMITTED;
    `index` (in the log, from 0) means something once it is COMMITTED. `denied_code` is the code of
    the policy's refusal where `outcome` is DENIED. `time_ms` is the time of admission, Unix ms.
    `replayed` is True where this answers a request that was known before.
    """

    request_id: bytes
    state: RequestState
    index: int
    outcome: Outcome
    denied_code: str
    time_ms: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """The answer to the item of this `id`: recorded, or refused and nothing recorded of it."""

    id: int
    result: Recorded | Problem


@dataclass(frozen=True, slots=True)
class Registered:
    """A new subject: its id from now on, its key's thumbprint, and what was recorded."""

    subject_id: str
    kid: str
    recorded: Recorded


@dataclass(frozen=True, slots=True)
class BundleRecorded:
    """A bundle that was admitted: its own entry, and how many events stand right behind it.

    Indexes mean something once `recorded.state` is COMMITTED.
    """

    recorded: Recorded
    count: int

    @property
    def event_indexes(self) -> range:
        """The events' indexes in the log, in the order that was signed."""
        first_index = self.recorded.index + 1
        return range(first_index, first_index + self.count)


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """What a validator knows of a request: UNKNOWN, PENDING or COMMITTED (then with `index`).

    `exp_s` is when the request runs out, in seconds since 1970; 0 where unknown.
    """

    state: RequestState
    index: int
    exp_s: int


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """How a validator is.

    `validator` is its number, from 1; `sequence` the next one within `incarnation`; `pending`
    counts requests admitted and not known to be committed; `leases` those alive. `trouble` is what
    every new request would be refused with now, None where nothing stands in its way.
    `clock_off_ms` is by how much its machine's clock is ahead of the replicas', where that is too
    much, else 0.
    """

    validator: int
    incarnation: int
    sequence: int
    pending: int
    replicas_connected: int
    vault_connected: bool
    leases: int
    trouble: Problem | None = None
    clock_off_ms: int = 0
