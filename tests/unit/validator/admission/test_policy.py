"""Policy and limits: what a valid signature may still not get, and what the log says of it."""

import pytest

from heptad.crypto.sealing import commitment
from heptad.model.answers import RequestState
from heptad.model.entry import Kind, Outcome
from heptad.model.requests import request_hash

SECRET = "jane-doe-1970"


@pytest.mark.parametrize(
    ("claims", "code", "names"),
    [
        ({"svc": SECRET, "act": "authenticate"}, "service_unknown", ("", "")),
        ({"act": SECRET}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "record.access"}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "key.add"}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "key.revoke"}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "subject.register"}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "subject.erase"}, "action_not_allowed", ("tax-portal", "")),
        ({"act": "subject.export"}, "action_not_allowed", ("tax-portal", "")),
        ({"svc": "heptad", "act": "authenticate"}, "action_not_allowed", ("heptad", "")),
        ({"svc": "heptad", "act": "subject.register"}, "action_not_allowed", ("heptad", "")),
        ({"svc": "heptad", "act": SECRET}, "action_not_allowed", ("heptad", "")),
    ],
)
def test_what_policy_denies_is_recorded_and_its_words_stay_sealed(
    play, ed_key, claims, code, names
):
    async def scenario(world):
        [number] = await world.submit(world.sign(ed_key, world.subject(ed_key), **claims))
        await world.commit()
        answer = world.answers.of(number)
        assert (answer.outcome, answer.denied_code) == (Outcome.DENIED, code)
        assert answer.state is RequestState.COMMITTED
        [entry] = world.entries
        assert (entry.outcome, entry.kind) == (Outcome.DENIED, Kind.REQUEST)
        assert (entry.service, entry.action) == names
        assert SECRET.encode() not in world.ledger.entries[answer.index]

    play(scenario)


@pytest.mark.parametrize(
    ("act", "kind"),
    [("subject.export", Kind.EXPORT), ("subject.erase", Kind.REQUEST)],
)
def test_what_is_asked_of_the_cell_itself_is_allowed_by_every_policy_and_has_a_kind_of_its_own(
    play, ed_key, act, kind
):
    async def scenario(world):
        jws = world.sign(ed_key, world.subject(ed_key), svc="heptad", act=act)
        [number] = await world.submit(jws)
        await world.commit()
        assert world.answers.of(number).outcome is Outcome.ALLOWED
        [entry] = world.entries
        assert (entry.kind, entry.service, entry.action) == (kind, "heptad", act)

    play(scenario)


def test_an_allowed_request_says_in_public_what_was_signed_and_commits_to_the_rest(play, any_key):
    async def scenario(world):
        subject = world.subject(any_key)
        jws = world.sign(any_key, subject, act="consent.grant", data={"name": "Jane"})
        [number] = await world.submit(jws)
        [batch] = await world.commit()
        [entry] = world.entries
        assert (entry.service, entry.action) == ("tax-portal", "consent.grant")
        assert (entry.outcome, entry.validator) == (Outcome.ALLOWED, 1)
        assert entry.time_ms == world.clock.now_ms()
        index = world.answers.of(number).index
        slot, opened = world.ledger.open(index, batch.sealed_records()[0])
        assert slot == world.ledger.subjects[subject][1]
        assert opened.payload == jws
        assert entry.commitment == commitment(witness=opened.witness, payload=jws)
        assert subject.encode() not in batch.leaves + batch.sealed

    play(scenario)


def test_the_answer_names_the_request_by_its_hash(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jti = "00000000-0000-0000-0000-000000000009"
        [number] = await world.submit(world.sign(ed_key, subject, jti=jti))
        await world.commit()
        assert world.answers.of(number).request_id == request_hash(iss=subject, jti=jti)

    play(scenario)


def test_a_subject_over_its_limit_is_refused_and_nothing_is_recorded(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(*(world.sign(ed_key, subject) for _ in range(3)))
        [number] = await world.submit(world.sign(ed_key, subject, svc="nobody"))
        answer = world.answers.of(number)
        assert (answer.code, answer.retry_after_s) == ("subject_rate_limited", 20)
        await world.commit()
        assert len(world.entries) == 3

    play(scenario, limits_per_minute=3)


def test_the_same_bytes_pass_once_the_limit_has_room_again(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(*(world.sign(ed_key, subject) for _ in range(3)))
        late = world.sign(ed_key, subject)
        assert await world.refused(late) == "subject_rate_limited"
        await world.commit()
        world.clock.move(20)
        [number] = await world.submit(late)
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED

    play(scenario, limits_per_minute=3)


def test_one_subjects_limit_is_not_anothers(play, ed_key, p256_key):
    async def scenario(world):
        one, other = world.subject(ed_key), world.subject(p256_key)
        await world.submit(*(world.sign(ed_key, one) for _ in range(3)))
        await world.submit(world.sign(p256_key, other))
        await world.commit()
        assert len(world.entries) == 4

    play(scenario, limits_per_minute=3)


def test_a_replay_does_not_count_against_the_limit(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        jws = world.sign(ed_key, subject)
        await world.submit(*[jws] * 10)
        await world.submit(world.sign(ed_key, subject), world.sign(ed_key, subject))
        await world.commit()
        assert len(world.entries) == 3

    play(scenario, limits_per_minute=3)
