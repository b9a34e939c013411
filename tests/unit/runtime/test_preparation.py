"""What `heptad up` does before it starts anything."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.runtime.config import load_cell
from heptad.runtime.errors import ConfigInvalidError, HomeRefusedError, PortTakenError
from heptad.runtime.mesh import locked
from heptad.runtime.ports import reserve_block
from heptad.runtime.preparation import prepare


@pytest.fixture
def base() -> Iterator[int]:
    with reserve_block(start_hint=os.getpid()) as block:
        yield block.base


@pytest.fixture
def new_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def http_port(home: Path) -> int:
    return int(load_cell(home).gateways[0].http.rpartition(":")[2])


def squat(port: int) -> socket.socket:
    squatter = socket.socket()
    # A mesh that used this block a minute ago may have left connections that are not quite gone.
    squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    squatter.bind(("127.0.0.1", port))
    squatter.listen()
    return squatter


def test_a_home_is_made_where_there_is_none(new_home: Path, base: int) -> None:
    cell = prepare(new_home, port_base=base, validator_count=None)
    assert cell == load_cell(new_home)
    assert http_port(new_home) == base
    assert (len(cell.replicas), len(cell.validators)) == (7, 2)


def test_an_existing_home_stays_as_it_is(new_home: Path, base: int) -> None:
    made = prepare(new_home, port_base=base, validator_count=3)
    assert prepare(new_home, port_base=None, validator_count=None) == made
    assert prepare(new_home, port_base=0, validator_count=3) == made


def test_another_number_of_validators_needs_another_home(new_home: Path, base: int) -> None:
    prepare(new_home, port_base=base, validator_count=1)
    with pytest.raises(HomeRefusedError, match="was made with 1 validators"):
        prepare(new_home, port_base=base, validator_count=2)


def test_a_taken_port_is_refused_unless_any_port_will_do(new_home: Path, base: int) -> None:
    made = prepare(new_home, port_base=base, validator_count=1)
    with squat(base + 31):
        with pytest.raises(PortTakenError, match=rf"port {base + 31} \(replica-1 grpc\)"):
            prepare(new_home, port_base=None, validator_count=None)
        assert load_cell(new_home) == made
        moved = prepare(new_home, port_base=0, validator_count=None)
    assert moved.origin == made.origin
    assert http_port(new_home) != base


def test_a_home_moves_to_the_ports_that_are_asked_for(new_home: Path, base: int) -> None:
    prepare(new_home, port_base=base, validator_count=1)
    with reserve_block(start_hint=1) as other:
        prepare(new_home, port_base=other.base, validator_count=None)
        assert http_port(new_home) == other.base


def test_a_home_that_is_up_is_left_alone(new_home: Path, base: int) -> None:
    made = prepare(new_home, port_base=base, validator_count=1)
    with locked(new_home), pytest.raises(HomeRefusedError, match="is already up"):
        prepare(new_home, port_base=0, validator_count=None)
    assert load_cell(new_home) == made


def test_a_folder_that_holds_something_else_is_refused(new_home: Path, base: int) -> None:
    new_home.mkdir()
    (new_home / "notes.txt").touch()
    with pytest.raises(HomeRefusedError, match="exists and is not empty"):
        prepare(new_home, port_base=base, validator_count=None)


def test_a_home_with_a_broken_file_is_refused_with_the_mistake(new_home: Path, base: int) -> None:
    prepare(new_home, port_base=base, validator_count=1)
    path = new_home / "gateway-1" / "config.toml"
    path.write_text(path.read_text().replace("http = ", "htpp = "))
    with pytest.raises(ConfigInvalidError) as caught:
        prepare(new_home, port_base=None, validator_count=None)
    assert {mistake.partition("config.toml: ")[2] for mistake in caught.value.mistakes} == {
        "htpp: is not a known key",
        "http: is missing",
    }
