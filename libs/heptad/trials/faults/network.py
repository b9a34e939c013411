"""A network of our own for some members, in which any of them can be cut off from any other.

Each replica, and one validator, lives in a network namespace with one interface, all of them are
plugged into one bridge, and the rest of the cell stands at the bridge itself, "outside". A
connection is cut one way by giving a wrong hardware address to the sender's neighbour table: its
frames go to nobody, without a word to anyone, as on a broken cable. That needs no packet filter,
works at once and for connections that are open, and can be said of each pair and direction.

All of it is made inside the private namespace in which the run itself lives (`stage`), so nothing
of it can be seen by the rest of the machine, and the kernel takes it away with the last process.
"""

import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from heptad.runtime import lifeline
from heptad.trials.faults.machinery import NotPossibleHere, require_program, run_tool

OUTSIDE: Final = 0
"""The bridge: whoever has no place of its own, clients too. The members' numbers are from 1."""

OUTSIDE_HOST: Final = "10.77.0.254"
_BRIDGE: Final = "heptad0"
_NOBODY: Final = "02:00:00:00:00:01"
_KEEPER_S_MAX: Final = 5.0


def host_of(number: int) -> str:
    """The address of a member, or of the outside."""
    return f"10.77.0.{number}" if number else OUTSIDE_HOST


class Network:
    """The namespaces of so many members; made by `network`."""

    def __init__(self, keepers: "dict[int, subprocess.Popen[bytes]]") -> None:
        self._keepers = keepers
        self._cuts: set[tuple[int, int]] = set()

    def command(self, number: int) -> list[str]:
        """The words under which a process runs in a member's namespace."""
        return ["nsenter", f"--net=/proc/{self._keepers[number].pid}/ns/net", "--"]

    def cut(self, sources: Iterable[int], targets: Iterable[int]) -> None:
        """Let nothing that any of `sources` sends arrive at any of `targets`, from now on."""
        for source, target in [(s, t) for s in sources for t in targets if s != t]:
            device = "eth0" if source else _BRIDGE
            words = ["ip", "neigh", "replace", host_of(target), "lladdr", _NOBODY]
            run_tool([*self._inside(source), *words, "dev", device, "nud", "permanent"])
            self._cuts.add((source, target))

    def part(self, one: Iterable[int], other: Iterable[int]) -> None:
        """Cut both ways."""
        self.cut(one, other)
        self.cut(other, one)

    def heal(self) -> None:
        """Undo every cut."""
        for source, target in sorted(self._cuts):
            device = "eth0" if source else _BRIDGE
            words = ["ip", "neigh", "del", host_of(target), "dev", device]
            run_tool([*self._inside(source), *words])
        self._cuts.clear()

    def _inside(self, number: int) -> list[str]:
        return self.command(number) if number else []


@contextmanager
def network(member_count: int) -> Iterator[Network]:
    """A network, to be made in a private namespace only; gone afterwards.

    Raises: NotPossibleHere.
    """
    require_program("ip", "nsenter", "unshare")
    run_tool(["ip", "link", "set", "lo", "up"])
    run_tool(["ip", "link", "add", _BRIDGE, "type", "bridge"])
    run_tool(["ip", "addr", "add", f"{OUTSIDE_HOST}/24", "dev", _BRIDGE])
    run_tool(["ip", "link", "set", _BRIDGE, "up"])
    keepers: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for number in range(1, member_count + 1):
            keepers[number] = _keeper()
            _plug_in(number, keepers[number].pid)
        yield Network(keepers)
    finally:
        for keeper in keepers.values():
            keeper.kill()
            keeper.wait()
        run_tool(["ip", "link", "del", _BRIDGE])


def _keeper() -> "subprocess.Popen[bytes]":
    """A process that does nothing but have a network namespace of its own."""
    keeper = subprocess.Popen(
        ["unshare", "--net", "sleep", "infinity"],  # noqa: S607  where users have it
        stdin=subprocess.DEVNULL,
        preexec_fn=lifeline.die_with_parent,  # noqa: PLW1509  this process has one thread here
    )
    ours = Path("/proc/self/ns/net").readlink()
    give_up_s = time.monotonic() + _KEEPER_S_MAX
    while keeper.poll() is None and time.monotonic() < give_up_s:
        if Path(f"/proc/{keeper.pid}/ns/net").readlink() != ours:
            return keeper
        time.sleep(0.005)
    keeper.kill()
    keeper.wait()
    raise NotPossibleHere("unshare --net: no network namespace came into being")


def _plug_in(number: int, pid: int) -> None:
    outer = f"hr{number}"
    peer = ["peer", "name", "eth0", "netns", str(pid)]
    run_tool(["ip", "link", "add", outer, "type", "veth", *peer])
    run_tool(["ip", "link", "set", outer, "master", _BRIDGE, "up"])
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip"]
    run_tool([*inside, "link", "set", "lo", "up"])
    run_tool([*inside, "addr", "add", f"{host_of(number)}/24", "dev", "eth0"])
    run_tool([*inside, "link", "set", "eth0", "up"])
