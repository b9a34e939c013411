"""Where the files of configuration lie under a home, and reading them against each other."""

import hashlib
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from heptad.runtime.config.cell import Cell
from heptad.runtime.config.decode import DataclassLike, read, toml_text
from heptad.runtime.config.node import Node
from heptad.runtime.config.profile import Profile
from heptad.runtime.config.telemetry import Telemetry
from heptad.runtime.disk import write_atomically
from heptad.runtime.errors import ConfigInvalidError

CELL_FILE = "cell.toml"
NODE_FILE = "config.toml"
PROFILE_FILE = "profile.toml"


class NodeConfig(DataclassLike, Protocol):
    """What the four services' configurations have in common."""

    role: ClassVar[str]

    @property
    def node(self) -> Node:
        """The common table."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """What is traced, and where it goes."""
        ...


NodeConfigT = TypeVar("NodeConfigT", bound=NodeConfig)


def load_cell(home: Path) -> Cell:
    """Read `cell.toml`. Raises: ConfigInvalidError."""
    return read(Cell, home / CELL_FILE)


def cell_digest(home: Path) -> bytes:
    """SHA-256 of `cell.toml` as it lies on disk, 32 bytes: what a policy-change entry records."""
    return hashlib.sha256((home / CELL_FILE).read_bytes()).digest()


def load_node_config(kind: type[NodeConfigT], *, home: Path, name: str) -> NodeConfigT:
    """Read `<name>/config.toml` and hold it against the folder that it lies in.

    Raises: ConfigInvalidError.
    """
    path = home / name / NODE_FILE
    config = read(kind, path)
    mistakes = []
    if config.node.id != name:
        mistakes.append(f"{path}: node.id: {config.node.id!r} lies in the folder of {name!r}")
    if config.node.role != kind.role:
        mistakes.append(f"{path}: node.id: {config.node.id!r} is not a {kind.role}")
    if mistakes:
        raise ConfigInvalidError(tuple(mistakes))
    return config


def load_profile(folder: Path) -> Profile:
    """Read `profile.toml` in a client's folder. Raises: ConfigInvalidError."""
    return read(Profile, folder / PROFILE_FILE)


def write_config(config: DataclassLike, path: Path, *, head: str) -> None:
    """Write a file of configuration in one step; `head` becomes its opening comment."""
    write_atomically(path, toml_text(config, head=head).encode("utf-8"), mode=0o644)
