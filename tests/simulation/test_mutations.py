"""The checkers are not blind: with one rule taken out of the code under test, they find it.

Each mutation is what a careless change might do. Seeds are tried until it shows; with the rule in
place the very same seeds break nothing.
"""

from dataclasses import replace

import pytest

from heptad.consensus.certificates import Certificates
from heptad.consensus.committee import Committee
from heptad.consensus.core import adopting
from heptad.consensus.core.machine import Core
from heptad.consensus.driver import Driver
from heptad.consensus.errors import RefusedError
from heptad.consensus.kernel.rules import Kernel
from heptad.consensus.verified import SEAL, VerifiedEntry
from heptad.simulation.faults import FAULTS, random_scenario
from heptad.simulation.violations import Broken
from heptad.simulation.world import World

SEEDS = range(100_000, 100_060)
FIRST_SEEDS = SEEDS[:10]


def scenario_of(seed, *, villain=None, twins=None, faults=FAULTS):
    scenario = random_scenario(
        seed, members=4, faults=frozenset(faults) - {"limits"}, twins_count=twins
    )
    if villain is not None:
        scenario = replace(scenario, twins=(), villains={"replica-1": (villain,)}, actions=tuple(
            action for action in scenario.actions if type(action).__name__ != "Wipe"
            and "twin" not in str(action)
        ))  # fmt: skip
    return scenario


def first_broken(**options):
    """How the first history ends that breaks a promise; None if none does."""
    endings = (World(scenario_of(seed, **options)).run().broken for seed in SEEDS)
    return next((broken for broken in endings if broken is not None), None)


def forget(field):
    """A kernel that decides about votes as if `field` were still 0."""
    original = Kernel._require_votable

    def votable(self, block):
        record = self._record
        self._record = replace(record, **{field: 0})
        try:
            original(self, block)
        finally:
            self._record = record

    return votable


@pytest.mark.parametrize("options", [{}, {"villain": "equivocate"}, {"villain": "stale"}])
def test_with_every_rule_in_place_these_seeds_break_nothing(options):
    assert [World(scenario_of(seed, **options)).run().broken for seed in FIRST_SEEDS] == [
        None for _ in FIRST_SEEDS
    ]


def test_voting_twice_in_a_round_is_found(monkeypatch):
    monkeypatch.setattr(Kernel, "_require_votable", forget("round_voted"))

    assert first_broken(villain="equivocate") in {Broken.TWO_VOTES, Broken.VOTE_RULE}


def test_voting_after_giving_up_is_found(monkeypatch):
    monkeypatch.setattr(Kernel, "_require_votable", forget("round_timed_out"))

    assert first_broken() is Broken.VOTE_RULE


def test_extending_less_than_the_time_outs_claim_is_found(monkeypatch):
    def any_entry(self, block):
        tc = None if block.tc is None else self.tc(block.tc)
        return VerifiedEntry(block.id, self.qc(block.justify), tc, SEAL)

    def any_round(self, block):
        if block.round <= max(self._record.round_voted, self._record.round_timed_out):
            raise RefusedError("voted or given up on")

    monkeypatch.setattr(Certificates, "entry", any_entry)
    monkeypatch.setattr(Kernel, "_require_votable", any_round)

    assert first_broken(villain="stale") is Broken.VOTE_RULE


def test_forgetting_the_highest_certificate_is_found(monkeypatch):
    monkeypatch.setattr(Kernel, "learn_qc", lambda self, verified: None)

    assert first_broken() is not None


def test_releasing_before_the_write_is_found(monkeypatch):
    def hasty(self, events, now_ms):
        if events:
            wave = self.begin(events, now_ms)
            self._is_written = True
            self.release(wave)
            self._in_flight = wave
            self.write(wave)
            self._in_flight, self._is_written = None, False

    monkeypatch.setattr(Driver, "run", hasty)

    assert first_broken() is Broken.NOT_DURABLE


def test_a_record_that_is_not_written_with_the_vote_is_found(monkeypatch):
    original = Kernel.take_record
    monkeypatch.setattr(
        Kernel,
        "take_record",
        lambda self, *, always=False: original(self, always=True) if always else None,
    )

    assert first_broken() is Broken.NOT_DURABLE


def test_going_on_after_a_failed_write_is_found(monkeypatch):
    original = Driver.write

    def stubborn(self, wave):
        try:
            original(self, wave)
        finally:
            self._is_dead, self._in_flight = False, None

    monkeypatch.setattr(Driver, "write", stubborn)

    assert first_broken() is Broken.CRASH


def test_committing_on_rounds_that_do_not_follow_each_other_is_found(monkeypatch):
    def careless(parts, verified):
        child = parts.chain.tree.get(verified.qc.block_id)
        parent = None if child is None else parts.chain.tree.get(child.block.parent_id)
        if parent is not None and parent is not parts.chain.tree.root:
            adopting._commit(parts, parent, adopting.CommitProof(child.block, verified.qc))

    monkeypatch.setattr(adopting, "commit_by", careless)

    assert first_broken() in {Broken.UNPROVEN, Broken.FORK}


def test_a_quorum_too_small_is_found(monkeypatch):
    monkeypatch.setattr(Committee, "quorum", property(lambda self: self.n - self.f - 1))

    assert first_broken(twins=1, faults=("twins",)) is Broken.SPECIFICATION


def test_a_crash_of_honest_code_is_found(monkeypatch):
    original = Core._take_message

    def fragile(self, sender, payload):
        assert len(payload) < 2_000, "nobody sends so much"
        original(self, sender, payload)

    monkeypatch.setattr(Core, "_take_message", fragile)

    assert first_broken() is Broken.CRASH


def test_a_timer_that_never_stops_is_found(monkeypatch):
    original = Core._timer_at_ms
    monkeypatch.setattr(
        Core, "_timer_at_ms", lambda self: original(self) or self._parts.now_ms + 1_000
    )

    assert first_broken(faults=()) is Broken.RESTLESS


def test_a_group_that_stands_still_is_found(monkeypatch):
    def never(self, round_):
        raise RefusedError("this member never gives up")

    monkeypatch.setattr(Kernel, "timeout", never)

    assert first_broken() in {Broken.STUCK, Broken.RESTLESS}
