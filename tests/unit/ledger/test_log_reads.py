"""What the ledger answers about its log: everything can be checked, nothing is shown too early."""

import pytest

from heptad.consensus.objects import LogHead
from heptad.model.answers import RequestState
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import (
    CompactRange,
    leaf_hash,
    leaf_hashes,
    verify_consistency,
    verify_inclusion,
)
from heptad.transparency.notes import Note, NoteSignature
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiles import all_tiles, decode_entries
from heptad.wire.convert.entry import encode_entry
from heptad_ledger import log_reads
from heptad_ledger.log_reads import LogReads


class Published:
    """A ledger of which some sizes are published."""

    def __init__(self, ledger, group):
        self.ledger, self.group = ledger, group
        self.latest = None
        self.reads = LogReads(
            store=ledger.store,
            latest=lambda: self.latest,
            index_key=ledger.vault.index_key,
        )

    def commit(self, *batches):
        self.group.commit(*(self.group.batch(batch) for batch in batches))
        self.ledger.catch_up()

    def publish(self, size=None):
        head = self.group.head()
        if size is not None:
            root = CompactRange.empty().extended(leaf_hashes(self.group.entries[:size])).root()
            head = LogHead(size, root)
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"1234", b"s" * 64),)).encode()
        self.ledger.store.publish(head.size, note)
        if self.latest is None or head.size > self.latest.size:
            self.latest = PublishedCheckpoint(note, head.size)


def public(count, start=0):
    """Entries without a private half."""
    return [
        (encode_entry(Entry(Kind.POLICY_CHANGE, "heptad", "a", Outcome.NONE, n, 1, b"")), b"")
        for n in range(start, start + count)
    ]


@pytest.fixture
def published(ledger, group):
    return Published(ledger, group)


def refused(call, *arguments):
    with pytest.raises(Problem) as caught:
        call(*arguments)
    return caught.value.code


def test_before_the_first_checkpoint_nothing_is_shown(published):
    published.commit(public(3))
    reads = published.reads
    for call, arguments in [
        (reads.checkpoint, (0,)),
        (reads.entry, (0,)),
        (reads.inclusion_proof, (0, 0)),
        (reads.consistency_proof, (1, 0)),
        (reads.tile, ("tile/0/000.p/3",)),
        (reads.tile, ("checkpoint",)),
    ]:
        assert refused(call, *arguments) == "checkpoint_pending"


def test_proofs_verify_for_every_index_and_size_of_a_small_log(published, group):
    published.commit(public(11), public(6, 11))
    published.publish()
    entries = group.entries
    roots = [
        CompactRange.empty().extended(leaf_hashes(entries[:size])).root() for size in range(18)
    ]
    for size in range(1, 18):
        for index in range(size):
            proof = published.reads.inclusion_proof(index, size)
            verify_inclusion(
                leaf_index=index,
                tree_size=size,
                leaf_hash=leaf_hash(entries[index]),
                proof=proof.hashes,
                root_hash=roots[size],
            )
        for old in range(1, size + 1):
            proof = published.reads.consistency_proof(old, size)
            verify_consistency(
                old_size=old,
                new_size=size,
                old_root=roots[old],
                new_root=roots[size],
                proof=proof.hashes,
            )
    assert published.reads.inclusion_proof(16, 0).tree_size == 17
    assert published.reads.consistency_proof(5, 0).second_size == 17


def test_proofs_stay_right_while_the_last_tile_grows(published, group):
    published.commit(public(250))
    published.publish()
    first = published.reads.inclusion_proof(249, 250)
    published.commit(public(600, 250))
    published.publish()
    assert published.reads.inclusion_proof(249, 250) == first
    root = CompactRange.empty().extended(leaf_hashes(group.entries)).root()
    proof = published.reads.inclusion_proof(849, 0)
    verify_inclusion(
        leaf_index=849, tree_size=850, leaf_hash=leaf_hash(group.entries[849]),
        proof=proof.hashes, root_hash=root,
    )  # fmt: skip


def test_the_log_ends_at_the_latest_checkpoint_for_every_reader(published):
    published.commit(public(5))
    published.publish()
    published.commit(public(4, 5))
    reads = published.reads
    for call, arguments in [
        (reads.entry, (5,)),
        (reads.inclusion_proof, (0, 6)),
        (reads.inclusion_proof, (5, 0)),
        (reads.inclusion_proof, (5, 5)),
        (reads.consistency_proof, (5, 6)),
    ]:
        assert refused(call, *arguments) == "index_out_of_range"
    assert refused(reads.consistency_proof, 6, 5) == "parameter_invalid"
    assert refused(reads.consistency_proof, 0, 5) == "parameter_invalid"


def test_tiles_are_those_of_published_sizes_and_rehash_to_the_root(published, group):
    # given 600 entries, published at 300 and at 600
    published.commit(*(public(100, start) for start in range(0, 600, 100)))
    published.publish(300)
    published.publish(600)
    fetch = published.reads.tile
    for size in (300, 600):
        leaves = []
        for tile in all_tiles(size):
            content = fetch(tile.format())
            if tile.level is None:
                leaves += decode_entries(content)
            else:
                assert len(content) == tile.width * 32
        assert leaves == group.entries[:size]
    assert fetch("checkpoint") == published.latest.note
    # then other widths, and what lies beyond, are not there
    for path in ("tile/0/002.p/87", "tile/0/001.p/45", "tile/entries/001.p/43", "tile/0/002",
                 "tile/1/000.p/3", "tile/2/000.p/1", "tile/0/003.p/1"):  # fmt: skip
        assert refused(fetch, path) == "not_found"
    for path in ("tile/0/x000/001", "tile/0/1", "tile/9x/000", "", "/tile/0/000", "tile/0/000.p/0"):
        assert refused(fetch, path) == "parameter_invalid"


def test_historic_checkpoints_are_kept_by_size(published):
    published.commit(public(5))
    published.publish(3)
    published.publish()
    assert published.reads.checkpoint(0).size == 5
    assert published.reads.checkpoint(3).size == 3
    assert refused(published.reads.checkpoint, 4) == "not_found"


def test_a_request_is_known_when_applied_and_has_a_receipt_when_published(published, group, office):
    anna = office.register(1)
    jti = office.jti()
    record, _ = office.request(anna, jti=jti)
    request_id = request_hash(iss=anna.subject_id, jti=jti)
    reads = published.reads
    assert reads.request_status(request_id).state is RequestState.UNKNOWN
    assert refused(reads.receipt, request_id) == "request_unknown"
    # when it is applied, and not yet published
    published.commit([anna.registration], [record])
    status = reads.request_status(request_id)
    assert (status.state, status.index, status.entry) == (RequestState.COMMITTED, 1, record[0])
    assert not status.receipt_ready
    assert refused(reads.receipt, request_id) == "receipt_pending"
    # when it is published, the receipt comes under the first checkpoint that covers it, for ever
    published.publish()
    published.commit(public(9))
    published.publish()
    assert reads.request_status(request_id).receipt_ready
    receipt = reads.receipt(request_id)
    parsed = Receipt.parse(receipt.proof)
    checkpoint = Checkpoint.parse(Note.parse(parsed.checkpoint).text)
    assert (parsed.leaf_index, checkpoint.size) == (1, 2)
    verify_inclusion(
        leaf_index=1, tree_size=2, leaf_hash=leaf_hash(receipt.entry), proof=parsed.proof,
        root_hash=checkpoint.root,
    )  # fmt: skip
    assert reads.receipt(request_id) == receipt


def test_the_status_of_an_unknown_request_says_how_far_the_log_is_applied(published, group):
    group.commit(group.batch(public(1)), time_ms=1234)
    published.ledger.catch_up()
    status = published.reads.request_status(b"\x01" * 32)
    assert (status.state, status.applied_time_ms) == (RequestState.UNKNOWN, 1234)


@pytest.mark.parametrize("request_id", [b"", b"x" * 31, b"x" * 33])
def test_a_request_id_of_a_wrong_length_is_refused(published, request_id):
    assert refused(published.reads.request_status, request_id) == "parameter_invalid"
    assert refused(published.reads.receipt, request_id) == "parameter_invalid"


def test_trees_of_old_sizes_are_forgotten(published):
    published.commit(public(40))
    published.publish()
    for size in range(1, 41):
        published.reads.inclusion_proof(0, size)
    assert len(published.reads._trees) == log_reads.TREES_KEPT_MAX
