import pytest

from heptad_ledger.begun import allow_beginning, mark_begun, require_may_begin
from heptad_ledger.errors import StoreDamagedError


class Told:
    """A log that keeps its warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, event, **_):
        self.warnings.append(event)


@pytest.fixture
def folders(tmp_path):
    data, keys = tmp_path / "data", tmp_path / "keys"
    keys.mkdir()
    return {"data": data, "keys": keys}


def begin(folders):
    require_may_begin(**folders)
    (folders["data"] / "log").mkdir(parents=True, exist_ok=True)
    (folders["data"] / "log" / "data.mdb").touch()
    mark_begun(**folders, log=Told())


def lose(folders):
    (folders["data"] / "log" / "data.mdb").unlink()


def test_a_new_ledger_begins_and_goes_on(folders):
    begin(folders)
    begin(folders)


def test_a_ledger_whose_log_has_vanished_does_not_begin_another(folders):
    begin(folders)
    lose(folders)
    with pytest.raises(StoreDamagedError, match="heptad ledger restore"):
        require_may_begin(**folders)


def test_a_ledger_whose_whole_data_folder_has_vanished_does_not_begin_another(folders):
    begin(folders)
    lose(folders)
    folders["data"].rename(folders["data"].with_name("elsewhere"))
    with pytest.raises(StoreDamagedError):
        require_may_begin(**folders)


def test_it_begins_anew_once_when_somebody_says_so(folders):
    begin(folders)
    lose(folders)
    allow_beginning(folders["data"])
    begin(folders)
    lose(folders)
    with pytest.raises(StoreDamagedError):
        require_may_begin(**folders)


def test_a_log_that_was_put_back_is_gone_on_with(folders):
    begin(folders)
    lose(folders)
    (folders["data"] / "log" / "data.mdb").touch()
    require_may_begin(**folders)


def test_a_ledger_that_was_moved_begins_where_it_is(folders, tmp_path):
    begin(folders)
    require_may_begin(data=tmp_path / "other", keys=folders["keys"])


def test_keys_that_cannot_be_marked_are_told(folders):
    told = Told()
    folders["data"].mkdir()
    mark_begun(data=folders["data"], keys=folders["keys"] / "missing", log=told)
    assert told.warnings == ["key_not_marked"]
