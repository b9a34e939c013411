"""What a ledger answers about its log, the same at every door.

Sizes count entries, indexes count from 0, hashes have 32 bytes, times are Unix ms.
"""

from dataclasses import dataclass

from heptad.model.answers import RequestState


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A cosigned checkpoint: the signed note, verbatim, and how many entries it covers."""

    note: bytes
    size: int


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Entry `index` is in the tree of `tree_size`; hashes from the leaf upwards."""

    index: int
    tree_size: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """The tree of `second_size` continues that of `first_size`; hashes as RFC 9162 orders them."""

    first_size: int
    second_size: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BundleMembership:
    """What proves an event's place in its bundle.

    `index` and `entry` are those of the bundle's own entry, `inclusion` proves it to be in the log
    under the event's checkpoint, `path` the event to be in the tree whose root the service signed;
    hashes from the leaf upwards.
    """

    index: int
    entry: bytes
    inclusion: tuple[bytes, ...]
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RequestReceipt:
    """A request's entry, its index, and `proof`: a tlog-proof file. Of an event also `bundle`."""

    entry: bytes
    proof: bytes
    index: int
    bundle: BundleMembership | None = None


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """How far a request has come: UNKNOWN, or COMMITTED with index and entry.

    `receipt_ready` tells whether a published checkpoint covers it; `applied_time_ms` is the time of
    the last applied block: what is absent here was not committed up to then.
    """

    state: RequestState
    index: int
    entry: bytes
    receipt_ready: bool
    applied_time_ms: int


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How a ledger is.

    `ledger` is its number, from 1; `height` counts applied blocks and `size` applied entries with
    the root `root`; `checkpoint_size` entries are published. `duplicates` counts later copies of
    requests that were found in the log.
    """

    ledger: int
    height: int
    size: int
    root: bytes
    checkpoint_size: int
    replicas_connected: int
    subjects: int
    duplicates: int
    applied_time_ms: int
