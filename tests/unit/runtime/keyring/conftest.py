"""A small home whose keys are exchanged, and crashes at every write."""

import itertools
import shutil
from datetime import UTC, datetime

import pytest

from heptad.crypto.keys import load_service_key
from heptad.runtime.config import load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.keyring import cell_file, certificates, private_files, relying
from heptad.runtime.ports import PortPlan

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class PowerCut(BaseException):
    """The machine stops here."""


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    """No power is cut here, and hundreds of files are written."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    home = tmp_path_factory.mktemp("keyring") / "home"
    create_home(home, GenesisPlan(PortPlan(7700), replica_count=4), now=BEGAN)
    return home


@pytest.fixture
def home(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "home")


@pytest.fixture
def public_of(home):
    """The public half of a private key of the home."""

    def public_of(name, file):
        return load_service_key(home / name / "keys" / file).public_key

    return public_of


@pytest.fixture
def cell_of(home):
    return lambda: load_cell(home)


@pytest.fixture
def crashes(pristine, home, monkeypatch):
    """`crashes(work)`: in a fresh home each time, die before the n-th change of a file, for all n.

    Yields n with the home as it lies there then, and again once `work` was ordered once more.
    """

    def cut_at(number, work):
        left = [number]

        def counted(change):
            def changing(*arguments, **named):
                if left[0] == 0:
                    raise PowerCut
                left[0] -= 1
                return change(*arguments, **named)

            return changing

        with monkeypatch.context() as patch:
            for module, name in CHANGES:
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                work()
            except PowerCut:
                return False
        return True

    def crashes(work):
        for number in itertools.count():
            shutil.rmtree(home)
            shutil.copytree(pristine, home)
            is_done = cut_at(number, work)
            yield number
            if is_done:
                return
            work()
            yield number

    return crashes


CHANGES = (
    (private_files, "save_key"),
    (private_files, "rename"),
    (cell_file, "write_config"),
    (cell_file, "write_atomically"),
    (relying, "save_key"),
    (relying, "write_config"),
    (relying, "remove"),
    (certificates, "write_atomically"),
    (certificates, "rename"),
)
