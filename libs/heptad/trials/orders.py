"""What the bench tells a load generator, and what that tells back: one line of JSON each."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from heptad.trials.load import Closed, Load, Measured, Open, Paced


class Way(StrEnum):
    """A way of operations into the log, each measured for itself."""

    CONSENSUS = "consensus"
    """Batches made before, sent to replicas without a ledger."""
    BUNDLES = "bundles"
    """Events of a service, many under one signature, by unary calls."""
    GRPC = "grpc"
    """Signed requests on the streams of `heptad.client`."""
    HTTP_BATCH = "http-batch"
    """Signed requests, many in one POST."""
    HTTP = "http"
    """Signed requests, one in a POST."""


IN_FLIGHT: Final[Mapping[Way, int]] = {
    Way.CONSENSUS: 32,
    Way.BUNDLES: 24,
    Way.GRPC: 2_000,
    Way.HTTP_BATCH: 24,
    Way.HTTP: 256,
}
"""Of a closed load: batches, bundles, requests, POSTs of a batch, POSTs of one."""

PREPARED_PER_S: Final[Mapping[Way, int]] = {
    Way.CONSENSUS: 200_000,
    Way.BUNDLES: 60_000,
    Way.GRPC: 15_000,
    Way.HTTP_BATCH: 15_000,
    Way.HTTP: 8_000,
}
"""Operations made beforehand for each second of a closed load; above what the ways can do."""

_LOADS: Final[dict[str, type[Closed] | type[Open] | type[Paced]]] = {
    "closed": Closed,
    "open": Open,
    "paced": Paced,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a generator is to do.

    `home` is the cell's, `subjects` a folder of `save_subjects` (empty for consensus alone).
    `operations` are made before the load begins. `seed` decides what is made up. `down` are
    replicas that are known to be dead: nobody waits for them.
    """

    way: Way
    home: str
    subjects: str
    operations: int
    load: Load
    seed: int = 1
    down: tuple[str, ...] = ()

    def encode(self) -> str:
        """One line."""
        kind = next(name for name, load in _LOADS.items() if isinstance(self.load, load))
        return json.dumps({**asdict(self), "load": {"kind": kind, **asdict(self.load)}})

    @classmethod
    def decode(cls, line: str) -> "Order":
        """Read it back."""
        members = json.loads(line)
        load = members.pop("load")
        kind = _LOADS[load.pop("kind")]
        down = tuple(members.pop("down"))
        return cls(way=Way(members.pop("way")), load=kind(**load), down=down, **members)


@dataclass(frozen=True, slots=True)
class Report:
    """What a generator found.

    `cpu_us` is its own CPU time. Bytes are what it wrote and read: HTTP with its heads; of gRPC and
    consensus only what it sent, without framing.
    """

    measured: Measured
    cpu_us: int
    sent_bytes: int
    received_bytes: int

    def encode(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, line: str) -> "Report":
        """Read it back."""
        members = json.loads(line)
        return cls(measured=Measured.from_members(members.pop("measured")), **members)
