"""What the `config.toml` of every service has in common: the table `[node]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from heptad.runtime.config.addresses import address_mistake
from heptad.runtime.config.decode import Between

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Node:
    """One process of one role."""

    # `<role>-<n>`, as in `cell.toml` and in the certificate.
    id: str
    # host:port that the gRPC server binds; may differ from the published address.
    listen: str
    # host:port of the Prometheus endpoint: plain HTTP, so loopback or an internal network.
    metrics: str
    # Folder of everything that the service keeps, relative to the folder of this file.
    data: str = "data"
    # gRPC reflection: handy for grpcurl, off since it describes the service to whoever is let in.
    reflection: bool = False
    # One of debug, info, warning, error.
    log_level: str = "info"
    # How long a stopping service waits for what is in flight.
    drain_s_max: Annotated[float, Between(0, 300)] = 10.0

    @property
    def role(self) -> str:
        """`replica`, `validator`, `ledger` or `gateway`."""
        return self.id.rpartition("-")[0]

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Rules that a type cannot say (`decode.Validated`)."""
        for name, value in (("listen", self.listen), ("metrics", self.metrics)):
            if (reason := address_mistake(value)) is not None:
                yield f"node.{name}", reason
        if self.listen == self.metrics:
            yield "node.metrics", "is the same address as node.listen"
        if self.log_level not in LOG_LEVELS:
            yield "node.log_level", f"{self.log_level!r} is not one of {', '.join(LOG_LEVELS)}"
