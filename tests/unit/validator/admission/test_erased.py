"""What a validator does when the vault says that a subject is erased: at once, and completely."""

import asyncio

from heptad.crypto.registration import sign_registration
from heptad.model.lending import Leases, LeaseSubjects, LentElsewhere, Revoked, SubjectLease
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad_validator.lending.revoking import take_back


class Vault:
    """Takes leases back."""

    def __init__(self):
        self.returned = []

    def give_back(self, lease_ids):
        self.returned += lease_ids


def erase(world, *subjects, erased=True):
    vault = Vault()
    take_back(Revoked(subjects, erased), parts=world.parts, vault=vault)
    return vault.returned


def refuses(world, subject, code="subject_erased"):
    """From now on the vault lends nothing of that subject."""

    def spoil(answer):
        if isinstance(answer, Leases):
            spoiled = (
                SubjectLease(subject, refused_code=code) if each.subject_id == subject else each
                for each in answer.leases
            )
            return Leases(tuple(spoiled))
        return answer

    world.ledger.spoil = spoil


def test_its_lease_goes_back_at_once_and_nothing_is_sealed_under_it(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        lease = world.book.live(subject, world.clock.mono_s)
        refuses(world, subject)
        assert erase(world, subject) == [lease.lease_id]
        assert await world.refused(world.sign(ed_key, subject)) == "subject_erased"

    play(scenario)


def test_requests_that_wait_for_its_key_are_refused_at_once(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        gate, answer = asyncio.Event(), world.ledger.answer

        async def ask(question, *, timeout_s):
            if isinstance(question, LeaseSubjects):
                await gate.wait()
            return answer(question)

        world.ledger.ask = ask
        [number] = await world.submit(world.sign(ed_key, subject))
        erase(world, subject)
        told = world.answers.of(number)
        assert isinstance(told, Problem)
        assert told.code == "subject_erased"
        # the lease that was under way comes too late
        gate.set()
        await world.settle_down()
        assert world.book.live(subject, world.clock.mono_s) is None
        assert world.outstanding() == []

    play(scenario)


def test_the_same_bytes_within_a_second_are_judged_anew(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.submit(jws)
        await world.commit()
        refuses(world, subject)
        erase(world, subject)
        assert await world.refused(jws) == "subject_erased"

    play(scenario)


def test_a_request_that_is_looked_up_meanwhile_is_not_admitted(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        lent = LentElsewhere((subject,), 60_000)
        world.parts.look_ups.follow_others(lent, now_s=world.clock.wall_ms // 1000)
        gate, answer = asyncio.Event(), world.ledger.answer

        async def ask(question, *, timeout_s):
            if not isinstance(question, LeaseSubjects):
                await gate.wait()
            return world.ledger.spoil(answer(question))

        world.ledger.ask = ask
        [number] = await world.submit(world.sign(ed_key, subject))
        refuses(world, subject)
        erase(world, subject)
        gate.set()
        await world.settle_down()
        assert world.answers.of(number).code == "subject_erased"
        assert world.outstanding() == []

    play(scenario)


def test_nothing_is_remembered_under_its_id(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        now_s = world.clock.wall_ms // 1000
        world.parts.look_ups.follow_others(LentElsewhere((subject,), 60_000), now_s=now_s)
        world.book.key_revoked(subject, kid="k", index=7)
        world.book.key_added(subject, index=8, now_s=world.clock.mono_s)
        erase(world, subject)
        assert subject not in world.parts.look_ups._strays
        assert subject not in world.book._added
        assert (subject, "k") not in world.book._ended

    play(scenario)


def test_a_revoked_key_alone_refuses_nobody(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        assert len(erase(world, subject, erased=False)) == 1
        world.clock.move(1)
        [number] = await world.submit(world.sign(ed_key, subject))
        await world.commit()
        assert not isinstance(world.answers.of(number), Problem)

    play(scenario)


def test_the_slot_of_a_registration_goes_back_once_its_record_is_sealed(play, ed_key):
    """Else who is erased within the minute would have to wait for the rest of it."""

    async def scenario(world):
        now_s = world.clock.wall_ms // 1000
        jws = sign_registration(
            ed_key, aud="cell.example", jti="00000000-0000-4000-8000-000000000001",
            iat=now_s, exp=now_s + 60, svc="heptad",
        )  # fmt: skip
        caller = Identity("cell.example", Role.GATEWAY, "gateway-1")
        call = asyncio.ensure_future(world.registrar.register(jws, caller=caller, patience_s=60.0))
        await world.settle_down()
        [slot] = world.ledger.leases
        assert world.book.take_returned() == (slot,)
        await world.commit()
        await call

    play(scenario)
