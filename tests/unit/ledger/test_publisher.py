"""Publishing: signed, durable, served, in this order, and only ever forwards."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from heptad.consensus.objects import LogHead
from heptad.crypto import signatures
from heptad.crypto.keys import Ed25519Key
from heptad.model.log_reads import PublishedCheckpoint
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.transparency.checkpoint import Checkpoint, verify_signature
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad_ledger.errors import KeptCheckpointError, StoreFullError
from heptad_ledger.heads import Head
from heptad_ledger.publishing import publisher as publisher_module
from heptad_ledger.publishing.cosignatures import CosignatureBook
from heptad_ledger.publishing.kept import Anchor
from heptad_ledger.publishing.publisher import Publisher
from heptad_ledger.publishing.signers import LogSigner

ORIGIN = "log.test"
NOW_S = 1_700_000_000
LOG_KEY, NEXT_LOG_KEY = Ed25519Key(b"\x66" * 32), Ed25519Key(b"\x67" * 32)
NO_ANCHOR = Anchor(None, None)


def signer_of(key):
    return LogSigner(VerifierKey(ORIGIN, SignatureType.LOG, key.public_key), key.sign)


def head_of(size):
    return Head(size, bytes([size]) * 32, NOW_S * 1000)


class Checkpoints:
    """A store that can be full, and that shows what was known outside when it wrote."""

    def __init__(self):
        self.notes = {}
        self.full_times = 0
        self.seen_while_writing = []
        self.publisher = None

    def publish(self, size, note):
        self.seen_while_writing.append(self.publisher.size.value)
        if self.full_times:
            self.full_times -= 1
            raise StoreFullError("no space left")
        assert size not in self.notes
        self.notes[size] = note


@pytest.fixture
def publishing(group, monkeypatch):
    """Runs `scenario(publisher, store, offer)` with a real event loop and writing thread."""
    monkeypatch.setattr(publisher_module, "RETRY_S", 0.0)
    log_lines = []

    def run(scenario, *, latest=None, anchor=NO_ANCHOR, keys=(LOG_KEY,)):
        async def main():
            store, writer = Checkpoints(), ThreadPoolExecutor(1)
            witnesses = {
                f"replica-{n}": VerifierKey(f"r{n}", SignatureType.COSIGNATURE, key.public_key)
                for n, key in enumerate(group.cosign_keys, start=1)
            }
            book = CosignatureBook(
                origin=ORIGIN, witnesses=witnesses, quorum=5, verify=signatures.verify,
                skew_s_max=60,
            )  # fmt: skip
            publisher = store.publisher = Publisher(
                store=store,
                book=book,
                anchor=anchor,
                latest=latest,
                signers=[signer_of(key) for key in keys],
                writer=writer,
                now_s=lambda: NOW_S,
                log=EventLog(bound={}, write=log_lines.append),
                metrics=Metrics(cell=ORIGIN, service="ledger-1"),
            )

            def offer(size, members):
                head = head_of(size)
                for member in members:
                    frame = group.cosign(member, LogHead(size, head.root), time_s=NOW_S)
                    publisher.offer(f"replica-{member + 1}", frame)

            task = asyncio.create_task(publisher.run())
            try:
                await scenario(publisher, store, offer)
            finally:
                task.cancel()
                writer.shutdown()

        asyncio.run(main())
        return log_lines

    return run


def test_a_checkpoint_is_durable_before_anybody_sees_it(publishing):
    async def scenario(publisher, store, offer):
        seen = []
        publisher.on_published = seen.append
        publisher.applied([head_of(5)])
        offer(5, range(5))
        assert await publisher.size.reached(5, timeout_s=10)
        assert store.seen_while_writing == [0]
        assert seen == [publisher.latest] == [PublishedCheckpoint(store.notes[5], 5)]
        note = Note.parse(publisher.latest.note)
        assert note.text == Checkpoint(ORIGIN, 5, head_of(5).root).body()
        assert [line.key_name for line in note.signatures] == [ORIGIN, "r1", "r2", "r3", "r4", "r5"]

    publishing(scenario)


def test_while_two_log_keys_overlap_a_checkpoint_carries_both_signatures(publishing):
    async def scenario(publisher, store, offer):
        publisher.applied([head_of(5)])
        offer(5, range(5))
        assert await publisher.size.reached(5, timeout_s=10)
        note = Note.parse(store.notes[5])
        first, second, *cosignatures = note.signatures
        assert len(cosignatures) == 5
        for line, key in ((first, LOG_KEY), (second, NEXT_LOG_KEY)):
            vkey = signer_of(key).key
            verify_signature(note.text, line, key=vkey, verify=signatures.verify)

    publishing(scenario, keys=(LOG_KEY, NEXT_LOG_KEY))


def test_four_cosignatures_publish_nothing(publishing):
    async def scenario(publisher, store, offer):
        publisher.applied([head_of(5)])
        offer(5, range(4))
        assert not await publisher.size.reached(5, timeout_s=0.05)
        assert store.notes == {}

    publishing(scenario)


def test_sizes_only_grow(publishing):
    async def scenario(publisher, store, offer):
        publisher.applied([head_of(5), head_of(9)])
        offer(9, range(5))
        assert await publisher.size.reached(9, timeout_s=10)
        offer(5, range(5))
        offer(9, range(7))
        publisher.applied([head_of(12)])
        offer(12, range(2, 7))
        assert await publisher.size.reached(12, timeout_s=10)
        assert list(store.notes) == [9, 12]

    publishing(scenario)


def test_what_was_published_before_a_restart_is_not_published_again(publishing):
    async def scenario(publisher, store, offer):
        assert publisher.size.value == 9
        publisher.applied([head_of(9), head_of(10)])
        offer(9, range(7))
        assert not await publisher.size.reached(10, timeout_s=0.05)
        offer(10, range(5))
        assert await publisher.size.reached(10, timeout_s=10)
        assert list(store.notes) == [10]

    publishing(scenario, latest=PublishedCheckpoint(b"old", 9))


def test_a_full_disk_delays_a_checkpoint_and_does_not_end_publishing(publishing):
    async def scenario(publisher, store, offer):
        store.full_times = 2
        publisher.applied([head_of(5)])
        offer(5, range(5))
        assert await publisher.size.reached(5, timeout_s=10)
        assert len(store.seen_while_writing) == 3

    assert sum("store_full" in line for line in publishing(scenario)) == 2


def test_whoever_goes_on_sending_false_cosignatures_is_named_and_nobody_else(publishing, group):
    async def scenario(publisher, store, offer):
        named = []
        publisher.on_forger = named.append
        publisher.applied([head_of(5)])
        false = group.cosign(2, LogHead(5, head_of(5).root), time_s=NOW_S, key=LOG_KEY)
        late = group.cosign(3, LogHead(5, head_of(5).root), time_s=NOW_S - 9_000)
        early = group.cosign(4, LogHead(500, bytes(32)), time_s=NOW_S)
        for count in range(7):
            publisher.offer("replica-3", false)
            assert not named, count
        for _ in range(50):
            publisher.offer("replica-4", late)
            publisher.offer("replica-5", early)
        publisher.offer("replica-3", false)
        assert named == ["replica-3"]

    publishing(scenario)


class Kept:
    """An anchor of a size, which says what a test wants it to say."""

    def __init__(self, size, *, is_contradicted=False):
        self.size, self.is_contradicted = size, is_contradicted

    def allows(self, size):
        if self.is_contradicted:
            raise KeptCheckpointError("another root")
        return size >= self.size


def test_nothing_below_the_kept_checkpoint_is_published(publishing):
    async def scenario(publisher, store, offer):
        publisher.applied([head_of(5), head_of(8)])
        offer(5, range(7))
        offer(8, range(7))
        assert not await publisher.size.reached(5, timeout_s=0.05)
        assert store.notes == {}
        # once the log is as large, it goes out
        publisher.applied([head_of(9)])
        offer(9, range(5))
        assert await publisher.size.reached(9, timeout_s=10)
        assert list(store.notes) == [9]

    publishing(scenario, anchor=Kept(9))


def test_a_log_that_contradicts_the_kept_checkpoint_is_not_published_ever_again(publishing):
    anchor = Kept(0, is_contradicted=True)

    async def scenario(publisher, store, offer):
        publisher.applied([head_of(5), head_of(6)])
        offer(5, range(7))
        assert not await publisher.size.reached(5, timeout_s=0.05)
        anchor.is_contradicted = False
        offer(6, range(7))
        assert not await publisher.size.reached(5, timeout_s=0.05)
        assert store.notes == {}
        assert "another root" in publisher.contradicted

    log_lines = publishing(scenario, anchor=anchor)
    assert sum("kept_checkpoint_contradicted" in line for line in log_lines) == 1
