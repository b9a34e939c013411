"""What `heptad keys` knows: every key once, its state, and when it is due."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from unit.runtime.keyring.conftest import BEGAN

from heptad.crypto.keys import KeyRole
from heptad.runtime.config.dates import format_date
from heptad.runtime.config.key_ages import KeyAges, load_key_ages
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.keyring import batch, certificates, dated, relying
from heptad.runtime.keyring.inventory import KeyState, inventory

AGES = KeyAges()
START = BEGAN + timedelta(days=100)
END = BEGAN + timedelta(days=120)
SINCE, AT = format_date(START), format_date(END)


@pytest.fixture
def facts(home):
    def facts(holder=None, duty=None):
        return [
            fact
            for fact in inventory(home, ages=AGES)
            if holder in (None, fact.holder) and duty in (None, fact.duty)
        ]

    return facts


def states(found):
    return [str(fact.state) for fact in found]


def overdue(found, now: datetime):
    return {(fact.holder, str(fact.duty)) for fact in found if fact.is_overdue(now)}


def test_every_key_of_a_new_home_is_current_and_as_old_as_the_home(facts):
    counts = Counter(str(fact.duty) for fact in facts())
    holders = 1 + 4 + 2 + 1 + 1 + 5
    assert counts == {
        "vote": 4, "cosign": 4, "batch": 2, "log": 1, "attestation": 1, "signing": 2,
        "tls": holders,
    }  # fmt: skip
    assert {fact.state for fact in facts()} == {KeyState.CURRENT}
    assert {fact.created for fact in facts()} == {BEGAN}


def test_nothing_is_due_at_first_and_each_thing_in_its_time(facts):
    assert overdue(facts(), BEGAN) == set()
    year = overdue(facts(), BEGAN + timedelta(days=AGES.batch_days_max))
    assert ("validator-1", "batch") in year
    assert ("tax-portal", "signing") in year
    assert ("replica-1", "tls") in year
    assert ("ledger-1", "log") not in year
    assert ("CA", "tls") not in year
    late = overdue(facts(), BEGAN + timedelta(days=36_000))
    assert ("ledger-1", "log") in late
    assert ("CA", "tls") in late
    assert not {duty for _, duty in late} & {"vote", "cosign"}


def test_a_certificate_is_due_before_it_ends_and_a_new_one_is_not(home, facts):
    due = facts("replica-2", "tls")[0].due
    ends = certificates.validity(home / "replica-2" / "tls.pem").ends
    assert ends - due == timedelta(days=AGES.tls_days_left_min)
    certificates.renew(home, ("replica-2",), now=due)
    assert overdue(facts(duty="tls"), due) & {("replica-2", "tls")} == set()
    assert ("replica-1", "tls") in overdue(facts(duty="tls"), due)


@pytest.mark.parametrize("duty", [KeyRole.LOG, KeyRole.ATTESTATION])
def test_a_key_of_the_ledger_is_next_then_current_then_the_old_one_retired(home, facts, duty):
    dated.start(home, duty, since=SINCE)
    assert states(facts("ledger-1", duty)) == ["current", "next"]
    unfinished = START + timedelta(days=AGES.overlap_days_max)
    assert ("ledger-1", str(duty)) in overdue(facts(), unfinished)
    assert ("ledger-1", str(duty)) not in overdue(facts(), unfinished - timedelta(days=1))
    dated.finish(home, duty, at=AT)
    assert states(facts("ledger-1", duty)) == ["retired", "current"]
    assert ("ledger-1", str(duty)) not in overdue(facts(), unfinished)


def test_a_validators_key_is_next_until_it_lies_in_the_place_of_the_old_one(home, facts):
    batch.start(home, "validator-1", now_ms=1_780_000_000_000, since=SINCE)
    assert states(facts("validator-1", "batch")) == ["current", "next"]
    batch.finish(home, "validator-1")
    assert states(facts("validator-1", "batch")) == ["retired", "current"]
    assert facts("validator-1", "batch")[1].created == START
    assert states(facts("validator-2", "batch")) == ["current"]


def test_a_services_key_is_next_until_its_profile_uses_it(home, facts):
    relying.start(home, "tax-portal", since=SINCE)
    assert states(facts("tax-portal", "signing")) == ["current", "next"]
    relying.use(home, "tax-portal")
    assert states(facts("tax-portal", "signing")) == ["current", "current"]
    unfinished = START + timedelta(days=AGES.overlap_days_max)
    assert ("tax-portal", "signing") in overdue(facts(), unfinished)
    relying.finish(home, "tax-portal", at=AT)
    assert states(facts("tax-portal", "signing")) == ["retired", "current"]
    assert ("tax-portal", "signing") not in overdue(facts(), unfinished)


def test_ages_come_from_the_home_and_are_refused_where_they_make_no_sense(home):
    assert load_key_ages(home) == KeyAges()
    (home / "keys.toml").write_text("batch_days_max = 30\n")
    assert load_key_ages(home) == KeyAges(batch_days_max=30)
    (home / "keys.toml").write_text("batch_days = 0\n")
    with pytest.raises(ConfigInvalidError, match="batch_days"):
        load_key_ages(home)
