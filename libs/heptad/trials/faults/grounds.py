"""Where faults happen: a cell as it is, or one on a network, disks or libraries of our own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from heptad.runtime.config import Cell
from heptad.runtime.ports import DEFAULT_PORT_BASE, PortPlan
from heptad.runtime.preparation import prepare
from heptad.runtime.readdress import readdress
from heptad.trials.faults.faults import DISKS, NETWORK, ONE_DISK, PLAIN, SHIMS
from heptad.trials.faults.machinery import (
    CUT_OFF,
    SHIMMED,
    SUFFERERS,
    WHOLE_CELL,
    Machinery,
    require_program,
    run_tool,
)
from heptad.trials.faults.network import OUTSIDE, host_of, network
from heptad.trials.faults.shim import Shim, build_shim
from heptad.trials.faults.small_disk import small_disk
from heptad.trials.meshes import RunningMesh, running

_UNSHARED: Final = {
    NETWORK: ("unshare", "--net", "--"),
    DISKS: ("unshare", "--mount", "--propagation", "private", "--"),
    ONE_DISK: ("unshare", "--mount", "--propagation", "private", "--"),
}
_ONE_DISK_BYTES: Final = 192 << 20


def wrapper_of(ground: str) -> tuple[str, ...]:
    """The command under which a ground is to be opened, so that what it makes is its own.

    Raises: NotPossibleHere.
    """
    words = _UNSHARED.get(ground, ())
    if words:
        require_program(words[0])
        run_tool([*words, "true"])
    return words


@contextmanager
def open_ground(ground: str, folder: Path) -> Iterator[tuple[RunningMesh, Machinery]]:
    """A running cell in `folder`, with what this ground has besides; all of it ends with the block.

    To be called in a process that was started under `wrapper_of(ground)`.
    Raises: NotPossibleHere, TrialFault.
    """
    home = folder / "cell"
    with ExitStack() as stack:
        machinery = Machinery()
        if ground == ONE_DISK:
            machinery, home = _on_one_disk(stack, folder)
        under: dict[str, list[str]] = {}
        if ground != PLAIN:
            cell = prepare(home, port_base=0, validator_count=None)
        if ground == NETWORK:
            machinery, under = _on_a_network(stack, home, cell)
        elif ground == DISKS:
            machinery = _on_small_disks(stack, home, folder)
        elif ground == SHIMS:
            machinery, under = _with_shims(folder)
        mesh = stack.enter_context(running(home, under=under))
        yield mesh, machinery


def _on_a_network(
    stack: ExitStack, home: Path, cell: Cell
) -> tuple[Machinery, dict[str, list[str]]]:
    """Replicas and one validator in namespaces of their own; all others stay at the bridge."""
    members = [*(replica.id for replica in cell.replicas), CUT_OFF]
    net = stack.enter_context(network(len(members)))
    numbers = {name: number for number, name in enumerate(members, start=1)}
    # Whom the one validator dials has to be at the bridge's own address.
    outside = {ledger.id: host_of(OUTSIDE) for ledger in cell.ledgers}
    hosts = outside | {name: host_of(number) for name, number in numbers.items()}
    readdress(home, PortPlan(DEFAULT_PORT_BASE, hosts=hosts))
    return Machinery(network=net, places=numbers), {
        name: net.command(n) for name, n in numbers.items()
    }


def _on_small_disks(stack: ExitStack, home: Path, folder: Path) -> Machinery:
    disks = {
        name: stack.enter_context(small_disk(home / name / "data", image=folder / f"{name}.img"))
        for name in SUFFERERS
    }
    return Machinery(disks=disks)


def _on_one_disk(stack: ExitStack, folder: Path) -> tuple[Machinery, Path]:
    """The home itself, logs and all, is on the small disk."""
    mounted, image = folder / "disk", folder / "disk.img"
    mounted.mkdir()
    disk = stack.enter_context(small_disk(mounted, image=image, size_bytes=_ONE_DISK_BYTES))
    return Machinery(disks={WHOLE_CELL: disk}), mounted / "cell"


def _with_shims(folder: Path) -> tuple[Machinery, dict[str, list[str]]]:
    library = build_shim(folder)
    shims = {name: Shim(library, folder / f"{name}.shim") for name in SHIMMED}
    return Machinery(shims=shims), {name: shim.command() for name, shim in shims.items()}
