"""A ledger that has lost its log gets it again, from replicas or from another's public files; and
two ledgers that follow the same replicas have the same log.
"""

import asyncio
import contextlib
import shutil
import socket
from dataclasses import replace
from functools import partial

import pytest

from heptad.consensus.objects import LogHead
from heptad.crypto.bundles import Event, public_events, sign_bundle
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.runtime.channels import PEER_MESSAGE_BYTES_MAX, open_channel
from heptad.runtime.config import LedgerConfig, load_node_config
from heptad.runtime.group import agreed_cell
from heptad.runtime.streams import open_frame_stream
from heptad.runtime.vkeys import cell_policy
from heptad.verification.sources import open_source
from heptad.wire.convert.entry import encode_entry, encode_events
from heptad_ledger.backup.cloning import CLONED, STAGED_FOLDER, CloneJob
from heptad_ledger.backup.heads import RemoteReplica, find_head
from heptad_ledger.backup.rebuilding import begin_from_replicas, clone
from heptad_ledger.errors import BackupError, KeptCheckpointError
from heptad_ledger.following.replica_link import METHOD as FOLLOW
from heptad_ledger.fsck.run import Job, check

PUBLIC_TABLES = ("entries", "tile", "by_service", "by_time")
NOW_S = 1_700_000_100


def public(*names, service="tax"):
    """Entries that say nothing but a service, told apart by their commitments."""
    return [
        (
            encode_entry(
                Entry(
                    kind=Kind.REQUEST,
                    service=service,
                    action="authenticate",
                    outcome=Outcome.ALLOWED,
                    time_ms=NOW_S * 1000,
                    validator=1,
                    commitment=name.encode().ljust(32, b"\0"),
                )
            ),
            b"",
        )
        for name in names
    ]


def many(start, count):
    return public(*(f"entry {number}" for number in range(start, start + count)))


def at_another_address(world):
    """The same world with a second ledger in it, at an address of its own."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    ledger = replace(world.cell.ledger, address=address)
    return replace(world, cell=replace(world.cell, ledgers=(ledger,)), log_lines=[])


def rows(service, table):
    environment = service._store._environment
    with environment.reading() as transaction:
        cursor = transaction.cursor(environment.table(table))
        return [(bytes(key), bytes(value)) for key, value in cursor]


def test_two_ledgers_at_once_have_the_same_log(world, running_ledger, eventually, tmp_path):
    async def scenario():
        other = at_another_address(world)
        # given one that hears another replica tell it everything, and begins later
        async with running_ledger(world) as first:
            for number in range(12):
                world.commit(world.group.batch(many(100 * number, 60)), world.group.batch([]))
            await eventually(lambda: first._publisher.size.value == 720)
            world.replicas[0].height_max = 12
            async with running_ledger(other, folder=tmp_path / "second", replicas=()) as second:
                second._follower._choose(second._links[3])
                for number in range(12, 20):
                    world.commit(world.group.batch(many(100 * number, 30)))
                await eventually(lambda: first._publisher.size.value == 960)
                await eventually(lambda: second._publisher.size.value == 960)
                # then every public row is the same, whatever the waves in which it was written
                for table in PUBLIC_TABLES:
                    assert rows(first, table) == rows(second, table), table
                assert first._store.state == second._store.state
                bodies = [s._publisher.latest.note.partition(b"\n\n")[0] for s in (first, second)]
                assert bodies[0] == bodies[1]

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def asked_replicas(world, heights=None):
    """The world's replicas as a ledger that has lost its log asks them."""
    async with contextlib.AsyncExitStack() as channels:

        async def height(replica):
            return min(replica.height_max, len(replica.group.frames))

        remote = []
        for replica in world.replicas:
            channel = open_channel(
                address=world.cell.member_addresses()[replica.replica_id],
                peer_id=replica.replica_id,
                origin=world.cell.origin,
                tls=world.tls_of("ledger-1"),
                message_bytes_max=PEER_MESSAGE_BYTES_MAX,
            )
            await channels.enter_async_context(channel)
            stream = partial(open_frame_stream, channel, FOLLOW)
            remote.append(RemoteReplica(replica.replica_id, stream, partial(height, replica)))
        yield remote


def clone_job(world, data, **more):
    return CloneJob(
        data=data,
        cell=agreed_cell(world.cell),
        config=load_node_config(LedgerConfig, home=world.home, name="ledger-1"),
        own=cell_policy(world.cell),
        **{"policy": cell_policy(world.cell), "now_s": NOW_S, **more},
    )


def bundle_of_two(origin):
    """A bundle, whose own entry says its name in public; its events have no private halves."""
    events = [Event("ab-x", "record.access", b"%d" % number, 1_000) for number in range(2)]
    key, jti = Ed25519Key(b"V" * 32), "00000000-0000-4000-8000-000000000001"
    bundle = sign_bundle(key, events, iss="tax", aud=origin, jti=jti, iat=1, exp=2)
    head = Entry(Kind.BUNDLE, "tax", "", Outcome.NONE, 5_000, 1, b"", bundle.statement)
    entries = encode_events(public_events(bundle.events), service="tax", validator=1)
    return [(entry, b"") for entry in (encode_entry(head), *entries)]


async def grown(world, running_ledger, eventually):
    """A log of some blocks, and its public folder; the ledger has ended."""
    async with running_ledger(world, static_interval_ms=10) as service:
        for number in range(5):
            world.commit(world.group.batch(many(100 * number, 100)))
        world.commit(world.group.batch([*many(500, 97), *bundle_of_two(world.cell.origin)]))
        world.commit()
        await eventually(lambda: service._publisher.size.value == 600)
        folder = service._static._exporter._folder
        await eventually(lambda: (folder.read("checkpoint") or b"").split(b"\n")[1:2] == [b"600"])
        return {table: rows(service, table) for table in PUBLIC_TABLES}


def test_a_clone_has_the_public_log_and_goes_on_from_it(
    world, running_ledger, eventually, tmp_path
):
    async def scenario():
        original = await grown(world, running_ledger, eventually)
        public_folder = tmp_path / "public"
        shutil.move(tmp_path / "data" / "static", public_folder)
        shutil.rmtree(tmp_path / "data")
        data = tmp_path / "data"
        data.mkdir()
        for replica in world.replicas:
            await replica.start(world)
        async with asked_replicas(world) as replicas:
            with open_source(str(public_folder)) as source:
                cloned = await clone(clone_job(world, data), source, replicas)
        assert (cloned.size, cloned.block.height) == (600, 6)
        assert sorted(path.name for path in data.iterdir()) == ["log", "vault", "vault-root"]
        # then it follows from there: the blocks before are pruned everywhere
        for replica in world.replicas:
            replica.pruned = 6
        async with running_ledger(world, replicas=()) as service:
            world.commit(world.group.batch(many(600, 50)))
            await eventually(lambda: service._publisher.size.value == 650)
            assert service._store.state.edge.root() == world.group.head().root
            # with the same hashes and the same entries, though cut otherwise into rows
            assert rows(service, "tile")[:2] == original["tile"][:2]
            with service._store.snapshot() as snapshot:
                assert snapshot.entries(0, 650) == world.group.entries
            # and it says that it is a clone, and of which block's time all of that counts as
            assert int.from_bytes(service._store.kept(CLONED)[:8], "big") == 600
            assert len(rows(service, "by_time")) == 2
        found = []
        check(Job(data, None, world.cell), report=found.append, progress=lambda *_: None)
        assert found == []

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["an entry", "a tile", "the checkpoint", "a file less"])
def test_an_altered_copy_is_not_cloned(world, running_ledger, eventually, tmp_path, what):
    async def scenario():
        await grown(world, running_ledger, eventually)
        static, data = tmp_path / "data" / "static", tmp_path / "new"
        path = {
            "an entry": "tile/entries/001",
            "a tile": "tile/0/001",
            "the checkpoint": "checkpoint",
            "a file less": "tile/entries/000",
        }[what]
        content = bytearray((static / path).read_bytes())
        content[-20] ^= 1
        if what == "a file less":
            (static / path).unlink()
        else:
            (static / path).write_bytes(content)
        with open_source(str(static)) as source, pytest.raises(BackupError):
            await clone(clone_job(world, data), source, [])
        assert list(data.iterdir()) == []

    asyncio.run(scenario())


def test_a_clone_that_contradicts_the_kept_checkpoint_is_dropped(
    world, running_ledger, eventually, tmp_path, kit
):
    async def scenario():
        await grown(world, running_ledger, eventually)
        data = tmp_path / "new"
        # given a checkpoint of another history, that a quorum has signed, too
        twin = kit.Group(
            vote_keys=world.group.vote_keys,
            cosign_keys=world.group.cosign_keys,
            batch_keys=world.group.batch_keys,
            origin=world.cell.origin,
        )
        twin.commit(twin.batch(many(5_000, 100)))
        kept = world.note(twin.head())
        with (
            open_source(str(tmp_path / "data" / "static")) as source,
            pytest.raises(KeptCheckpointError),
        ):
            await clone(clone_job(world, data, kept=kept), source, [])
        assert list(data.iterdir()) == []

    asyncio.run(scenario())


def test_an_empty_ledger_gets_everything_from_a_replica_that_holds_everything(
    world, running_ledger, eventually, tmp_path
):
    async def scenario():
        original = await grown(world, running_ledger, eventually)
        shutil.rmtree(tmp_path / "data")
        for replica in world.replicas:
            await replica.start(world)
        async with asked_replicas(world) as replicas:
            policy = cell_policy(world.cell)
            holdings = await begin_from_replicas(
                replicas, data=tmp_path / "data", policy=policy, kept=None
            )
        assert len(holdings.complete) == 7
        async with running_ledger(world, replicas=()) as service:
            await eventually(lambda: service._publisher.size.value == 600)
            assert {table: rows(service, table) for table in PUBLIC_TABLES} == original

    asyncio.run(scenario())


class Holding:
    """A replica that holds blocks of the group from `lowest` on, but not those in `gap`."""

    def __init__(self, group, name="replica-1", *, lowest=1, gap=range(0), until=None):
        self.id = name
        self.frames = group.frames[:until]
        self.held = [f for f in self.frames if f.height >= lowest and f.height not in gap]
        self.looks = 0

    async def height(self):
        return len(self.frames)

    async def block_from(self, height):
        self.looks += 1
        return next(frame for frame in self.held if frame.height >= height)


@pytest.mark.parametrize("holding", [{}, {"lowest": 7}, {"gap": range(3, 15)}])
def test_the_block_of_a_head_is_found_wherever_it_is_held(world, holding):
    group = world.group
    # given blocks of which every fourth brings no entry
    heads = []
    for number in range(20):
        group.commit(*([group.batch(many(number, 3))] if number % 4 else []))
        heads.append(group.head())
    for head in heads:
        replica = Holding(group, **holding)
        find = find_head([replica], head=head, cell=group.cell)
        held = [frame.height for frame in replica.held if heads[frame.height - 1] == head]
        if not held:
            with pytest.raises(BackupError, match="no replica proves"):
                asyncio.run(find)
        else:
            assert asyncio.run(find).height == held[0]
        assert replica.looks < 10


def test_a_block_that_is_not_proved_is_not_taken(world):
    group = world.group
    group.commit(group.batch(many(0, 3)))
    other = group.commit(group.batch(many(3, 3)))
    replica = Holding(group)
    head = group.head()
    replica.held[1] = replace(other, proof=group.frames[0].proof)
    with pytest.raises(BackupError, match="no replica proves"):
        asyncio.run(find_head([replica], head=head, cell=group.cell))
    # nor one with another root, nor one beyond what there is
    wrong = LogHead(head.size, bytes(32))
    for unproved in (wrong, LogHead(head.size + 1, head.root)):
        with pytest.raises(BackupError):
            asyncio.run(find_head([Holding(group)], head=unproved, cell=group.cell))
    # but the next replica may know better
    assert asyncio.run(find_head([replica, Holding(group)], head=group.head(), cell=group.cell))


def test_a_block_that_strangers_have_committed_is_not_taken(world, kit):
    # given a chain with the very same log, whose voters are not of this cell
    strangers = kit.Group(
        vote_keys=world.group.cosign_keys,
        cosign_keys=world.group.cosign_keys,
        batch_keys=world.group.batch_keys,
        origin=world.cell.origin,
    )
    for group in (world.group, strangers):
        group.commit(group.batch(many(0, 3)))
    head = world.group.head()
    assert strangers.head() == head
    with pytest.raises(BackupError, match="no replica proves"):
        asyncio.run(find_head([Holding(strangers)], head=head, cell=world.group.cell))


def test_what_is_pruned_everywhere_is_told_by_the_command(world, tmp_path):
    group = world.group
    for number in range(5):
        group.commit(group.batch(many(number, 1)))

    async def begin(*replicas):
        policy = cell_policy(world.cell)
        return await begin_from_replicas(replicas, data=tmp_path, policy=policy, kept=None)

    with pytest.raises(BackupError, match="replica-1 from block 3; replica-2 from block 4"):
        asyncio.run(begin(Holding(group, lowest=3), Holding(group, "replica-2", lowest=4)))
    assert asyncio.run(begin(Holding(group))).complete == ["replica-1"]
    (tmp_path / "log").mkdir()
    with pytest.raises(BackupError, match="move it away"):
        asyncio.run(begin(Holding(group)))
    assert not (tmp_path / STAGED_FOLDER).exists()
