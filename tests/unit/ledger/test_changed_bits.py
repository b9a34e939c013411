"""A disk that gives back another bit than it was given: no wrong entry, proof or tile leaves."""

import asyncio
import random

import pytest

from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.queries import EntryQuery
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.errors import StoreDamagedError
from heptad_ledger.log_reads import LogReads
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.store.wave import pack_index

SIZE = 300
BITS = 40


class Damaged:
    """A published log of `SIZE` entries, whose rows a test can change."""

    def __init__(self, ledger, group):
        self.store = ledger.store
        for start in range(0, SIZE, 100):
            entries = [
                Entry(Kind.POLICY_CHANGE, "heptad", "a", Outcome.NONE, n, 1, b"")
                for n in range(start, start + 100)
            ]
            group.commit(group.batch([(encode_entry(entry), b"") for entry in entries]))
        ledger.catch_up()
        head = group.head()
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"1234", b"s" * 64),)).encode()
        self.store.publish(head.size, note)
        self.published = PublishedCheckpoint(note, head.size)
        self._index_key = ledger.vault.index_key

    def reads(self):
        """A door that remembers nothing."""
        return LogReads(store=self.store, latest=lambda: self.published, index_key=self._index_key)

    def flips(self, table, key):
        """Change one bit of a row after the other, each only for a moment; yields which."""
        environment = self.store._environment
        handle = environment.table(table)
        with environment.reading() as transaction:
            good = bytes(transaction.get(key, db=handle))
        for bit in random.Random(table).sample(range(len(good) * 8), BITS):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            with environment.writing() as transaction:
                transaction.put(key, bytes(bad), db=handle)
            yield bit
        with environment.writing() as transaction:
            transaction.put(key, good, db=handle)


@pytest.fixture
def damaged(ledger, group):
    return Damaged(ledger, group)


def answered(call, *arguments):
    """What is answered, or None where the damage is noticed."""
    try:
        return call(*arguments)
    except StoreDamagedError:
        return None


def page(damaged):
    """The first hundred entries, as a listing gives them."""
    queries = EntryQueries(
        store=damaged.store, latest=lambda: damaged.published, page_size_max=1_000
    )
    return asyncio.run(queries.page(EntryQuery(page_size=100))).entries


def test_no_bit_of_a_batch_can_change_and_an_entry_be_served_wrongly(damaged):
    good = [damaged.reads().entry(index) for index in range(100)]
    bundle = damaged.reads().tile("tile/entries/000")
    listed = page(damaged)
    for bit in damaged.flips("entries", pack_index(0)):
        reads = damaged.reads()
        assert answered(page, damaged) in (None, listed)
        served = [answered(reads.entry, index) for index in range(100)]
        assert None in served, f"bit {bit} was not noticed"
        assert all(one in (None, right) for one, right in zip(served, good, strict=True))
        assert answered(reads.tile, "tile/entries/000") is None
    assert damaged.reads().tile("tile/entries/000") == bundle


def test_no_bit_of_a_tile_can_change_and_a_proof_or_the_tile_be_served_wrongly(damaged):
    good = damaged.reads()
    proofs = [good.inclusion_proof(index, 0) for index in range(0, SIZE, 9)]
    grown = good.consistency_proof(100, SIZE)
    for key in (b"\0" + pack_index(0), b"\0" + pack_index(1), b"\1" + pack_index(0)):
        for bit in damaged.flips("tile", key):
            reads = damaged.reads()
            served = [answered(reads.inclusion_proof, index, 0) for index in range(0, SIZE, 9)]
            assert all(one in (None, right) for one, right in zip(served, proofs, strict=True))
            assert answered(reads.consistency_proof, 100, SIZE) in (None, grown)
            names = ("tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1")
            tiles = [answered(reads.tile, name) for name in names]
            assert None in tiles, f"bit {bit} of {key.hex()} was not noticed"
    assert damaged.reads().inclusion_proof(0, 0) == proofs[0]


def test_what_is_damaged_is_named(damaged):
    for _ in damaged.flips("tile", b"\0" + pack_index(0)):
        with pytest.raises(StoreDamagedError, match="tile 0/0 is not what its root says"):
            damaged.reads().tile("tile/0/000")
        break
