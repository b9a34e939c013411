"""Ports: the documented plan, free blocks, and who holds one that is taken."""

import os
import socket
from collections.abc import Iterator

import pytest

from heptad.runtime.errors import PortTakenError
from heptad.runtime.ports import (
    BLOCK_PORTS,
    PortPlan,
    container_plan,
    is_free,
    require_free,
    reserve_block,
)

MEMBERS = [
    "gateway-1",
    "ledger-1",
    *(f"validator-{n}" for n in range(1, 10)),
    *(f"replica-{n}" for n in range(1, 61)),
]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_no_two_listeners_of_the_largest_cell_share_a_port_of_the_block() -> None:
    plan = PortPlan(7_700)
    addresses = [plan.http(), plan.admin(), *map(plan.grpc, MEMBERS), *map(plan.metrics, MEMBERS)]
    assert len(set(addresses)) == len(addresses)
    ports = [int(address.rpartition(":")[2]) for address in addresses]
    assert min(ports) >= 7_700
    assert max(ports) < 7_700 + BLOCK_PORTS


def test_in_containers_members_are_found_by_their_names_and_bind_every_network() -> None:
    plan = container_plan()
    assert plan.grpc("replica-3") == "replica-3:7733"
    assert plan.http() == "gateway-1:7700"
    bound = [plan.http_listen(), plan.admin()]
    bound += [*map(plan.grpc_listen, MEMBERS), *map(plan.metrics, MEMBERS)]
    assert {address.rpartition(":")[0] for address in bound} == {"0.0.0.0"}
    assert len(set(bound)) == len(bound)


def test_a_taken_port_is_named_with_its_purpose_and_holder(taken_port: int) -> None:
    with pytest.raises(PortTakenError) as caught:
        require_free([("gateway-1 http", "127.0.0.1", taken_port)])
    text = str(caught.value)
    assert text.startswith(f"port {taken_port} (gateway-1 http) is held by process {os.getpid()} (")


def test_all_taken_ports_are_named_at_once(taken_port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError) as caught:
            require_free([("a", "127.0.0.1", taken_port), ("b", "127.0.0.1", port)])
    assert [line.split()[1] for line in str(caught.value).splitlines()] == [
        str(taken_port),
        str(port),
    ]


def test_free_ports_raise_nothing(taken_port: int) -> None:
    with reserve_block(start_hint=5) as block:
        require_free([("x", "127.0.0.1", block.base)])
    assert not is_free("127.0.0.1", taken_port)


def test_a_block_with_one_taken_port_is_passed_over() -> None:
    with reserve_block(start_hint=17) as block:
        base = block.base
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", base + BLOCK_PORTS - 1))
        squatter.listen()
        with reserve_block(start_hint=17) as other:
            assert other.base != base


def test_a_reserved_block_is_nobody_elses_until_it_is_given_back() -> None:
    with reserve_block(start_hint=29) as one, reserve_block(start_hint=29) as two:
        assert one.base != two.base
    with reserve_block(start_hint=29) as again:
        assert again.base == one.base


def test_where_a_whole_mesh_holds_the_ports_a_few_lines_say_so(taken_port: int) -> None:
    with pytest.raises(PortTakenError) as caught:
        require_free([("x", "127.0.0.1", taken_port)] * 24)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "… and 19 more ports are taken"
