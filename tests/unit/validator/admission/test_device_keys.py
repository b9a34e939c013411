"""Keys that subjects add and revoke: what is refused, and from when on a key signs, or no more."""

import uuid

import pytest

from heptad.crypto import key_history
from heptad.crypto.device_keys import (
    addition_data,
    sign_key_addition,
    sign_key_proof,
    sign_key_revocation,
)
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.answers import Recorded, RequestState
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import LeaseSubjects, LookUpRequest, RequestFound
from heptad.model.requests import request_hash
from heptad_validator.checks import key_add

ORIGIN = "cell.example"
PHONE, LAPTOP = Ed25519Key(b"p" * 32), P256Key.generate()


def claims(world, subject, jti=None):
    now_s = world.clock.wall_ms // 1000
    return {
        "iss": subject,
        "aud": ORIGIN,
        "jti": jti or str(uuid.uuid4()),
        "iat": now_s - 1,
        "exp": now_s + 60,
    }


def adding(world, subject, new_key, *, by):
    return sign_key_addition(by, new_key, **claims(world, subject))


def revoking(world, subject, key, *, by):
    return sign_key_revocation(by, kid=key.public.kid, **claims(world, subject))


async def recorded(world, jws):
    """Send a request that must be recorded and committed."""
    [number] = await world.submit(jws)
    await world.commit()
    await world.settle_down()
    answer = world.answers.of(number)
    assert isinstance(answer, Recorded), answer
    assert (answer.state, answer.outcome) == (RequestState.COMMITTED, Outcome.ALLOWED)
    world.clock.move(0.001)
    return answer


# What a key may do, and from when on.


def test_a_key_signs_from_the_moment_in_which_its_addition_is_committed(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, LAPTOP, by=ed_key))
        await recorded(world, world.sign(LAPTOP, subject))
        assert [entry.kind for entry in world.entries] == [Kind.KEY_ADDED, Kind.REQUEST]
        assert (world.entries[0].service, world.entries[0].action) == ("heptad", "key.add")

    play(scenario)


def test_requests_of_a_new_key_wait_for_the_checkpoint_that_proves_it(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.is_lagging = True
        added = await recorded(world, adding(world, subject, PHONE, by=ed_key))
        world.ledger.is_silent = True
        [number] = await world.submit(world.sign(PHONE, subject))
        question = world.ledger.questions[-1]
        assert question == LeaseSubjects((subject,), wait_ms=2_000, proved_size_min=added.index + 1)
        world.ledger.is_silent = False
        world.ledger.catch_up()
        await world.settle_down()
        await recorded(world, world.sign(PHONE, subject))
        assert world.answers.of(number).code == "vault_unavailable"

    play(scenario)


def test_a_revoked_key_signs_nothing_from_the_moment_of_the_commit_on(play, ed_key):
    """Whether the ledger has heard of it or not, and whatever lease it gives meanwhile."""

    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        world.ledger.is_lagging = True
        await recorded(world, revoking(world, subject, ed_key, by=PHONE))
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(1)
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"
        await recorded(world, world.sign(PHONE, subject))
        world.ledger.catch_up()
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(1)
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"

    play(scenario)


def test_a_revocation_that_came_second_in_the_log_ends_with_what_the_ledger_says(play, ed_key):
    """Both keys revoke each other, at two validators: the log's order decides."""

    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        await recorded(world, revoking(world, subject, ed_key, by=PHONE))
        world.ledger.changes[subject].pop()
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(1)
        await recorded(world, world.sign(ed_key, subject))

    play(scenario)


def test_a_request_that_waits_for_a_lease_meets_the_revocation(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(1)

        def revoke_meanwhile(answer):
            world.ledger.spoil = lambda answer: answer
            world.ledger.change_keys(subject, revoking(world, subject, ed_key, by=PHONE))
            world.book.revoke(subject, world.clock.monotonic_s())
            world.clock.move(1)
            return answer

        world.ledger.spoil = revoke_meanwhile
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"

    play(scenario)


def test_a_request_that_is_looked_up_meets_the_revocation(play, ed_key):
    """Its signature was verified before, under a lease that has ended since."""

    async def scenario(world):
        subject = world.subject(ed_key, home=2)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))

        def revoke_meanwhile(answer):
            if isinstance(answer, RequestFound):
                world.ledger.change_keys(subject, revoking(world, subject, ed_key, by=PHONE))
                world.book.revoke(subject, world.clock.monotonic_s())
                world.clock.move(1)
            return answer

        world.ledger.spoil = revoke_meanwhile
        await world.submit(world.sign(ed_key, subject))
        assert any(isinstance(asked, LookUpRequest) for asked in world.ledger.questions)
        assert world.answers.codes() == ["key_revoked"]
        assert world.outstanding() == []

    play(scenario, validators=(1, 2))


def test_a_request_that_is_looked_up_meets_a_revocation_committed_here(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key, home=2)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))

        def revoke_meanwhile(answer):
            if isinstance(answer, RequestFound):
                world.book.key_revoked(subject, kid=ed_key.public.kid, index=10**6)
            return answer

        world.ledger.spoil = revoke_meanwhile
        await world.submit(world.sign(ed_key, subject))
        assert world.answers.codes() == ["key_revoked"]
        assert world.outstanding() == []

    play(scenario, validators=(1, 2))


def test_what_was_admitted_is_answered_although_its_key_is_revoked_since(play, ed_key):
    """A device revokes itself, and the answer is lost: the same bytes, or signed anew."""

    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        said = claims(world, subject)
        jws = sign_key_revocation(PHONE, kid=PHONE.public.kid, **said)
        first = await recorded(world, jws)
        world.clock.move(5)
        world.parts.recent.sweep(world.clock.monotonic_s())
        world.parts.recent.sweep(world.clock.monotonic_s() + 5)
        for again in (jws, sign_key_revocation(PHONE, kid=PHONE.public.kid, **said)):
            [number] = await world.submit(again)
            answer = world.answers.of(number)
            assert (answer.index, answer.replayed) == (first.index, True)
        forged = jws[:-8] + b"AAAAAAAA"
        assert await world.refused(forged) == "signature_invalid"

    play(scenario)


def test_the_recent_answers_let_no_revoked_key_through(play, ed_key):
    """They answer what was recorded; whatever is new is looked at anew."""

    async def scenario(world):
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        jws = world.sign(ed_key, subject)
        first = await recorded(world, jws)
        await recorded(world, revoking(world, subject, ed_key, by=PHONE))
        entries = len(world.entries)
        [number] = await world.submit(jws)
        assert world.answers.of(number).index == first.index
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"
        assert len(world.entries) == entries

    play(scenario)


def test_revocations_of_all_subjects_end_all_leases(play, ed_key, p256_key):
    async def scenario(world):
        for key in (ed_key, p256_key):
            await recorded(world, world.sign(key, world.subject(key)))
        assert len(world.book) == 2
        world.book.revoke_all(world.clock.monotonic_s())
        assert len(world.book) == 0
        assert world.book.is_outdated("kn-anybody", world.clock.monotonic_s())
        assert not world.book.is_outdated("kn-anybody", world.clock.monotonic_s() + 1)

    play(scenario)


def test_once_the_new_key_is_there_leases_are_asked_for_as_ever(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        added = await recorded(world, adding(world, subject, PHONE, by=ed_key))
        await recorded(world, world.sign(PHONE, subject))
        asked = LeaseSubjects((subject,), wait_ms=2_000, proved_size_min=added.index + 1)
        assert world.ledger.questions[-1] == asked
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(0.001)
        await recorded(world, world.sign(PHONE, subject))
        assert world.ledger.questions[-1] == LeaseSubjects((subject,))

    play(scenario)


# What is refused, and leaves no trace.


def nothing_is_recorded(world):
    return world.outstanding() == [] and world.entries == []


def test_a_key_that_is_there_is_not_added_again(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
        for key in (ed_key, PHONE):
            jws = adding(world, subject, key, by=ed_key)
            assert await world.refused(jws) == "key_exists"
        assert nothing_is_recorded(world)

    play(scenario)


def test_a_revoked_key_is_not_added_again(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
        world.ledger.change_keys(subject, revoking(world, subject, PHONE, by=ed_key))
        assert await world.refused(adding(world, subject, PHONE, by=ed_key)) == "key_exists"
        assert nothing_is_recorded(world)

    play(scenario)


def test_a_key_may_belong_to_two_subjects(play, ed_key):
    async def scenario(world):
        world.subject(PHONE)
        subject = world.subject(ed_key)
        await recorded(world, adding(world, subject, PHONE, by=ed_key))
        await recorded(world, world.sign(PHONE, subject))

    play(scenario)


def test_a_subject_has_no_more_keys_than_it_may_have(play, ed_key, monkeypatch):
    async def scenario(world):
        subject = world.subject(ed_key)
        for key in (PHONE, LAPTOP):
            world.ledger.change_keys(subject, adding(world, subject, key, by=ed_key))
        jws = adding(world, subject, Ed25519Key(b"x" * 32), by=ed_key)
        assert await world.refused(jws) == "keys_too_many"
        assert nothing_is_recorded(world)

    assert key_add.KEYS_MAX == key_history.KEYS_MAX == 64
    monkeypatch.setattr(key_add, "KEYS_MAX", 3)
    play(scenario)


def test_a_key_that_does_not_prove_itself_is_not_added(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        said = claims(world, subject)
        bound = {name: said[name] for name in ("iss", "aud", "jti")}
        genuine = sign_key_proof(PHONE, **bound)
        for proof in (sign_key_proof(ed_key, **bound), genuine[:-8] + b"AAAAAAAA"):
            data = addition_data(PHONE.public, proof)
            jws = world.sign(ed_key, subject, **said, svc="heptad", act="key.add", data=data)
            assert await world.refused(jws) == "key_proof_invalid"
        assert nothing_is_recorded(world)

    play(scenario)


@pytest.mark.parametrize("act", ["key.add", "key.revoke"])
def test_a_change_that_says_nothing_is_refused(play, ed_key, act):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key), svc="heptad", act=act, data={})
        assert await world.refused(jws) == "claim_invalid"
        assert nothing_is_recorded(world)

    play(scenario)


def test_the_last_key_is_not_revoked_by_the_subject_itself(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        assert await world.refused(revoking(world, subject, ed_key, by=ed_key)) == "key_last"
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
        world.ledger.change_keys(subject, revoking(world, subject, PHONE, by=ed_key))
        world.book.revoke(subject, world.clock.monotonic_s())
        world.clock.move(1)
        assert await world.refused(revoking(world, subject, ed_key, by=ed_key)) == "key_last"
        assert nothing_is_recorded(world)

    play(scenario)


def test_two_keys_do_not_revoke_themselves_in_one_moment(play, ed_key):
    """The second one is the last one left, although the first revocation is not committed yet."""

    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
        await world.submit(revoking(world, subject, ed_key, by=ed_key))
        assert await world.refused(revoking(world, subject, PHONE, by=PHONE)) == "key_last"
        await world.commit()
        assert [entry.kind for entry in world.entries] == [Kind.KEY_REVOKED]
        assert world.admission._key_changes._going == {}

    play(scenario)


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_key_that_is_not_active_is_not_revoked(play, ed_key, is_revoked):
    async def scenario(world):
        subject = world.subject(ed_key)
        if is_revoked:
            world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
            world.ledger.change_keys(subject, revoking(world, subject, PHONE, by=ed_key))
        jws = revoking(world, subject, PHONE, by=ed_key)
        assert await world.refused(jws) == "key_not_active"
        assert nothing_is_recorded(world)

    play(scenario)


def test_a_change_that_stays_pending_takes_effect_with_its_commit(play, ed_key):
    """Whoever waited is told PENDING; what follows the commit is not forgotten for that."""

    async def scenario(world):
        subject = world.subject(ed_key)
        world.ledger.change_keys(subject, adding(world, subject, PHONE, by=ed_key))
        said = claims(world, subject)
        jws = sign_key_revocation(PHONE, kid=ed_key.public.kid, **said)
        [number] = await world.submit(jws)
        ticket = world.parts.window.find(request_hash(iss=said["iss"], jti=said["jti"]))
        ticket.tell()
        assert world.answers.of(number).state is RequestState.PENDING
        world.ledger.is_lagging = True
        await world.commit()
        assert await world.refused(world.sign(ed_key, subject)) == "key_revoked"

    play(scenario)
