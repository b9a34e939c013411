"""The counters of the log are what counting its entries gives, whatever the entries are."""

from collections import Counter

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.store import totals as totals_module
from heptad_ledger.store.totals import drop_totals, recount


def entry(kind, service):
    return encode_entry(Entry(kind, service, "a", Outcome.NONE, 1, 1, b"")), b""


@pytest.fixture
def counted(ledger, group):
    tax, health = entry(Kind.ACCESS, "tax"), entry(Kind.EXPORT, "health")
    group.commit(group.batch([tax, tax, health]), group.batch([tax]))
    group.commit(group.batch([health, (b"no entry at all", b""), entry(Kind.ACCESS, "ä" * 9)]))
    ledger.catch_up()
    group.commit(group.batch([entry(Kind.BUNDLE, "tax")]))
    ledger.catch_up()
    return ledger


def test_every_entry_is_counted_once_by_kind_and_by_service(counted):
    size, totals, service_count = counted.store.totals()
    assert size == 8
    assert totals.kinds == Counter({Kind.ACCESS: 4, Kind.EXPORT: 2, Kind.BUNDLE: 1, 0: 1})
    assert totals.services == Counter({"tax": 4, "health": 2, "": 2})
    assert service_count == 3


def test_counting_again_gives_what_was_counted_on_the_way(counted):
    with counted.store.snapshot() as snapshot:
        again = recount(snapshot)
    assert again == counted.store.totals()[1]


def test_a_store_whose_counters_are_not_of_its_size_counts_again(counted):
    before = counted.store.totals()
    with counted.store._environment.writing() as transaction:
        drop_totals(transaction, counted.store._environment)
    assert counted.store.totals()[0] == 0
    counted.store.count_again()
    assert counted.store.totals() == before


def test_no_more_services_are_listed_than_the_limit(counted, monkeypatch):
    monkeypatch.setattr(totals_module, "SERVICES_LISTED_MAX", 2)
    _, totals, service_count = counted.store.totals()
    assert (list(totals.services), service_count) == (["", "health"], 3)


def test_a_wave_that_is_not_written_is_not_counted(counted, group, monkeypatch):
    before = counted.store.totals()
    group.commit(group.batch([entry(Kind.BUNDLE, "tax")]), root=b"\x01" * 32)
    with pytest.raises(Exception, match="head says"):
        counted.catch_up()
    assert counted.store.totals() == before
