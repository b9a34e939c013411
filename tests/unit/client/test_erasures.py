"""Following an erasure: until the certificate is there, judged, or until it cannot come."""

import asyncio
import dataclasses

import pytest
from unit.verification.conftest import policy_of
from unit.verification.erasure_log import CERTIFICATE, made

from heptad.client import erasures
from heptad.client.erasures import await_certificate
from heptad.client.officer import Officer
from heptad.model.erasing import SUBJECTS_MAX, ErasurePage, Ordered, RevokeKeyCall
from heptad.model.erasure import ErasureGround, ErasureState, RefusalGround
from heptad.model.problems import Problem
from heptad.transparency.policy import Policy
from heptad.verification import ReceiptRefusedError

ERASED = made()
RECEIVED = dataclasses.replace(ERASED, state=ErasureState.RECEIVED, certificate=None)
UNPROVED = dataclasses.replace(ERASED, certificate=None)
REFUSED = dataclasses.replace(
    RECEIVED, state=ErasureState.REFUSED, refusal_ground=RefusalGround.PUBLIC_TASK
)
UNKNOWN = Problem("erasure_unknown", "not yet")
DOWN = Problem("ledger_unavailable", "down")


class FakePrivacy:
    """Tells one after the other; the last again and again."""

    def __init__(self, *told):
        self.told, self.asked, self.ordered = list(told), [], []

    async def erasure(self, name, *, terms):
        self.asked.append(name)
        told = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if isinstance(told, Problem):
            raise told
        return told

    async def erasures(self, *, page_token, terms):
        pages = {"": ErasurePage((RECEIVED,), "2"), "2": ErasurePage((ERASED,), "")}
        return pages[page_token]

    async def order(self, call, *, terms):
        self.ordered.append(call)
        return tuple(Ordered(subject, b"r" * 32) for subject in call.subject_ids)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(erasures, "_PAUSE_S", 0.0)


def certificate(privacy, *, wait_s=60.0, policy=None):
    return asyncio.run(
        await_certificate(privacy, b"r" * 32, policy=policy or policy_of(), wait_s=wait_s)
    )


def test_a_certificate_is_waited_for_through_all_states():
    privacy = FakePrivacy(UNKNOWN, RECEIVED, DOWN, UNPROVED, ERASED)
    file = certificate(privacy)
    assert file.core["slot"] == CERTIFICATE.slot
    assert privacy.asked == [b"r" * 32] * 5


def test_a_refusal_is_not_waited_for():
    with pytest.raises(Problem, match="public_task") as caught:
        certificate(FakePrivacy(RECEIVED, REFUSED))
    assert caught.value.code == "erasure_refused"


@pytest.mark.parametrize(("told", "state"), [(UNKNOWN, "not known"), (RECEIVED, "received")])
def test_the_waiting_ends_and_says_how_it_stands(told, state, monkeypatch):
    monkeypatch.setattr(erasures, "_PAUSE_S", 1.0)
    with pytest.raises(Problem, match=state) as caught:
        certificate(FakePrivacy(told), wait_s=0.5)
    assert caught.value.code == "certificate_pending"


def test_a_failure_that_does_not_pass_is_raised():
    with pytest.raises(Problem, match="role_refused"):
        certificate(FakePrivacy(Problem("role_refused", "no")))


def test_a_certificate_that_the_policy_does_not_believe_is_not_handed_on():
    stricter = policy_of(7)
    assert isinstance(stricter, Policy)
    with pytest.raises(ReceiptRefusedError, match="quorum"):
        certificate(FakePrivacy(ERASED), policy=stricter)


def officer(privacy):
    known = Officer.__new__(Officer)
    known.privacy, known.policy = privacy, policy_of()
    return known


def test_more_subjects_than_one_call_takes_are_ordered_in_several():
    privacy = FakePrivacy(ERASED)
    ids = [f"kn-{number}" for number in range(SUBJECTS_MAX + 1)]
    order = officer(privacy).order(ids, ground=ErasureGround.OBJECTION, reason="letter")
    ordered = asyncio.run(order)
    assert [each.subject_id for each in ordered] == ids
    assert [len(call.subject_ids) for call in privacy.ordered] == [SUBJECTS_MAX, 1]


def test_the_key_of_a_lost_device_is_revoked_with_a_reason():
    class Ledger:
        async def revoke_key(self, call, *, terms):
            assert call == RevokeKeyCall("kn-x", "k" * 43, "the phone was stolen")
            return 17

    revoking = officer(Ledger()).revoke_key("kn-x", kid="k" * 43, reason="the phone was stolen")
    assert asyncio.run(revoking) == 17


def test_all_pages_of_open_erasures_are_listed():
    async def listed():
        return [erasure async for erasure in officer(FakePrivacy(ERASED)).open_erasures()]

    assert asyncio.run(listed()) == [RECEIVED, ERASED]
