"""The accounts of work and of forgeries, and what a message is charged."""

from dataclasses import replace

import pytest

from heptad.consensus.allowance import (
    ANSWERED_ITEM_US,
    CHECK_US,
    FETCHED_ITEM_US,
    MESSAGE_US,
    MISFIT_US,
    Allowances,
    hashing_us,
    reading_us,
)
from heptad.consensus.codec import new_timeout
from heptad.consensus.events import BatchReceived
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    BatchesReply,
    Certificates,
    FetchBatches,
    FetchChain,
    encode_message,
)
from heptad.model.batch import encode_batch
from heptad.model.ids import BatchDigest, Height

LIMITS = Limits()
SENDER, OTHER, VICTIM = 4, 5, 3
NOW_MS = 1_000_000
RATE = LIMITS.peer_work_us_per_ms
FULL_US = RATE * LIMITS.work_burst_ms


@pytest.fixture
def accounts():
    made = Allowances([SENDER, OTHER], limits=LIMITS, work_us_per_ms=RATE)
    assert made.admits(SENDER, NOW_MS)
    return made


# --- work --------------------------------------------------------------------------------------


def test_whoever_has_used_up_its_work_is_not_heard_until_some_is_there_again(accounts):
    accounts.charge(SENDER, FULL_US - 1)
    assert accounts.admits(SENDER, NOW_MS)
    accounts.charge(SENDER, 1)
    assert not accounts.admits(SENDER, NOW_MS)
    assert accounts.admits(SENDER, NOW_MS + 1)


def test_an_account_refills_with_its_rate_for_each_ms_and_is_never_more_than_full(accounts):
    accounts.charge(SENDER, FULL_US + 5 * RATE)
    assert [accounts.admits(SENDER, NOW_MS + ms) for ms in (5, 5, 6)] == [False, False, True]
    assert accounts.admits(SENDER, NOW_MS + 100 * LIMITS.work_burst_ms)
    accounts.charge(SENDER, FULL_US)
    assert not accounts.admits(SENDER, NOW_MS + 100 * LIMITS.work_burst_ms)


def test_an_account_owes_no_more_than_it_can_hold(accounts):
    accounts.charge(SENDER, 100 * FULL_US)
    accounts.charge(SENDER, 100 * FULL_US)
    heard = [accounts.admits(SENDER, NOW_MS + LIMITS.work_burst_ms + ms) for ms in (0, 1)]
    assert heard == [False, True]


def test_what_one_sender_does_touches_nobody_else(accounts):
    accounts.charge(SENDER, FULL_US)
    for _ in range(LIMITS.forgeries_max):
        accounts.forged(SENDER, NOW_MS)
    assert not accounts.admits(SENDER, NOW_MS)
    assert accounts.admits(OTHER, NOW_MS)
    assert not accounts.is_ignored(OTHER, NOW_MS)
    assert SENDER in accounts
    assert 6 not in accounts


def test_each_message_that_was_dropped_is_told_once(accounts):
    accounts.charge(SENDER, FULL_US)
    for _ in range(3):
        accounts.admits(SENDER, NOW_MS)
    assert accounts.take_dropped() == [(SENDER, 3)]
    assert accounts.take_dropped() == []


# --- forgeries ---------------------------------------------------------------------------------


def forge(accounts, count, now_ms=NOW_MS):
    return [accounts.forged(SENDER, now_ms) for _ in range(count)]


def test_a_few_forgeries_are_let_pass_and_the_last_of_them_ends_it(accounts):
    most = LIMITS.forgeries_max - 1
    assert forge(accounts, most) == [0] * most
    assert accounts.admits(SENDER, NOW_MS)
    assert forge(accounts, 1) == [LIMITS.ignored_ms_min]
    assert not accounts.admits(SENDER, NOW_MS)


def test_whoever_is_ignored_is_heard_again_at_the_very_end_of_that_time(accounts):
    forge(accounts, LIMITS.forgeries_max)
    end_ms = NOW_MS + LIMITS.ignored_ms_min
    assert accounts.is_ignored(SENDER, end_ms - 1)
    assert not accounts.admits(SENDER, end_ms - 1)
    assert not accounts.is_ignored(SENDER, end_ms)
    assert accounts.admits(SENDER, end_ms)


def test_one_forgery_is_forgiven_with_each_while_that_passes(accounts):
    """A disk or a wire that spoils a message now and then makes nobody a forger."""
    now_ms = NOW_MS
    for _ in range(10 * LIMITS.forgeries_max):
        assert accounts.forged(SENDER, now_ms) == 0
        now_ms += LIMITS.forgery_forgiven_ms
    often = Allowances([SENDER], limits=LIMITS, work_us_per_ms=RATE)
    ignored = forge(often, LIMITS.forgeries_max, now_ms)
    assert ignored == [0] * (LIMITS.forgeries_max - 1) + [LIMITS.ignored_ms_min]


def test_after_a_long_good_time_as_many_are_let_pass_as_at_first(accounts):
    forge(accounts, LIMITS.forgeries_max - 1)
    later_ms = NOW_MS + 100 * LIMITS.forgery_forgiven_ms
    again = forge(accounts, LIMITS.forgeries_max, later_ms)
    assert again == [0] * (LIMITS.forgeries_max - 1) + [LIMITS.ignored_ms_min]


def test_one_while_forgives_one_forgery_and_not_all(accounts):
    forge(accounts, LIMITS.forgeries_max - 1)
    later_ms = NOW_MS + LIMITS.forgery_forgiven_ms
    assert forge(accounts, 2, later_ms) == [0, LIMITS.ignored_ms_min]


def test_on_probation_half_as_many_are_enough_and_last_twice_as_long_up_to_the_most(accounts):
    forge(accounts, LIMITS.forgeries_max)
    half = LIMITS.forgeries_max // 2
    now_ms, ignored = NOW_MS, [LIMITS.ignored_ms_min]
    for _ in range(8):
        *passed, for_ms = forge(accounts, half, now_ms)
        assert passed == [0] * (half - 1)
        ignored.append(for_ms)
    assert ignored == [10_000 * 2**n for n in range(6)] + [LIMITS.ignored_ms_max] * 3


@pytest.mark.parametrize(("more_ms", "for_ms"), [(0, 2), (1, 1)])
def test_who_has_forged_nothing_for_twice_the_longest_time_begins_anew(accounts, more_ms, for_ms):
    forge(accounts, LIMITS.forgeries_max)
    later_ms = NOW_MS + 2 * LIMITS.ignored_ms_max + more_ms
    ignored = forge(accounts, LIMITS.forgeries_max, later_ms)
    assert ignored[-1] == for_ms * LIMITS.ignored_ms_min


# --- what a message is charged -----------------------------------------------------------------


@pytest.fixture
def alone(world):
    """A world in which no message arrives but those that a test hands over."""
    world.run()
    world.drop = lambda *_: True
    return world


def account_of(world, sender=SENDER):
    return world.replicas[VICTIM].driver._core._parts.peers._accounts[sender]


def cost_us(world, message, sender=SENDER):
    account = account_of(world, sender)
    world.replicas[VICTIM].driver._core._parts.peers.admits(sender, world.now_ms)
    before_us = account.work_us
    world.inject(sender, VICTIM, message)
    return before_us - account.work_us


def test_each_signature_that_had_to_be_checked_is_charged_to_who_sent_it(alone):
    claim = alone.claim(SENDER, 1, 0)
    timeout = new_timeout(
        epoch=alone.cell.epoch,
        round_=1,
        high_qc=alone.genesis()[1],
        tc=None,
        fast_vote=b"",
        voter=SENDER,
        signature=claim.signature,
    )
    size, checked = len(encode_message(timeout)), alone.verifier.checked
    assert cost_us(alone, timeout) == reading_us(size) + CHECK_US
    assert alone.verifier.checked == checked + 1
    assert cost_us(alone, timeout) == reading_us(size)
    assert alone.verifier.checked == checked + 1


def test_reading_costs_a_64th_and_hashing_a_256th_of_a_us_a_byte_and_both_something():
    assert [reading_us(size) for size in (0, 63, 64, 6_400)] == [
        MESSAGE_US + n for n in (0, 0, 1, 100)
    ]
    assert [hashing_us(size) for size in (0, 255, 256, 25_600)] == [
        MESSAGE_US + n for n in (0, 0, 1, 100)
    ]


def test_a_message_that_is_refused_costs_what_it_took_to_read_it(alone):
    """Whether it makes sense is found out by reading it."""
    timeout = new_timeout(
        epoch=2, round_=1, high_qc=alone.genesis()[1], tc=None, fast_vote=b"", voter=SENDER,
        signature=bytes(64),
    )  # fmt: skip
    assert cost_us(alone, timeout) == reading_us(len(encode_message(timeout)))
    assert alone.replicas[VICTIM].named("message_refused")
    assert account_of(alone).forgeries == 0


def test_news_that_nobody_asked_for_is_charged(alone):
    news = Certificates(alone.qc(1, b"b" * 32), None)
    charged_us = cost_us(alone, news)
    assert alone.replicas[VICTIM].driver.status().high_qc_round == 1
    assert charged_us == reading_us(len(encode_message(news))) + 5 * CHECK_US


def test_each_thing_that_is_asked_for_is_charged_whether_it_is_here_or_not(alone):
    fetch = FetchBatches((BatchDigest(b"?" * 32),) * 50)
    size = len(encode_message(fetch))
    assert cost_us(alone, fetch) == reading_us(size) + 50 * FETCHED_ITEM_US


@pytest.mark.parametrize("fetch", ["batches", "chain"])
def test_an_answer_is_charged_by_its_size_and_its_items_to_who_asked(world, fetch):
    for sequence in range(3):
        world.submit(world.batch(sequence=sequence, records=400))
        world.run()
    commits = world.replicas[VICTIM].commits
    digests = tuple(ref.digest for each in commits for ref in each.block.batches)
    asked = FetchBatches(digests) if fetch == "batches" else FetchChain(Height(1), 0)
    sent = []
    world.replicas[VICTIM].driver._outbox.send = lambda _, payload: sent.append(payload)
    charged_us = cost_us(world, asked)
    (payload,) = sent
    items = len(digests) if fetch == "batches" else len(commits)
    own_us = reading_us(len(encode_message(asked)))
    own_us += FETCHED_ITEM_US * len(digests) if fetch == "batches" else 0
    assert charged_us == own_us + hashing_us(len(payload)) + ANSWERED_ITEM_US * items


def test_what_was_asked_for_and_is_of_use_costs_its_sender_nothing(world):
    batch = world.batch(records=400)
    world.drop = lambda _, target, message: target == VICTIM and isinstance(message, BatchesReply)
    world.submit(batch, to=[0, 1, 2, 4, 5, 6])
    world.run(for_ms=300)
    wanted = world.replicas[VICTIM].driver._core._parts.chain.batches_wanted
    assert batch.digest in wanted
    assert cost_us(world, BatchesReply((encode_batch(batch),))) == 0
    assert batch.digest not in wanted


def test_what_was_asked_for_and_is_of_no_use_costs_as_much_as_anything(world):
    reply = BatchesReply((encode_batch(world.batch(records=400)),))
    assert cost_us(world, reply) == hashing_us(len(encode_message(reply)))


# --- validators --------------------------------------------------------------------------------


def charged_us(world, batch, *, to=VICTIM):
    allowances = world.replicas[to].driver._core._parts.validators
    account = allowances._accounts[batch.header.validator]
    allowances.admits(batch.header.validator, world.now_ms)
    before_us = account.work_us
    world.submit(batch, to=[to])
    return before_us - account.work_us


def test_a_batch_is_charged_to_its_validator_and_what_is_of_no_use_costs_more(alone):
    batch = alone.batch(records=400)
    size_us = hashing_us(len(encode_batch(batch)))
    assert charged_us(alone, batch) == size_us + CHECK_US
    assert charged_us(alone, batch) == size_us


def test_a_batch_that_is_committed_costs_a_look_into_the_store_more(world):
    batch = world.batch(records=400)
    world.submit(batch)
    world.run()
    assert charged_us(world, batch) == hashing_us(len(encode_batch(batch))) + ANSWERED_ITEM_US


def test_a_batch_for_which_there_is_no_room_costs_the_search_for_room(make_world):
    world = make_world(limits=Limits(pool_batches_max_per_validator=1)).start()
    world.run()
    world.drop = lambda *_: True
    world.submit(world.batch(sequence=0), to=[VICTIM])
    late = world.batch(sequence=1)
    assert charged_us(world, late) == hashing_us(len(encode_batch(late))) + MISFIT_US
    assert world.replicas[VICTIM].outcomes[-1].verdict.value == "overloaded"


def test_a_validator_over_its_share_is_told_so_unread_and_the_other_is_heard(alone):
    parts = alone.replicas[VICTIM].driver._core._parts
    assert parts.validators.admits(1, alone.now_ms)
    parts.validators.charge(1, LIMITS.validator_work_us_per_ms * LIMITS.work_burst_ms)
    checked = alone.verifier.checked
    alone.submit(alone.batch(), to=[VICTIM])
    assert alone.verifier.checked == checked
    outcome = alone.replicas[VICTIM].outcomes[-1]
    assert (outcome.verdict.value, outcome.detail) == ("overloaded", "over its share")
    assert alone.replicas[VICTIM].named("messages_dropped") == [
        {"validator": 1, "count": 1, "why": "allowance"}
    ]
    alone.submit(alone.batch(validator=2), to=[VICTIM])
    assert alone.replicas[VICTIM].outcomes[-1].verdict.value == "accepted"


def test_why_messages_were_dropped_is_told(alone):
    bad = replace(alone.batch(), signature=bytes(64))
    for _ in range(LIMITS.forgeries_max + 2):
        alone.submit(bad, to=[VICTIM])
    dropped = alone.replicas[VICTIM].named("messages_dropped")
    assert dropped == [{"validator": 1, "count": 1, "why": "ignored"}] * 2


def test_nobody_sends_a_batch_in_another_validators_name(alone):
    alone.deliver(VICTIM, BatchReceived(2, encode_batch(alone.batch(validator=1))))
    outcome = alone.replicas[VICTIM].outcomes[-1]
    assert (outcome.verdict.value, outcome.detail) == ("batch_invalid", "a batch of validator 1")
    assert len(alone.replicas[VICTIM].driver._core._parts.chain.pool) == 0
