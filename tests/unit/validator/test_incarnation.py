"""An incarnation is on disk before anything is sent under it, and never used twice."""

import pytest

from heptad_validator.dispatching import incarnation as module
from heptad_validator.dispatching.incarnation import IncarnationFault, IncarnationFile


@pytest.fixture(name="open_file")
def _open_file(tmp_path):
    opened = []

    def open_file():
        opened.append(IncarnationFile(tmp_path))
        return opened[-1]

    yield open_file
    for file in opened:
        file.close()


def test_the_first_life_has_none_before_it(open_file):
    file = open_file()
    assert file.last() is None
    assert file.begin(now_ms=1_000) == 1_000
    assert file.last() == 1_000


def test_each_life_has_a_greater_number_even_when_the_clock_goes_back(open_file, tmp_path):
    numbers = []
    for now_ms in (1_000, 2_000, 500, 500):
        file = open_file()
        numbers.append(file.begin(now_ms=now_ms))
        file.close()
    assert numbers == [1_000, 2_000, 2_001, 2_002]
    open_file()


class PowerCut(BaseException):
    """The machine stops here."""


def test_who_dies_before_the_write_has_used_no_number(open_file, monkeypatch):
    file = open_file()
    file.begin(now_ms=1_000)

    def cut(*_, **__):
        raise PowerCut

    monkeypatch.setattr(module, "write_atomically", cut)
    with pytest.raises(PowerCut):
        file.begin(now_ms=2_000)
    assert file.last() == 1_000


def test_who_dies_after_the_write_never_comes_back_under_that_number(open_file, monkeypatch):
    file = open_file()
    write = module.write_atomically

    def write_and_cut(*arguments, **named):
        write(*arguments, **named)
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", write_and_cut)
        with pytest.raises(PowerCut):
            file.begin(now_ms=1_000)
    assert file.begin(now_ms=1_000) == 1_001


def test_a_number_that_cannot_be_kept_is_not_handed_out(open_file, monkeypatch):
    file = open_file()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(IncarnationFault, match="No space left"):
        file.begin(now_ms=1_000)


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"\xff", b"1 2", b"99999999999999999999"])
def test_a_damaged_file_stops_the_start_instead_of_beginning_anew(open_file, tmp_path, content):
    file = open_file()
    (tmp_path / module.FILE).write_bytes(content)
    with pytest.raises(IncarnationFault):
        file.begin(now_ms=1_000)


def test_two_processes_cannot_share_a_number(open_file, tmp_path):
    file = open_file()
    with pytest.raises(IncarnationFault, match="in use"):
        IncarnationFile(tmp_path)
    file.close()
    open_file()


OLD, NEW = range(5_000), range(5_000, 2**63)


def test_a_new_key_begins_no_life_before_its_first(open_file):
    """The clock is behind that of whoever rotated the key."""
    assert open_file().begin(now_ms=1_000, allowed=NEW) == 5_000


def test_an_old_key_goes_on_below_its_successors_first_life(open_file):
    """It is replaced in `cell.toml` already, and its validator is restarted before the exchange."""
    numbers = []
    for now_ms in (1_000, 6_000, 7_000):
        file = open_file()
        numbers.append(file.begin(now_ms=now_ms, allowed=OLD))
        file.close()
    assert numbers == [1_000, 1_001, 1_002]
    file = open_file()
    assert file.begin(now_ms=7_001, allowed=NEW) == 7_001


def test_an_old_key_whose_validator_lost_its_disk_comes_after_its_former_self(open_file):
    assert open_file().begin(now_ms=6_000, allowed=OLD) == 4_999


def test_an_old_key_begins_no_life_of_its_successor(open_file):
    file = open_file()
    file.begin(now_ms=4_999, allowed=OLD)
    with pytest.raises(IncarnationFault, match="none that this batch key may sign"):
        file.begin(now_ms=6_000, allowed=OLD)
    assert file.last() == 4_999
