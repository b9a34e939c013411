"""Leases of subjects that have added and revoked keys, and who is told of it."""

import asyncio

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.sealing import commitment
from heptad.model.entry import Kind
from heptad.model.lending import LeaseSubjects, Revoked
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.lending import desk as desk_module
from heptad_ledger.lending import key_news as key_news_module
from heptad_ledger.lending.key_news import KeyNews, RevokedBook
from heptad_ledger.privacy.key_changes import ChangedKeys

HOLDER = "validator-1"
PHONE, LAPTOP = Ed25519Key(b"p" * 32), Ed25519Key(b"l" * 32)


def proves(counter, evidence):
    """The evidence is of an entry under the latest checkpoint, and of what it commits to."""
    entry = decode_entry(evidence.entry)
    assert entry.commitment == commitment(witness=evidence.witness, payload=evidence.payload)
    receipt = Receipt.parse(evidence.proof)
    checkpoint = Checkpoint.parse(Note.parse(receipt.checkpoint).text)
    verify_inclusion(
        leaf_index=evidence.index,
        tree_size=checkpoint.size,
        leaf_hash=leaf_hash(evidence.entry),
        proof=receipt.proof,
        root_hash=checkpoint.root,
    )
    return entry.kind


def test_a_lease_brings_all_keys_and_what_revoked_them(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration, office.add_key(anna, PHONE))
    counter.commit(office.revoke_key(anna, anna.key, by=PHONE))
    [lease] = counter.lease(anna.subject_id)
    first, phone = lease.keys
    assert [key.kid for key in lease.keys] == [anna.key.public.kid, PHONE.public.kid]
    assert (first.revoked, phone.revoked) == (True, False)
    assert proves(counter, phone.addition) is Kind.KEY_ADDED
    assert proves(counter, first.revocation) is Kind.KEY_REVOKED
    assert phone.revocation is None
    assert lease.applied_size == 3


def test_a_key_that_no_checkpoint_covers_is_left_out_and_the_others_are_lent(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    counter.commit(office.add_key(anna, PHONE), publish=False)
    [lease] = counter.lease(anna.subject_id)
    assert [key.kid for key in lease.keys] == [anna.key.public.kid]
    counter.publish()
    assert len(counter.lease(anna.subject_id)[0].keys) == 2


def test_a_revocation_counts_before_a_checkpoint_covers_it(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration, office.add_key(anna, PHONE))
    counter.commit(office.revoke_key(anna, PHONE), publish=False)
    phone = counter.lease(anna.subject_id)[0].keys[1]
    assert (phone.revoked, phone.revocation) == (True, None)
    counter.publish()
    assert counter.lease(anna.subject_id)[0].keys[1].revocation is not None


def test_a_question_for_a_new_key_waits_for_its_checkpoint_and_not_for_ever(counter, office):
    anna = office.register(1)
    counter.commit(anna.registration)
    counter.commit(office.add_key(anna, PHONE), publish=False)
    question = LeaseSubjects((anna.subject_id,), 2_000, proved_size_min=2)

    async def published_meanwhile():
        asking = asyncio.create_task(counter.desk.lease(question, holder=HOLDER))
        await asyncio.sleep(0)
        assert not asking.done()
        counter.publish()
        return (await asking).leases

    with pytest.raises(Problem) as caught:
        asyncio.run(
            counter.desk.lease(LeaseSubjects((anna.subject_id,), proved_size_min=2), holder=HOLDER)
        )
    assert caught.value.code == "vault_unavailable"
    [lease] = asyncio.run(published_meanwhile())
    assert len(lease.keys) == 2


def test_one_answer_has_no_more_evidence_than_a_message_takes(counter, office, monkeypatch):
    people = [office.register(n) for n in (1, 2, 3)]
    counter.commit(*(person.registration for person in people))
    monkeypatch.setattr(desk_module, "EVIDENCE_BYTES_MAX", 500)
    leases = counter.lease(*(person.subject_id for person in people))
    assert [lease.refused_code for lease in leases] == [
        "",
        "vault_unavailable",
        "vault_unavailable",
    ]
    assert len(counter.loans) == 1


# Whom to tell, and when.


@pytest.fixture
def pushed():
    return []


@pytest.fixture
def news(pushed):
    return KeyNews(pushed.append)


def change(name, index, *, is_revocation):
    return ChangedKeys(name, index, is_revocation=is_revocation)


def test_revocations_are_told_at_once_and_additions_once_they_can_be_proved(news, pushed):
    news.applied(
        [
            change("ab-x", 3, is_revocation=True),
            change("ab-y", 4, is_revocation=False),
            change("ab-x", 5, is_revocation=True),
            change("ab-z", 6, is_revocation=False),
        ]
    )
    assert pushed == [("ab-x",)]
    news.published(4)
    assert pushed == [("ab-x",)]
    news.published(6)
    assert pushed == [("ab-x",), ("ab-y",)]
    news.published(7)
    news.published(8)
    assert pushed == [("ab-x",), ("ab-y",), ("ab-z",)]


def test_a_wave_without_changes_tells_nobody(news, pushed):
    news.applied([])
    news.published(100)
    assert pushed == []


def test_additions_that_wait_for_a_checkpoint_are_bounded(news, pushed, monkeypatch):
    monkeypatch.setattr(key_news_module, "SUBJECTS_MAX", 2)
    news.applied([change(f"ab-{n}", n, is_revocation=False) for n in range(5)])
    news.published(100)
    assert pushed == [("ab-3", "ab-4")]


def test_who_connects_is_told_what_can_still_concern_a_lease():
    book = RevokedBook(kept_s=65)
    assert book.recent(0.0) is None
    book.note(["ab-x"], now_s=0.0)
    book.note(["ab-y", "ab-x"], now_s=10.0)
    assert book.recent(70.0) == Revoked(("ab-y", "ab-x"))
    assert book.recent(75.0) is None


def test_of_too_many_a_validator_is_told_to_end_all_leases(monkeypatch):
    monkeypatch.setattr(key_news_module, "SUBJECTS_MAX", 2)
    book = RevokedBook(kept_s=65)
    book.note(["ab-x", "ab-y", "ab-z"], now_s=0.0)
    assert book.recent(64.0) == Revoked(())
    book.note(["ab-w"], now_s=64.0)
    assert book.recent(66.0) == Revoked(("ab-w",))
