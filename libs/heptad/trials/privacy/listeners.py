"""Where a cell listens, by member and by what is spoken there."""

from dataclasses import dataclass

from heptad.runtime.config import split_address


@dataclass(frozen=True, slots=True)
class Listeners:
    """`addresses` by what listens there, such as `replica-1 grpc` (`runtime.mesh.listeners_of`)."""

    addresses: dict[str, str]

    @property
    def places(self) -> dict[int, str]:
        """Port to what listens there."""
        return {split_address(address)[1]: what for what, address in self.addresses.items()}

    def of_kind(self, kind: str) -> dict[str, str]:
        """Member to address, of its `grpc`, `metrics`, `http` or `admin` listener."""
        split = ((*what.split(" "), address) for what, address in self.addresses.items())
        return {member: address for member, of, address in split if of == kind}

    def ports_of(self, kind: str) -> dict[int, str]:
        """Port to member, of the listeners of one kind."""
        addresses = self.of_kind(kind).items()
        return {split_address(address)[1]: member for member, address in addresses}
