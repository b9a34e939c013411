"""`heptad drain`, `replica restart` and `log-level` against a control socket that a test plays."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heptad.cli import main
from heptad.runtime.config import ReplicaConfig, load_node_config
from heptad.runtime.control import ControlServer
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan


class Cell:
    """Processes of a cell, what state they are in, and the orders that came."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.orders: list[tuple[str, str]] = []
        self.states = {f"replica-{number}": "ready" for number in range(1, 8)}
        self.states |= {"validator-1": "ready", "validator-2": "ready", "gateway-1": "ready"}

    def run(self, *words: str) -> tuple[int, str]:
        async def scenario() -> tuple[int, str]:
            server = ControlServer(self.home, self._table())
            await server.start()
            arguments = [*words, "--home", str(self.home)]
            try:
                app = main.build(arguments)
                result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
            finally:
                await server.stop()
            return result.exit_code, result.output

        return asyncio.run(scenario())

    def _table(self) -> dict[str, object]:
        async def status(_name: str) -> dict[str, object]:
            rows = [
                {"name": name, "role": name.partition("-")[0], "state": state}
                for name, state in self.states.items()
            ]
            return {"processes": rows}

        def order(what: str, state: str) -> object:
            async def carry_out(name: str) -> dict[str, object]:
                self.orders.append((what, name))
                self.states[name] = state or self.states[name]
                return {}

            return carry_out

        return {
            "status": status,
            "stop": order("stop", "stopped"),
            "restart": order("restart", "ready"),
            "reload": order("reload", ""),
        }


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    create_home(tmp_path / "c", GenesisPlan(ports=PortPlan(20_000)), now=datetime.now(UTC))
    return Cell(tmp_path / "c")


def test_a_member_is_drained_and_put_back(cell: Cell) -> None:
    assert cell.run("drain", "replica-3")[0] == 0
    assert cell.run("drain", "replica-3", "--resume")[0] == 0
    assert cell.orders == [("stop", "replica-3"), ("restart", "replica-3")]


@pytest.mark.parametrize(
    ("down", "drained"),
    [
        (["replica-1", "replica-2"], "replica-3"),
        (["validator-2"], "validator-1"),
        ([], "gateway-1"),
    ],
)
def test_what_the_cell_cannot_do_without_is_drained_only_by_force(cell, down, drained) -> None:
    cell.states |= dict.fromkeys(down, "stopped")
    code, output = cell.run("drain", drained)
    assert (code, cell.orders) == (1, [])
    assert "would be ready" in output
    assert cell.run("drain", drained, "--force")[0] == 0
    assert cell.orders == [("stop", drained)]


def test_replicas_are_restarted_one_after_the_other(cell: Cell) -> None:
    assert cell.run("replica", "restart", "--all")[0] == 0
    assert cell.orders == [("restart", f"replica-{number}") for number in range(1, 8)]


def test_no_replica_is_restarted_that_would_take_the_quorum_along(cell: Cell) -> None:
    cell.states |= {"replica-6": "stopped", "replica-7": "stopped"}
    assert cell.run("replica", "restart", "1")[0] == 1
    assert cell.orders == []
    assert cell.run("replica", "restart", "6", "7")[0] == 0  # They are down anyway.


@pytest.mark.parametrize("words", [("restart",), ("restart", "3", "--all"), ("restart", "8")])
def test_restart_wants_replicas_that_there_are(cell: Cell, words) -> None:
    assert cell.run("replica", *words)[0] == 2
    assert cell.orders == []


def test_a_log_level_is_written_and_taken_at_once(cell: Cell) -> None:
    assert cell.run("log-level", "debug", "replica-3")[0] == 0
    config = load_node_config(ReplicaConfig, home=cell.home, name="replica-3")
    assert config.node.log_level == "debug"
    assert cell.orders == [("reload", "replica-3")]
    assert cell.run("log-level", "debug", "replica-9")[0] == 2
