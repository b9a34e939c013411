"""Service bundles: each rule with its code, all or nothing, and once however often it comes."""

import dataclasses

import pytest
from unit.validator.admission.bundle_calls import (
    JTI,
    NOW_MS,
    event,
    recorded,
    refusal,
    sign,
    submit,
)

from heptad.crypto.bundles import (
    Bundle,
    ServiceKey,
    bundle_root,
    parse_statement,
    public_events,
    sign_statement,
)
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.answers import RequestState
from heptad.model.bundles import event_leaves, leaves_of_entries, private_half
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import LeaseSubjects
from heptad.runtime.identity import Identity, Role


def test_events_stand_behind_their_bundle_and_lead_to_the_signed_root(play, ed_key):
    async def scenario(world):
        ann, bob = world.subject(ed_key), world.subject(ed_key)
        events = [event(ann), event(bob, 2, outcome=Outcome.DENIED), event(ann, 3)]
        bundle = sign(world, *events)

        answer = await recorded(world, bundle)

        statement = parse_statement(bundle.statement)
        head, *entries = world.entries[-4:]
        first_index = len(world.ledger.entries) - 4
        assert answer.recorded.state is RequestState.COMMITTED
        assert (answer.recorded.index, answer.event_indexes) == (
            first_index, range(first_index + 1, first_index + 4),
        )  # fmt: skip
        assert (head.kind, head.statement) == (Kind.BUNDLE, bundle.statement)
        assert (head.service, head.action, head.outcome) == ("tax-portal", "", Outcome.NONE)
        assert (head.time_ms, head.commitment) == (NOW_MS, b"")
        assert {entry.kind for entry in entries} == {Kind.EVENT}
        assert bundle_root(leaves_of_entries(entries, service="tax-portal")) == statement.root

    play(scenario)


def test_each_event_is_sealed_under_its_own_subject(play, ed_key):
    async def scenario(world):
        ann, bob = world.subject(ed_key), world.subject(ed_key)
        bundle = sign(world, event(ann), event(bob, 2))

        answer = await recorded(world, bundle)

        for index, subject, private in zip(
            answer.event_indexes, (ann, bob), bundle.events, strict=True
        ):
            slot, opened = world.ledger.events[index]
            assert slot == world.ledger.subjects[subject][1]
            assert opened.witness == private.witness
            assert opened.payload == private_half(subject=subject, payload=private.payload)

    play(scenario)


def test_a_bundle_is_never_divided_between_two_batches(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        world.dispatcher._bounds = dataclasses.replace(
            world.dispatcher._bounds, batches_outstanding_max=0
        )
        await world.submit(*(world.sign(ed_key, subject) for _ in range(6)))
        task = submit(world, sign(world, *(event(subject, n) for n in range(1, 7))))
        await world.settle_down()
        world.dispatcher._bounds = dataclasses.replace(
            world.dispatcher._bounds, batches_outstanding_max=32
        )
        world.dispatcher._pump()
        await world.settle_down()
        batches = await world.commit()
        await task
        counts = [batch.header.count for batch in batches]
        assert counts == [6, 7]

    play(scenario, records_max=10)


def test_one_unknown_subject_refuses_the_whole_bundle_and_only_its_place_is_named(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        stranger = "kn-" + "z" * 26
        for at in (0, 2):
            events = [event(subject, n) for n in range(3)]
            events[at] = event(stranger)
            problem = await refusal(world, sign(world, *events))
            assert (problem.code, problem.field) == (
                "event_subject_unknown", f"events[{at}].subject",
            )  # fmt: skip
            assert stranger not in str(problem)
            assert stranger not in problem.detail

    play(scenario)


@pytest.mark.parametrize(
    ("change", "code", "name"),
    [
        ({"subject": "nobody"}, "event_subject_unknown", "subject"),
        ({"subject": "xx-" + "a" * 26}, "event_subject_unknown", "subject"),
        ({"outcome": Outcome.NONE}, "event_invalid", "outcome"),
        ({"time_ms": 0}, "event_invalid", "time_ms"),
        ({"time_ms": NOW_MS + 30_001}, "event_invalid", "time_ms"),
        ({"action": "record.shred"}, "action_not_allowed", "action"),
        ({"action": "key.add"}, "action_not_allowed", "action"),
        ({"payload": b"p" * 16_385}, "bundle_too_large", "payload"),
    ],
)
def test_a_wrong_event_refuses_the_bundle_and_is_named(play, ed_key, change, code, name):
    async def scenario(world):
        subject = world.subject(ed_key)
        bundle = sign(world, event(subject), dataclasses.replace(event(subject, 2), **change))
        problem = await refusal(world, bundle)
        assert (problem.code, problem.field) == (code, f"events[1].{name}")

    play(scenario)


def test_an_event_may_be_as_late_as_clocks_may_be_off_and_as_old_as_it_likes(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        times = (1, NOW_MS + 29_999)
        bundle = sign(world, *(event(subject, n, time_ms=time) for n, time in enumerate(times)))
        assert (await recorded(world, bundle)).recorded.state is RequestState.COMMITTED

    play(scenario)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "other.example"}, "audience_mismatch"),
        ({"iss": "post-office"}, "service_unknown"),
        ({"iss": "bank"}, "key_unknown"),
        ({"iat": NOW_MS // 1000 - 200, "exp": NOW_MS // 1000 - 31}, "request_expired"),
        ({"iat": NOW_MS // 1000 + 31, "exp": NOW_MS // 1000 + 60}, "request_from_the_future"),
        ({"exp": NOW_MS // 1000 + 300}, "lifetime_too_long"),
    ],
)
def test_a_statement_has_the_rules_of_a_request(play, ed_key, claims, code):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)), **claims)
        assert (await refusal(world, bundle)).code == code

    play(scenario)


@pytest.mark.parametrize(("ago_s", "is_taken"), [(0, True), (1, False)])
def test_what_a_retired_key_signs_is_refused_by_name(play, ed_key, ago_s, is_taken):
    """It is signed a second before it comes."""

    async def scenario(world):
        public = world.service_key.public
        world.service_keys[public.kid] = ServiceKey(public, retired_s=NOW_MS // 1000 - ago_s)
        bundle = sign(world, event(world.subject(ed_key)))
        if is_taken:
            assert (await recorded(world, bundle)).recorded.state is RequestState.COMMITTED
        else:
            assert (await refusal(world, bundle)).code == "service_key_retired"

    play(scenario)


def test_only_the_services_own_key_counts(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        other = Ed25519Key(b"X" * 32)
        forged = sign(world, event(subject), key=other)
        assert (await refusal(world, forged)).code == "key_unknown"
        # The right kid over somebody else's signature.
        head = sign(world, event(subject)).statement.split(b".")[0]
        _, payload, signature = forged.statement.split(b".")
        spliced = dataclasses.replace(forged, statement=b".".join((head, payload, signature)))
        assert (await refusal(world, spliced)).code == "signature_invalid"
        by_p256 = sign(world, event(subject), key=P256Key.generate())
        assert (await refusal(world, by_p256)).code == "key_unknown"

    play(scenario)


def test_a_service_brings_its_own_bundles_and_a_gateway_anybodys(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        bank = Identity("cell.example", Role.SERVICE, "bank")
        problem = await refusal(world, bundle, caller=bank)
        assert (problem.code, problem.field) == ("claim_invalid", "iss")
        portal = Identity("cell.example", Role.SERVICE, "tax-portal")
        assert (await recorded(world, bundle, caller=portal)).count == 1

    play(scenario)


def test_events_that_are_not_those_that_were_signed_are_refused(play, ed_key):
    async def scenario(world):
        ann, bob = world.subject(ed_key), world.subject(ed_key)
        bundle = sign(world, event(ann), event(bob, 2))
        first, second = bundle.events
        for events in (
            (second, first),
            (dataclasses.replace(first, subject=bob), second),
            (dataclasses.replace(first, payload=b"other"), second),
            (dataclasses.replace(first, time_ms=first.time_ms + 1), second),
            (dataclasses.replace(first, outcome=Outcome.DENIED), second),
            (dataclasses.replace(first, action="authenticate"), second),
            (dataclasses.replace(first, witness=b"w" * 32), second),
            (first,),
            (first, second, second),
        ):
            problem = await refusal(world, dataclasses.replace(bundle, events=events))
            assert problem.code == "bundle_mismatch"

    play(scenario)


def test_no_two_events_share_a_witness(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        bundle = sign(world, event(subject), event(subject, 2), event(subject, 3))
        first, second, third = bundle.events
        events = (first, second, dataclasses.replace(third, witness=first.witness))
        statement = parse_statement(bundle.statement)
        root = bundle_root(event_leaves(public_events(events), service="tax-portal"))
        again = sign_statement(
            world.service_key, iss="tax-portal", aud="cell.example", jti=JTI,
            iat=statement.iat, exp=statement.exp, root=root, count=3,
        )  # fmt: skip
        problem = await refusal(world, Bundle(again, events))
        assert (problem.code, problem.field) == ("event_invalid", "events[2].witness")

    play(scenario)


def test_a_witness_has_32_bytes(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        [only] = bundle.events
        short = dataclasses.replace(bundle, events=(dataclasses.replace(only, witness=b"w"),))
        problem = await refusal(world, short)
        assert (problem.code, problem.field) == ("event_invalid", "events[0].witness")

    play(scenario)


def test_what_no_batch_of_the_cell_holds_is_refused_before_it_is_looked_at(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        bundle = sign(world, *(event(subject, n) for n in range(10)))
        problem = await refusal(world, bundle)
        assert (problem.code, problem.field) == ("bundle_too_large", "events")

    play(scenario, records_max=10)


def test_events_that_take_more_than_a_batch_are_refused_however_few_they_are(play, ed_key):
    async def scenario(world):
        subject = world.subject(ed_key)
        huge = sign(world, *(event(subject, n, payload=b"p" * 16_384) for n in range(63)))
        problem = await refusal(world, huge)
        assert (problem.code, problem.field) == ("bundle_too_large", "events")

    play(scenario)


def test_a_statement_over_its_limit_is_refused(play, ed_key):
    async def scenario(world):
        bundle = sign(world, event(world.subject(ed_key)))
        long = dataclasses.replace(bundle, statement=b"s" * 2_049)
        problem = await refusal(world, long)
        assert (problem.code, problem.field) == ("bundle_too_large", "statement")

    play(scenario)


@pytest.mark.parametrize("count", [999, 62])
def test_the_largest_bundles_fit_one_batch(play, ed_key, count):
    """999 events, or as many as 1 MiB holds of the largest payload; the longest names count."""

    async def scenario(world):
        subject = world.subject(ed_key)
        size = {999: 683, 62: 16_384}[count]
        events = (event(subject, n, payload=b"p" * size) for n in range(count))
        answer = await recorded(world, sign(world, *events))
        assert answer.count == count
        assert world.committed[-1].header.count == count + 1

    play(scenario)


def test_no_request_is_admitted_under_a_lease_for_events(play, ed_key):
    """The subject's own validator was not told of it."""

    async def scenario(world):
        ann = world.subject(ed_key)
        await recorded(world, sign(world, event(ann)))
        await world.submit(world.sign(ed_key, ann))
        await world.commit()
        asked = [q for q in world.ledger.questions if isinstance(q, LeaseSubjects)]
        assert [question.is_sealing for question in asked] == [True, False]

    play(scenario)
