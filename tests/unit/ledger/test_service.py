"""Bytes at the public door: whatever comes, the answer is a message or a code of the table."""

import asyncio
import contextlib
import inspect

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.consensus.objects import LogHead
from heptad.model.log_reads import LedgerStatus, PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad_ledger.log_reads import LogReads
from heptad_ledger.queries.entry_queries import EntryQueries
from heptad_ledger.queries.watching import Watches
from heptad_ledger.service import METHODS, ROLES, LedgerDoor


@pytest.fixture
def door(ledger, group):
    """A door in front of twenty published entries."""
    group.commit(group.batch([(b"entry %d" % n, b"") for n in range(20)]))
    ledger.catch_up()
    head: LogHead = group.head()
    body = Checkpoint("log.test", head.size, head.root).body()
    note = Note(body, (NoteSignature("log.test", b"1234", b"s" * 64),)).encode()
    ledger.store.publish(head.size, note)
    published = PublishedCheckpoint(note, head.size)
    reads = LogReads(store=ledger.store, latest=lambda: published, index_key=ledger.vault.index_key)
    queries = EntryQueries(store=ledger.store, latest=lambda: published, page_size_max=1_000)
    status = LedgerStatus(1, 1, 20, head.root, 20, 7, 0, 0, 0)
    return LedgerDoor(
        reads=reads, queries=queries, watches=Watches(queries), read_status=lambda: status
    )


def handlers(door):
    """The functions behind the methods, in their order."""
    names = ["".join("_" + c.lower() if c.isupper() else c for c in method) for method in METHODS]
    return [getattr(door, name) for name in names]


numbers = st.one_of(st.integers(0, 25), st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64 - 1]))


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


messages = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda a: b"\x08" + varint(a), numbers),
    st.builds(lambda a, b: b"\x08" + varint(a) + b"\x10" + varint(b), numbers, numbers),
    st.builds(
        lambda path: b"\x0a" + bytes([len(path)]) + path,
        st.one_of(
            st.binary(max_size=33),
            st.from_regex(r"tile/([0-9]{1,2}|entries)/(x[0-9]{3}/){0,5}[0-9]{3}(\.p/[0-9]{1,3})?")
            .filter(lambda text: text.isascii() and len(text) < 100)
            .map(lambda text: text.encode()),
        ),
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=messages)
def test_any_bytes_give_an_answer_or_a_problem(door, data):
    for answer in handlers(door):
        with contextlib.suppress(Problem):
            answered = answer(data)
            if inspect.isawaitable(answered):
                answered = asyncio.run(answered)
            assert isinstance(answered, bytes)


@pytest.mark.parametrize(
    ("method", "waits"),
    [
        ("GetTile", True),
        ("GetInclusionProof", True),
        ("GetConsistencyProof", True),
        ("GetEntry", False),
        ("GetReceipt", False),
    ],
)
def test_what_is_dear_to_prove_waits_for_its_turn(door, method, waits):
    async def story():
        handle = door._handler(method, lambda data: data)
        async with door._queries.turns.one():
            call = asyncio.create_task(handle(b"answer", None))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert call.done() is not waits
        assert await call == b"answer"

    asyncio.run(story())


def test_every_method_of_the_proto_has_its_roles():
    from heptad.wire.ledger.v1 import ledger_pb2

    service = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]
    assert {f"/{service.full_name}/{method.name}" for method in service.methods} == set(ROLES)


def test_a_watcher_that_goes_while_it_is_written_to_ends_its_call_and_breaks_nothing(door):
    class Gone:
        async def write(self, _message):
            raise grpc.aio.InternalError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(door._watch_entries(b"", Gone()))
    assert door._watches.count == 0
