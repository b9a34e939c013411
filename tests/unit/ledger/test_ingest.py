"""The writing thread: frames in, durable waves out, and a clean stand after whatever went wrong."""

from dataclasses import replace

import pytest

from heptad.crypto import signatures
from heptad_ledger.apply import HeadContradictedError
from heptad_ledger.chain import Chain
from heptad_ledger.errors import StoreFullError
from heptad_ledger.following import ingest as ingest_module
from heptad_ledger.following.ingest import Ingest


class CountingVerifier:
    """Ed25519 that counts."""

    def __init__(self):
        self.count = 0

    def verify(self, **what):
        self.count += 1
        signatures.verify(**what)


@pytest.fixture
def verifier():
    return CountingVerifier()


@pytest.fixture
def ingest(ledger, group, verifier):
    chain = Chain(group.cell, verifier=verifier, tip=ledger.tip())
    return Ingest(store=ledger.store, chain=chain, applier=ledger.applier)


def commit(group, count, *, size=1):
    return [
        group.commit(group.batch([(b"entry %d of %d" % (n, block), b"") for n in range(size)]))
        for block in range(count)
    ]


def test_of_many_frames_only_the_last_proof_is_looked_at(ledger, group, ingest, verifier):
    frames = commit(group, 20)
    result = ingest.take(frames)
    assert result.refusal is None
    assert ledger.store.state.height == 20
    # one signature for each batch, and two certificates of five
    assert verifier.count == 20 + 10


def test_a_proof_that_is_not_needed_may_be_rubbish(ledger, group, ingest):
    frames = commit(group, 3)
    ingest.take([replace(frames[0], proof=b"rubbish"), *frames[1:]])
    assert ledger.store.state.height == 3


def test_proofs_are_looked_at_every_so_many_bytes(ledger, group, ingest, verifier, monkeypatch):
    monkeypatch.setattr(ingest_module, "UNPROVEN_BYTES", 1_000)
    ingest.take(commit(group, 12, size=20))
    assert ledger.store.state.height == 12
    assert verifier.count > 12 + 2 * 10


def test_what_comes_after_the_last_proof_waits_for_the_next_frames(ledger, group, ingest):
    frames = commit(group, 4)
    bare = [replace(frame, proof=b"") for frame in frames]
    ingest.take([bare[0], frames[1], bare[2]])
    assert ledger.store.state.height == 2
    ingest.take([frames[3]])
    assert ledger.store.state.height == 4


def test_after_a_refusal_the_same_blocks_can_come_from_another_replica(ledger, group, ingest):
    frames = commit(group, 5)
    wrong = replace(frames[3], batches=frames[2].batches)
    result = ingest.take([*frames[:3], wrong, frames[4]])
    assert result.refusal is not None
    assert [wave.state.height for wave in result.waves] == []
    assert ledger.store.state.height == 0
    assert ingest.take(frames).refusal is None
    assert ledger.store.state.height == 5


def test_a_contradicted_head_is_told_apart_from_a_lie(ledger, group, ingest):
    commit(group, 1)
    group.commit(group.batch([(b"x", b"")]), root=b"\x01" * 32)
    result = ingest.take(group.frames)
    assert isinstance(result.refusal, HeadContradictedError)


def test_waves_are_cut_at_their_size_and_no_block_is_split(ledger, group, ingest, monkeypatch):
    monkeypatch.setattr(ingest_module, "WAVE_ENTRIES_MAX", 25)
    result = ingest.take(commit(group, 7, size=10))
    assert [wave.state.height for wave in result.waves] == [3, 6, 7]
    assert len(result.durations_s) == 3


def test_a_full_store_is_told_and_the_same_frames_can_come_again(
    ledger, group, ingest, monkeypatch
):
    frames = commit(group, 2)

    def full(wave):
        raise StoreFullError("no space left")

    monkeypatch.setattr(ledger.store, "write", full)
    result = ingest.take(frames)
    assert isinstance(result.fault, StoreFullError)
    monkeypatch.undo()
    assert ingest.take(frames).fault is None
    assert ledger.store.state.height == 2
