"""What `/proc` shows of the services: who holds which connection, which files, which words."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_ESTABLISHED: Final = 1
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class TcpSocket(NamedTuple):
    """A row of the kernel's table."""

    local_port: int
    remote_port: int
    state: int
    inode: int


def tcp_sockets() -> list[TcpSocket]:
    """All of this machine, over IPv4 and IPv6."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            found.append(TcpSocket(local, remote, int(fields[3], 16), int(fields[9])))
    return found


def owners(pids: Mapping[str, int]) -> dict[int, str]:
    """Which of these processes (name to pid) holds a socket, by the socket's inode."""
    found = {}
    for name, pid in pids.items():
        for _, target in _descriptors(pid):
            if match := _SOCKET.fullmatch(target):
                found[int(match[1])] = name
    return found


def clients_of(ports: Mapping[int, str], pids: Mapping[str, int]) -> dict[tuple[int, int], str]:
    """Who is at the client's end of connections to these ports, by that end's port and this one.

    Of processes that may not be looked into nothing is known.
    """
    by_inode = owners(pids)
    return {
        (row.local_port, row.remote_port): by_inode[row.inode]
        for row in tcp_sockets()
        if row.remote_port in ports and row.inode in by_inode
    }


def strange_connections(
    known: Mapping[int, str], pids: Mapping[str, int]
) -> tuple[int, list[tuple[str, int]]]:
    """How many connections the services hold, and those to or from ports that the cell has not.

    Each as (process, the other end's port).
    """
    by_inode = owners(pids)
    held = [row for row in tcp_sockets() if row.inode in by_inode and row.state == _ESTABLISHED]
    strange = [
        (by_inode[row.inode], row.remote_port)
        for row in held
        if row.local_port not in known and row.remote_port not in known
    ]
    return len(held), strange


def files_elsewhere(pids: Mapping[str, int], home: Path) -> Iterator[tuple[str, Path]]:
    """Files that are open but not to be met below `home`: elsewhere, or deleted; with a name."""
    for name, pid in pids.items():
        for link, target in _descriptors(pid):
            path = Path(target.removesuffix(" (deleted)"))
            is_gone = target.endswith(" (deleted)")
            if not target.startswith("/") or target.startswith(("/dev/", "/proc/", "/memfd:")):
                continue
            if (is_gone or not path.is_relative_to(home)) and link.is_file():
                yield f"a {'deleted file' if is_gone else 'file elsewhere'} of {name}", link


def words_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """A process' command line, environment and name. Raises: OSError."""
    for what in ("cmdline", "environ", "comm"):
        yield what, (_PROC / str(pid) / what).read_bytes()


def _descriptors(pid: int) -> Iterator[tuple[Path, str]]:
    """Each descriptor of a process, and what it leads to. Raises: PermissionError."""
    for link in (_PROC / str(pid) / "fd").iterdir():
        try:
            yield link, os.readlink(link)
        except FileNotFoundError:
            continue  # closed meanwhile
