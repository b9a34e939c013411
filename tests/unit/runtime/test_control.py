"""The control socket by itself: odd lines, odd paths, odd timing."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from heptad.runtime.control import ControlClient, ControlServer
from heptad.runtime.errors import HomeRefusedError, SupervisionFault


async def greet(name: str) -> dict[str, object]:
    return {"hello": name}


async def fail(_name: str) -> dict[str, object]:
    raise SupervisionFault("it broke")


def serving(home: Path, act: Callable[[], object]) -> object:
    """Run `act` in a thread while a control server listens."""

    async def scenario() -> object:
        server = ControlServer(home, {"greet": greet, "fail": fail})
        await server.start()
        try:
            return await asyncio.to_thread(act)
        finally:
            await server.stop()

    return asyncio.run(scenario())


def raw(home: Path, lines: bytes) -> list[dict[str, object]]:
    async def talk() -> list[dict[str, object]]:
        reader, writer = await asyncio.open_unix_connection(home / "control.sock")
        writer.write(lines)
        answers = [json.loads(await reader.readline()) for _ in lines.splitlines()]
        writer.close()
        return answers

    return asyncio.run(talk())


def test_an_order_is_answered(tmp_path: Path) -> None:
    def act() -> object:
        with ControlClient(tmp_path) as control:
            return control.ask("greet", "replica-1")

    assert serving(tmp_path, act) == {"hello": "replica-1"}


def test_a_failure_comes_with_its_reason(tmp_path: Path) -> None:
    def act() -> None:
        with ControlClient(tmp_path) as control:
            control.ask("fail")

    with pytest.raises(SupervisionFault, match="it broke"):
        serving(tmp_path, act)


@pytest.mark.parametrize(
    "line", [b"rubbish", b"[]", b"{}", b'"greet"', b'{"do": 7}', b'{"do": "dance"}', b"\xff\xfe"]
)
def test_a_line_that_is_no_order_is_refused_and_the_next_is_heard(
    tmp_path: Path, line: bytes
) -> None:
    answers = serving(tmp_path, lambda: raw(tmp_path, line + b'\n{"do": "greet"}\n'))
    assert answers == [
        {"ok": False, "error": "an order is one of greet, fail"},
        {"ok": True, "hello": ""},
    ]


def test_a_home_whose_path_is_longer_than_a_socket_name_may_be_works_too(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 20) / ("deeper" * 15)
    home.mkdir(parents=True)

    def act() -> object:
        with ControlClient(home) as control:
            return control.ask("greet", "x")

    assert serving(home, act) == {"hello": "x"}


def test_a_home_where_nothing_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(HomeRefusedError, match="no mesh is running in"):
        ControlClient(tmp_path)


def test_a_socket_that_a_killed_supervisor_left_is_no_running_mesh(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    with pytest.raises(HomeRefusedError, match="no mesh is running in"):
        ControlClient(tmp_path)
    assert serving(tmp_path, lambda: raw(tmp_path, b'{"do": "greet"}\n'))[0]["ok"]


def test_the_end_of_the_server_is_the_end_of_the_connection(tmp_path: Path) -> None:
    heard: list[str] = []

    async def scenario() -> None:
        server = ControlServer(tmp_path, {"greet": greet})
        await server.start()

        def listen() -> None:
            with ControlClient(tmp_path) as control:
                control.ask("greet")
                heard.append("answer")
                asked.set()
                control.wait_for_end()
                heard.append("end")

        asked = threading.Event()
        listener = asyncio.create_task(asyncio.to_thread(listen))
        await asyncio.to_thread(asked.wait)
        assert heard == ["answer"]
        await server.stop()
        await listener

    asyncio.run(scenario())
    assert heard == ["answer", "end"]
