"""`gateway-<n>/config.toml`: the listeners and bounds of one gateway."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from heptad.runtime.config.addresses import address_mistake
from heptad.runtime.config.decode import Between, Length
from heptad.runtime.config.node import Node
from heptad.runtime.config.profile import Endpoint
from heptad.runtime.config.telemetry import TELEMETRY, Telemetry


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """A gateway's own settings."""

    role: ClassVar[str] = "gateway"

    node: Node
    # host:port where apps speak HTTP.
    http: str
    # host:port where operators speak HTTP; keep it off the public network.
    admin: str
    # How long requests are gathered into one message to a validator.
    coalesce_ms_max: Annotated[float, Between(0, 100)] = 2.0
    # Requests per POST /v1/requests:batch.
    batch_requests_max: Annotated[int, Between(1, 1_000)] = 1_000
    # Body of any POST.
    body_bytes_max: Annotated[int, Between(16_384, 64 << 20)] = 2 << 20
    # Open HTTP connections.
    connections_max: Annotated[int, Between(1, 1_000_000)] = 10_000
    # Requests under way; beyond it: `overloaded`.
    requests_in_flight_max: Annotated[int, Between(1, 1_000_000)] = 10_000
    # Streams of entries that are open; beyond it: `overloaded`. A ledger takes 64 of one gateway.
    # One client address has a quarter of them, unless `client_requests_per_s_max` is 0.
    watches_max: Annotated[int, Between(0, 64)] = 64
    # Requests of one client address in a second, before `client_rate_limited`; 0 switches it off,
    # as it must be behind a proxy, where all clients have one address.
    client_requests_per_s_max: Annotated[int, Between(0, 1_000_000)] = 20_000
    # Entries that the ledger reads for one client address in a second (about 1 µs of its processor
    # each: what a filter takes, and proofs), before `client_rate_limited`; ten seconds' worth may
    # be saved up. 0 switches it off, as `client_requests_per_s_max = 0` does.
    client_entries_read_per_s_max: Annotated[int, Between(0, 10_000_000)] = 100_000
    # And for all clients of this gateway together, before `overloaded`; 0 switches it off.
    entries_read_per_s_max: Annotated[int, Between(0, 10_000_000)] = 250_000
    # Where the control room finds the members' metrics; without any it shows only this gateway.
    watched: Annotated[tuple[Endpoint, ...], Length(0, 200)] = ()
    # Deadline of a client that names none.
    deadline_ms: Annotated[int, Between(100, 60_000)] = 10_000
    # What is traced, and where it goes.
    telemetry: Telemetry = TELEMETRY

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules between the fields (`decode.Validated`)."""
        yield from self.node.mistakes()
        yield from self.telemetry.mistakes()
        for name, value in (("http", self.http), ("admin", self.admin)):
            if (reason := address_mistake(value)) is not None:
                yield name, reason
        addresses = [self.http, self.admin, self.node.listen, self.node.metrics]
        if len(set(addresses)) < len(addresses):
            yield "http", "http, admin, node.listen and node.metrics must be four addresses"
