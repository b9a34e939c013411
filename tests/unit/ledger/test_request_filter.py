"""A request that was met is always suspected; one that was not hardly ever is."""

from hashlib import sha256

import lmdb
import pytest

from heptad_ledger.store import request_filter
from heptad_ledger.store.request_filter import RequestFilter
from heptad_ledger.store.row_pages import put_rows


def refs(first, last):
    return [sha256(b"%d" % n).digest()[:16] for n in range(first, last)]


@pytest.fixture
def cursor(tmp_path):
    with (
        lmdb.open(str(tmp_path), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
        transaction.cursor() as cursor,
    ):
        yield cursor


def learned(cursor):
    met = RequestFilter()
    met.learn(cursor)
    return met


def test_what_was_met_is_suspected_and_little_else(cursor):
    met = learned(cursor)
    assert len(met.meet(refs(0, 20_000))) < 20
    assert met.meet(refs(0, 20_000)) == refs(0, 20_000)
    assert len(met.meet(refs(20_000, 40_000))) < 100


def test_until_all_is_learned_what_is_not_known_is_suspected(cursor, monkeypatch):
    # given a table of a former process, of which a part is learned at a time
    monkeypatch.setattr(request_filter, "LEARNED_AT_ONCE", 2_500)
    there = refs(0, 10_000)
    put_rows(cursor, sorted(ref + bytes(8) for ref in there))
    met, absent, suspected = RequestFilter(), refs(20_000, 20_500), []
    # then whatever has been learned, nothing that is there is taken for new
    for start in range(0, 10_000, 2_000):
        asked = there[start : start + 2_000]
        assert sorted(met.meet(asked)) == sorted(asked)
        suspected.append(len(learned_twin(met).meet(absent)))
        met.learn(cursor)
    # and less and less that is not there is suspected
    assert suspected[0] == 500
    assert suspected == sorted(suspected, reverse=True)
    assert suspected[-1] < 10


def learned_twin(met):
    twin = RequestFilter()
    twin._bytes, twin._unknown_from = bytearray(met._bytes), met._unknown_from
    return twin
