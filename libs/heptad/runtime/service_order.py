"""Whether a running cell can do without a member, and restarting members one after the other."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from heptad.runtime.control import ControlClient
from heptad.runtime.errors import SupervisionFault
from heptad.runtime.mesh import MeshStatus


def missing_without(control: ControlClient, member_id: str) -> str:
    """What the cell would lack if this member stopped now; empty if it can go on.

    Raises: SupervisionFault.
    """
    status = cast("MeshStatus", control.ask("status"))
    ready = Counter(
        process["role"]
        for process in status["processes"]
        if process["state"] == "ready" and process["name"] != member_id
    )
    count = sum(process["role"] == "replica" for process in status["processes"])
    quorum = count - (count - 1) // 3
    match member_id.rpartition("-")[0]:
        case "replica" if ready["replica"] < quorum:
            return f"{ready['replica']} replicas would be ready, and {quorum} must agree"
        case "validator" if not ready["validator"]:
            return "no validator would be ready"
        case "gateway" if not ready["gateway"]:
            return "no gateway would be ready"
    return ""


def restart_in_turn(control: ControlClient, names: Sequence[str]) -> Iterator[str]:
    """Restart these one after the other, each once the one before is ready; yield each when it is.

    Raises: SupervisionFault if one does not become ready, or the cell could not go on meanwhile:
    then those that were not yielded were not touched, but for the one that is named.
    """
    for name in names:
        if reason := missing_without(control, name):
            raise SupervisionFault(f"{name} was left alone: {reason}")
        control.ask("restart", name)
        yield name
