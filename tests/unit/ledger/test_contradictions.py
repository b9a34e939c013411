"""A replica that cosigns two histories: noticed in any order, proved from the ledger's own tree."""

import pytest

from heptad.consensus.evidence import Charge, Offence
from heptad.consensus.judging import Judge
from heptad.consensus.objects import LogHead
from heptad.crypto import signatures
from heptad.transparency.notes import SignatureType, VerifierKey
from heptad.transparency.tiled_tree import TiledTree
from heptad_ledger.heads import Head
from heptad_ledger.log_reads import LogReads
from heptad_ledger.publishing.contradictions import prove
from heptad_ledger.publishing.cosignatures import CosignatureBook, Verdict

NOW_S = 1_700_000_000
WRONG = b"\x66" * 32


def public(content):
    return content, b""


@pytest.fixture
def heads(ledger, group):
    """The heads of a log of five blocks, which the ledger has applied."""
    for size in (3, 1, 4, 1, 5):
        group.commit(group.batch([public(b"%d" % n) for n in range(size)]))
    return {head.size: head for head in ledger.catch_up().heads}


@pytest.fixture
def book(group, heads):
    keys = {
        f"replica-{n}": VerifierKey(
            f"replica-{n}.{group.origin}", SignatureType.COSIGNATURE, key.public_key
        )
        for n, key in enumerate(group.cosign_keys, start=1)
    }
    book = CosignatureBook(
        origin=group.origin, witnesses=keys, quorum=5, verify=signatures.verify, skew_s_max=60
    )
    book.applied([Head(head.size, head.root, NOW_S * 1000) for head in heads.values()], now_s=NOW_S)
    return book


@pytest.fixture
def offer(book, group):
    def offer(member, size, root, *, key=None, time_s=NOW_S):
        frame = group.cosign(member, LogHead(size, root), key=key, time_s=time_s)
        return book.offer(f"replica-{member + 1}", frame, now_s=NOW_S)

    return offer


@pytest.fixture
def proofs(book, group, ledger):
    """What is proved of all that was noticed."""
    reads = LogReads(store=ledger.store, latest=lambda: None, index_key=lambda: b"")

    def proofs():
        made = []
        for each in book.contradictions.take():
            evidence = prove(each, member=2, origin=group.origin, tiles=reads.tiles)
            if evidence is None:
                book.contradictions.acquit(each.replica)
                continue
            made.append(evidence)
            Judge(group.cell, signatures).require(evidence)
        return [evidence.charge for evidence in made]

    return proofs


GUILTY = [Charge(Offence.HEADS, 2)]


def test_two_roots_of_one_size_are_proved(offer, proofs, heads):
    assert offer(2, 8, heads[8].root) is Verdict.GOOD
    assert offer(2, 8, WRONG) is Verdict.WRONG_ROOT
    assert proofs() == GUILTY
    assert offer(2, 9, WRONG) is Verdict.WRONG_ROOT
    assert proofs() == []


@pytest.mark.parametrize("size", range(1, 14))
def test_a_wrong_head_of_any_size_is_proved_by_a_greater_good_one(offer, proofs, heads, size):
    offer(2, size, WRONG)
    assert proofs() == []
    offer(2, 14, heads[14].root)
    # Below the first head that the book has, nothing is known of this log's heads any more.
    assert proofs() == (GUILTY if size >= 3 else [])


def test_the_good_one_may_come_first_and_be_published(offer, proofs, heads, book):
    offer(2, 14, heads[14].root)
    book.published(14)
    assert offer(2, 8, heads[8].root) is Verdict.OUTDATED
    assert proofs() == []
    assert offer(2, 8, WRONG) is Verdict.WRONG_ROOT
    assert proofs() == GUILTY


def test_a_good_one_that_comes_late_is_looked_at_for_a_suspect_only(offer, proofs, heads, book):
    offer(2, 9, WRONG)
    book.published(14)
    assert offer(2, 14, heads[14].root) is Verdict.OUTDATED
    assert proofs() == GUILTY


def test_a_wrong_head_beyond_all_good_ones_waits_for_one(offer, proofs, heads, book):
    offer(2, 14, WRONG)
    offer(2, 9, heads[9].root)
    assert proofs() == []
    offer(2, 14, heads[14].root)
    assert proofs() == GUILTY


def test_what_is_not_signed_by_the_replica_accuses_nobody(offer, proofs, heads, group):
    offer(2, 14, heads[14].root)
    assert offer(2, 8, WRONG, key=group.cosign_keys[3]) is Verdict.BAD
    assert proofs() == []


def test_honest_cosignatures_late_repeated_or_with_other_times_accuse_nobody(offer, proofs, heads):
    for size in (3, 4, 8, 9, 14):
        for time_s in (NOW_S, NOW_S + 5, NOW_S - 5):
            offer(2, size, heads[size].root, time_s=time_s)
    assert proofs() == []


def test_a_head_within_a_block_is_no_contradiction_and_hides_none(offer, proofs, heads, ledger):
    """It is our own log's root at that size, though no block ends there."""
    offer(2, 14, heads[14].root)
    reads = LogReads(store=ledger.store, latest=lambda: None, index_key=lambda: b"")
    root = TiledTree(size=6, tiles=reads.tiles).root()
    assert offer(2, 6, root) is Verdict.WRONG_ROOT
    assert proofs() == []
    offer(2, 8, WRONG)
    assert proofs() == GUILTY
