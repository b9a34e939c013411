"""Gathering cosignatures: what counts, what does not, and when there are enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.consensus.objects import LogHead
from heptad.crypto import signatures
from heptad.crypto.keys import Ed25519Key
from heptad.transparency.checkpoint import TimeWindow, verify_checkpoint
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import k_of_n_policy
from heptad.wire.streams import CosignatureFrame
from heptad_ledger.heads import Head
from heptad_ledger.publishing import cosignatures
from heptad_ledger.publishing.cosignatures import CosignatureBook, Verdict

ORIGIN = "log.test"
NOW_S = 1_700_000_000
NAMES = [f"replica-{n}" for n in range(1, 8)]
HEAD = Head(9, b"\x09" * 32, NOW_S * 1000)


@pytest.fixture
def witnesses(group):
    keys = zip(NAMES, group.cosign_keys, strict=True)
    return {
        name: VerifierKey(f"{name}.{ORIGIN}", SignatureType.COSIGNATURE, key.public_key)
        for name, key in keys
    }


@pytest.fixture
def book(witnesses):
    return CosignatureBook(
        origin=ORIGIN,
        witnesses=witnesses,
        quorum=5,
        verify=signatures.verify,
        skew_s_max=60,
    )


def sign(group, member, head, *, time_s=NOW_S, key=None):
    return group.cosign(member, LogHead(head.size, head.root), time_s=time_s, key=key)


def offer(book, group, members, head=HEAD, **how):
    return [book.offer(NAMES[m], sign(group, m, head, **how), now_s=NOW_S) for m in members]


def test_five_of_seven_make_a_head_publishable_and_four_do_not(book, group):
    book.applied([HEAD], now_s=NOW_S)
    assert offer(book, group, range(4)) == [Verdict.GOOD] * 4
    assert book.publishable() is None
    offer(book, group, [6])
    ready = book.publishable()
    assert ready.head == HEAD
    assert [line.key_name for line in ready.cosignatures] == [
        f"replica-{n}.{ORIGIN}" for n in (1, 2, 3, 4, 7)
    ]


def test_what_is_gathered_satisfies_the_policy_of_the_cell(book, group, witnesses):
    book.applied([HEAD], now_s=NOW_S)
    offer(book, group, range(7))
    log_key = Ed25519Key(b"\x66" * 32)
    vkey = VerifierKey(ORIGIN, SignatureType.LOG, log_key.public_key)
    policy = k_of_n_policy(log=vkey, witnesses=list(witnesses.items()), threshold=5)
    ready = book.publishable()
    body = cosignatures.Checkpoint(ORIGIN, 9, HEAD.root).body()
    own = cosignatures.NoteSignature(vkey.name, vkey.key_id, log_key.sign(body))
    note = Note(body, (own, *ready.cosignatures)).encode()
    window = TimeWindow.until(NOW_S, bound_s=60)
    assert verify_checkpoint(note, policy=policy, verify=signatures.verify, window=window).size == 9


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ({"key": Ed25519Key(b"\x55" * 32)}, Verdict.BAD),
        ({"time_s": NOW_S + 61}, Verdict.MISTIMED),
        ({"time_s": NOW_S - 61}, Verdict.MISTIMED),
        ({"time_s": 2**63}, Verdict.MISTIMED),
        ({"time_s": NOW_S + 60}, Verdict.GOOD),
        ({"time_s": NOW_S - 60}, Verdict.GOOD),
        ({"head": Head(9, b"\x01" * 32, 0)}, Verdict.WRONG_ROOT),
        ({"head": Head(9, b"\x01" * 32, 0), "key": Ed25519Key(b"\x55" * 32)}, Verdict.BAD),
    ],
)
def test_each_cosignature_is_judged_before_it_comes_near_a_note(book, group, how, verdict):
    book.applied([HEAD], now_s=NOW_S)
    assert offer(book, group, [0], **{"head": HEAD, **how}) == [verdict]
    offer(book, group, range(1, 5))
    assert (book.publishable() is not None) is (verdict is Verdict.GOOD)


def test_a_replica_cannot_sign_in_the_name_of_another(book, group):
    book.applied([HEAD], now_s=NOW_S)
    frame = sign(group, 0, HEAD)
    assert book.offer("replica-2", frame, now_s=NOW_S) is Verdict.BAD


def test_a_replica_counts_once_whatever_it_sends(book, group):
    book.applied([HEAD], now_s=NOW_S)
    for time_s in range(NOW_S, NOW_S + 9):
        offer(book, group, [0], time_s=time_s)
    offer(book, group, range(1, 4))
    assert book.publishable() is None
    assert offer(book, group, [0]) == [Verdict.REPEATED]


def test_a_bad_one_does_not_keep_out_the_good_one_after_it(book, group):
    book.applied([HEAD], now_s=NOW_S)
    offer(book, group, [0], time_s=NOW_S + 900)
    assert offer(book, group, [0]) == [Verdict.GOOD]


def test_the_last_head_of_an_idle_hour_can_still_be_published(book, group):
    """The group signed it an hour ago; the clock alone would refuse that for ever."""
    old = Head(9, b"\x09" * 32, (NOW_S - 3_600) * 1000)
    book.applied([old], now_s=NOW_S)
    assert offer(book, group, range(5), old, time_s=NOW_S - 3_599) == [Verdict.GOOD] * 5
    assert book.publishable() is not None


def test_cosignatures_of_heads_to_come_wait_for_them(book, group):
    assert offer(book, group, range(5)) == [Verdict.WAITING] * 5
    verdicts = book.applied([HEAD], now_s=NOW_S)
    assert verdicts == [(name, Verdict.GOOD) for name in NAMES[:5]]
    assert book.publishable().head == HEAD


def test_a_waiting_one_with_another_root_is_found_out(book, group):
    offer(book, group, [0], Head(9, b"\x01" * 32, 0))
    assert book.applied([HEAD], now_s=NOW_S) == [("replica-1", Verdict.WRONG_ROOT)]


def test_what_a_race_or_a_wrong_clock_can_bring_about_is_refused_to_nobody(book, group):
    """And costs no signature: heads to come, past and published ones, repetitions, wrong times."""
    book._verify = None  # whoever checks a signature breaks
    later, past = Head(12, b"\x0c" * 32, 0), Head(3, b"\x03" * 32, 0)
    verdicts = offer(book, group, [0], later)
    book.applied([HEAD], now_s=NOW_S)
    verdicts += offer(book, group, [0], time_s=NOW_S + 900)
    verdicts += offer(book, group, [0], past)
    book._verify = signatures.verify
    offer(book, group, [0])
    book._verify = None
    verdicts += offer(book, group, [0])
    book.published(9)
    verdicts += offer(book, group, [0])
    assert verdicts == [
        Verdict.WAITING,
        Verdict.MISTIMED,
        Verdict.OUTDATED,
        Verdict.REPEATED,
        Verdict.OUTDATED,
    ]
    assert not cosignatures.REFUSED & set(verdicts)


def test_a_flood_of_future_sizes_does_not_grow_the_book(book, group):
    for size in range(10, 400):
        offer(book, group, [0], Head(size, b"\x09" * 32, 0))
    assert len(book._waiting["replica-1"]) == cosignatures.WAITING_MAX


def test_a_size_that_was_never_a_head_is_an_alarm(book, group):
    book.applied([Head(5, b"\x05" * 32, 0), HEAD], now_s=NOW_S)
    assert offer(book, group, [0], Head(7, b"\x07" * 32, 0)) == [Verdict.WRONG_ROOT]


def test_nothing_at_or_below_the_published_size_is_ever_publishable_again(book, group):
    later = Head(12, b"\x0c" * 32, NOW_S * 1000)
    book.applied([HEAD, later], now_s=NOW_S)
    offer(book, group, range(5))
    offer(book, group, range(5), later)
    assert book.publishable().head == later
    book.published(12)
    assert book.publishable() is None
    assert offer(book, group, [5]) == [Verdict.OUTDATED]
    book.applied([HEAD, later], now_s=NOW_S)
    assert offer(book, group, range(5), later) == [Verdict.OUTDATED] * 5
    assert book.publishable() is None


def test_heads_that_nobody_signs_do_not_pile_up(book, group, monkeypatch):
    monkeypatch.setattr(cosignatures, "HEADS_MAX", 10)
    heads = [Head(size, b"\x01" * 32, 0) for size in range(1, 100)]
    book.applied(heads, now_s=NOW_S)
    assert len(book._heads) == 10
    assert offer(book, group, [0], heads[0]) == [Verdict.OUTDATED]


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 3), st.booleans()), min_size=1, max_size=40
    )
)
def test_whatever_comes_a_head_is_publishable_only_with_five_good_ones(kit, events):
    group = kit.Group()
    keys = zip(NAMES, group.cosign_keys, strict=True)
    book = CosignatureBook(
        origin=ORIGIN,
        witnesses={
            name: VerifierKey(name, SignatureType.COSIGNATURE, key.public_key) for name, key in keys
        },
        quorum=5,
        verify=lambda *, public_key, message, signature: None,
        skew_s_max=60,
    )
    heads = {size: Head(size, bytes([size]) * 32, NOW_S * 1000) for size in (1, 2, 3)}
    book.applied(list(heads.values()), now_s=NOW_S)
    good = {size: set() for size in heads}
    for member, size, is_late in events:
        time_s = NOW_S + (999 if is_late else 0)
        frame = CosignatureFrame(size, heads[size].root, time_s, bytes(64))
        book.offer(NAMES[member], frame, now_s=NOW_S)
        if not is_late:
            good[size].add(member)
        expected = max((s for s, members in good.items() if len(members) >= 5), default=None)
        ready = book.publishable()
        assert (ready.head.size if ready else None) == expected
