"""The entry of a policy change names one file, by all of its bytes."""

from hashlib import sha256

from heptad.model.entry import Entry, Kind, Outcome
from heptad.verification import examine_policy_change, is_policy_change
from heptad.wire.convert.entry import encode_entry
from heptad.wire.convert.entry_facts import encode_policy_change

OLD, NEW = (sha256(content).digest() for content in (b"old", b"new"))


def entry(statement, kind=Kind.POLICY_CHANGE):
    return encode_entry(Entry(kind, "", "", Outcome.NONE, 5, 1, b"", statement))


CHANGE = entry(encode_policy_change(cell_sha256=NEW, previous_sha256=OLD))


def test_only_the_file_that_is_named_is_the_one():
    assert examine_policy_change(CHANGE, cell_sha256=NEW).holds
    finding = examine_policy_change(CHANGE, cell_sha256=OLD)
    assert not finding.holds
    assert f"in hand is {OLD.hex()}" in finding.detail


def test_what_cannot_be_read_names_no_file():
    assert not examine_policy_change(entry(b"\xff"), cell_sha256=NEW).holds
    assert not examine_policy_change(b"\xff", cell_sha256=NEW).holds


def test_only_such_entries_are_asked():
    assert is_policy_change(CHANGE)
    assert not is_policy_change(entry(b"", Kind.DUPLICATE))
    assert not is_policy_change(b"\xff")
