"""A ledger that owes erasures tells and decides nothing; the age of what nobody has decided."""

import asyncio

import pytest
from unit.ledger.test_officers import DPO, GROUND, LEGAL, REASON, RECEIVED, World, erased

from heptad.model.erasing import DecisionCall, OrderCall
from heptad.model.problems import Problem
from heptad_ledger.privacy.decisions import undecided_age


def owes():
    raise Problem("vault_unavailable", "erasures are carried out first", retry_after_s=1)


def test_a_restored_ledger_that_owes_erasures_tells_and_decides_nothing(ledger, office, group):
    world = World(ledger, office, group)
    subject = world.register(1)
    world.book.put(RECEIVED, subject_id=subject)
    world.desk._require_settled = world.reads._require_settled = owes
    for read in (
        lambda: world.reads.find(b"r" * 32, is_officer=False),
        lambda: world.reads.find(subject, is_officer=True),
        lambda: world.reads.page(0, ""),
    ):
        with pytest.raises(Problem, match="vault_unavailable"):
            read()
    for decide in (world.desk.refuse, world.desk.set_hold, world.desk.lift_hold):
        with pytest.raises(Problem, match="vault_unavailable"):
            asyncio.run(decide(DecisionCall(subject, LEGAL, REASON), caller=DPO))
    [refused] = asyncio.run(world.desk.order(OrderCall((subject,), GROUND, REASON), caller=DPO))
    assert refused.refused_code == "vault_unavailable"
    assert not world.recorded


def test_a_checkpoint_that_is_stored_and_not_served_yet_proves_no_certificate(
    ledger, office, group
):
    world = World(ledger, office, group)
    world.register(1)
    world.publish()
    served = world.published
    erased(world, "")
    world.publish()
    stored, world.published = world.published, served
    assert world.reads.find(b"r" * 32, is_officer=False).certificate is None
    world.published = stored
    assert world.reads.find(b"r" * 32, is_officer=False).certificate is not None


def test_the_age_is_that_of_the_oldest_undecided_request():
    assert undecided_age(None, now_ms=5_000) == {(): 0.0}
    assert undecided_age(2_000, now_ms=5_500) == {(): 3.5}
    # A clock that was set back makes nothing younger than nothing.
    assert undecided_age(9_000, now_ms=5_000) == {(): 0.0}
