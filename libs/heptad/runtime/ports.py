"""Which port each part of a cell on one machine listens on, and whether those ports are free."""

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heptad.runtime.errors import PortTakenError

DEFAULT_PORT_BASE: Final = 7_700
"""7700 gateway; 7701 its operators' listener, 7702 its gRPC; 7711+ validators; 7720 ledger; 7731+
replicas; metrics 100 above each."""

METRICS_OFFSET: Final = 100
BLOCK_PORTS: Final = 200
"""A cell's block: the ports themselves and their metrics."""

VALIDATORS_MAX: Final = 9
REPLICAS_MAX: Final = 60

# Below the range from which Linux takes ports for outgoing connections (32768 and up), so that no
# passing connection of somebody else sits on a port between the test and its use.
_SEARCH_FROM: Final = 20_000
_SEARCH_TO: Final = 32_000

_TAKEN_TOLD_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class PortPlan:
    """The ports of one cell, counted from `base`; members in `hosts` have hosts of their own.

    `listen_host` is what members bind where that is not their published host: in a container, whose
    name means another address on each of its networks.
    """

    base: int
    host: str = "127.0.0.1"
    hosts: Mapping[str, str] = field(default_factory=dict)
    listen_host: str = ""

    def http(self) -> str:
        """Where apps speak HTTP to gateway-1."""
        return self._address(0)

    def http_listen(self) -> str:
        """What gateway-1 binds for that."""
        return self._listen(0)

    def admin(self) -> str:
        """What gateway-1 binds for operators' HTTP."""
        return self._listen(1)

    def grpc(self, member_id: str) -> str:
        """Where others find a member's gRPC listener."""
        return self._address(_offset(member_id), member_id)

    def grpc_listen(self, member_id: str) -> str:
        """What a member binds for that."""
        return self._listen(_offset(member_id), member_id)

    def metrics_address(self, member_id: str) -> str:
        """Where others find a member's Prometheus endpoint."""
        return self._address(_offset(member_id) + METRICS_OFFSET, member_id)

    def metrics(self, member_id: str) -> str:
        """What a member binds for that."""
        return self._listen(_offset(member_id) + METRICS_OFFSET, member_id)

    def _address(self, offset: int, member_id: str = "") -> str:
        return f"{self.hosts.get(member_id, self.host)}:{self.base + offset}"

    def _listen(self, offset: int, member_id: str = "") -> str:
        if self.listen_host:
            return f"{self.listen_host}:{self.base + offset}"
        return self._address(offset, member_id)


def container_plan(base: int = DEFAULT_PORT_BASE) -> PortPlan:
    """Each member is a host of its own name, which resolves to it on every network it is in."""
    members = ["gateway-1", "ledger-1"]
    members += [f"validator-{number}" for number in range(1, VALIDATORS_MAX + 1)]
    members += [f"replica-{number}" for number in range(1, REPLICAS_MAX + 1)]
    return PortPlan(
        base,
        host="gateway-1",
        hosts={name: name for name in members},
        listen_host="0.0.0.0",  # noqa: S104  a container's networks are its walls
    )


def _offset(member_id: str) -> int:
    role, _, number_text = member_id.rpartition("-")
    number = int(number_text)
    match role:
        case "gateway":
            assert number == 1, "one gateway a machine"
            return 2
        case "validator":
            assert 1 <= number <= VALIDATORS_MAX
            return 10 + number
        case "ledger":
            assert number == 1, "one ledger a machine"
            return 20
        case "replica":
            assert 1 <= number <= REPLICAS_MAX
            return 30 + number
    raise AssertionError(f"{member_id!r} is no member")


class PortBlock:
    """A block of free ports, reserved against other searches on this machine until `close`.

    Between the search and the moment when services bind, another mesh that starts at the same time
    would find the same ports free. An abstract socket named after the block is the reservation: it
    needs no file, and the kernel gives it back however the process ends. (Linux; elsewhere the
    search is only as good as its moment.)
    """

    def __init__(self, base: int, token: socket.socket | None) -> None:
        """Made by `reserve_block`."""
        self.base = base
        self._token = token

    def close(self) -> None:
        """Give the reservation back; by now the ports are bound, or not wanted."""
        if self._token is not None:
            self._token.close()

    def __enter__(self) -> "PortBlock":
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def reserve_block(*, start_hint: int) -> PortBlock:
    """A block of which no port is in use, found by binding each, and now reserved.

    `start_hint` (any number) spreads the search. Raises: PortTakenError if there is none.
    """
    blocks = (_SEARCH_TO - _SEARCH_FROM) // BLOCK_PORTS
    for step in range(blocks):
        base = _SEARCH_FROM + (start_hint + step) % blocks * BLOCK_PORTS
        try:
            token = _token(base)
        except OSError:
            continue
        if all(is_free("127.0.0.1", base + offset) for offset in range(BLOCK_PORTS)):
            return PortBlock(base, token)
        if token is not None:
            token.close()
    raise PortTakenError(f"no free block of {BLOCK_PORTS} ports below {_SEARCH_TO}")


def free_base(*, start_hint: int) -> int:
    """The base of a block that is free at this moment, not reserved: bind it soon."""
    with reserve_block(start_hint=start_hint) as block:
        return block.base


def _token(base: int) -> socket.socket | None:
    """Raises: OSError if somebody else holds it."""
    if sys.platform != "linux":
        return None
    token = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        token.bind(f"\0heptad-ports-{base}")
    except OSError:
        token.close()
        raise
    return token


def is_free(host: str, port: int) -> bool:
    """Can this port be bound now?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, or ports of connections that ended a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free(addresses: Iterable[tuple[str, str, int]]) -> None:
    """Check (what, host, port) one by one.

    Raises: PortTakenError, which names ports that are taken, what for, and their holders.
    """
    taken = [
        f"port {port} ({what}) is held by {holder(port)}"
        for what, host, port in addresses
        if not is_free(host, port)
    ]
    if len(taken) > _TAKEN_TOLD_MAX:
        more = len(taken) - _TAKEN_TOLD_MAX
        taken[_TAKEN_TOLD_MAX:] = [f"… and {more} more ports are taken"]
    if taken:
        raise PortTakenError("\n".join(taken))


def holder(port: int) -> str:
    """The process that listens on `port`, as far as this user may see; Linux only."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (folder / "fd").iterdir():
                if os.readlink(descriptor) in inodes:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    return f"process {folder.name} ({command.strip()[:80]})"
        except OSError:
            # The process ended meanwhile, or belongs to somebody else.
            continue
    return "another process"


def _listening_inodes(port: int) -> set[str]:
    """What `/proc/<pid>/fd` shows for sockets that listen on `port`."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            # Columns: local address:port in hex, state (0A: listening), and the inode.
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    return inodes
