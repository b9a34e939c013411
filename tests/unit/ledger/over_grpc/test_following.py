"""Following seven replicas, of whom some lie, stall or die: the ledger goes on with the rest."""

import asyncio
import json
from dataclasses import replace

import pytest

from heptad.consensus.evidence import Charge, Offence
from heptad.consensus.judging import Judge
from heptad.consensus.objects import LogHead
from heptad.crypto import signatures
from heptad.model.batch import decode_batch, encode_batch
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.checkpoint import verify_checkpoint
from heptad.wire.convert import ledger as wire
from heptad.wire.streams import FollowFrame, encode_to_ledger
from heptad_ledger import chain as chain_module
from heptad_ledger import routing_key_keeper, wiring
from heptad_ledger.errors import StoreFullError
from heptad_ledger.following import follower as follower_module
from heptad_ledger.following.replica_link import NO_BLOCKS


def public(*contents):
    return [(content, b"") for content in contents]


def events(world, name):
    lines = [json.loads(line) for line in world.log_lines]
    return [line for line in lines if line["event"] == name]


def applied(service, height):
    return lambda: service._store.state.height >= height


def test_blocks_are_applied_published_and_acknowledged(world, running_ledger, eventually, call):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a", b"b")))
            world.commit(world.group.batch(public(b"c")), world.group.batch([]))
            world.commit()
            await eventually(lambda: service._publisher.size.value == 3)
            assert service._store.state.edge.root() == world.group.head().root
            # then every replica hears how far the ledger is
            for replica in world.replicas:
                await eventually(
                    lambda replica=replica: (
                        replica.applied
                        and (replica.applied[-1].height, replica.applied[-1].published_size)
                        == (3, 3)
                    )
                )
            # and bytes came from one of them
            asked = [replica.follows[-1] for replica in world.replicas]
            assert sorted(follow.want_batches for follow in asked) == [False] * 6 + [True]
            assert NO_BLOCKS not in asked
            note = wire.decode_checkpoint(
                await call(
                    world, "gateway-1", f"/{wire.SERVICE}/GetCheckpoint",
                    wire.encode_checkpoint_call(),
                )
            ).note  # fmt: skip
            checkpoint = verify_checkpoint(
                note, policy=cell_policy(world.cell), verify=signatures.verify
            )
            assert (checkpoint.size, checkpoint.root) == (3, world.group.head().root)

    asyncio.run(scenario())


def test_a_block_that_only_four_have_cosigned_is_applied_and_not_published(
    world, running_ledger, eventually
):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")), cosigners=range(4))
            await eventually(applied(service, 1))
            await eventually(lambda: len(service._publisher._book._good.get(1, ())) == 4)
            assert service._publisher.latest is None
            # a fifth that is forged changes nothing, an honest fifth does
            forged = world.group.cosign(4, world.group.head(), key=world.group.cosign_keys[0])
            world.replicas[4].cosigns.append(forged)
            world.replicas[4].news()
            await eventually(lambda: events(world, "cosignature_refused"))
            assert service._publisher.latest is None
            world.replicas[5].cosigns.append(world.group.cosign(5, world.group.head()))
            world.replicas[5].news()
            await eventually(lambda: service._publisher.size.value == 1)

    asyncio.run(scenario())


def forged_batch(frame):
    """The first batch with another entry in it, its framing intact."""
    if not frame.batches:
        return encode_to_ledger(frame)
    batch = decode_batch(frame.batches[0])
    leaves = bytes([*batch.leaves[:-1], batch.leaves[-1] ^ 1])
    changed = encode_batch(replace(batch, leaves=leaves))
    return encode_to_ledger(replace(frame, batches=(changed, *frame.batches[1:])))


LIES = {
    "an altered entry": forged_batch,
    "no batches": lambda f: encode_to_ledger(replace(f, batches=())),
    "a proof cut off": lambda f: encode_to_ledger(replace(f, proof=f.proof[:-3])),
    "another height": lambda f: encode_to_ledger(replace(f, height=f.height + 1)),
    "a frame of an unknown kind": lambda f: b"\x77" + encode_to_ledger(f),
    "a frame cut off": lambda f: encode_to_ledger(f)[:-5],
    "an empty frame": lambda f: b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_one_honest_replica_is_enough_whatever_the_other_six_send(
    world, running_ledger, eventually, lie
):
    async def scenario():
        # given six liars
        for replica in world.replicas[:6]:
            replica.tamper = LIES[lie]
        async with running_ledger(world, stall_s=0.1, replicas=range(6)) as service:
            for number in range(3):
                world.commit(world.group.batch(public(b"entry %d" % number)))
            await eventually(
                lambda: events(world, "replica_refused") or events(world, "replica_stalls")
            )
            assert service._store.state.height == 0
            # when one comes that tells the truth
            await world.replicas[6].start(world)
            # then the ledger finds it
            await eventually(applied(service, 3))
            assert service._store.state.edge.root() == world.group.head().root

    asyncio.run(scenario())


def test_a_replica_that_cosigns_two_histories_is_accused_to_all_of_them(
    world, running_ledger, eventually
):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a", b"b")))
            world.commit(world.group.batch(public(b"c")))
            await eventually(lambda: service._publisher.size.value == 3)
            world.replicas[2].cosigns.append(world.group.cosign(2, LogHead(2, b"\x66" * 32)))
            world.replicas[2].news()
            await eventually(lambda: all(replica.accusations for replica in world.replicas))
            (proof,) = {each for replica in world.replicas for each in replica.accusations}
            charge = Judge(world.group.cell, signatures).read(proof).charge
            assert charge == Charge(Offence.HEADS, 2)
            (alert,) = events(world, "misbehaviour_proven")
            assert (alert["accused"], alert["level"]) == ("replica-3", "error")
            # and whoever comes back later is told, too
            await world.replicas[5].stop()
            world.replicas[5].accusations.clear()
            await world.replicas[5].start(world)
            await eventually(lambda: world.replicas[5].accusations == [proof])

    asyncio.run(scenario())


def test_whoever_has_pruned_what_is_asked_for_is_no_liar_and_is_asked_last(
    world, running_ledger, eventually
):
    async def scenario():
        for replica in world.replicas[:6]:
            replica.pruned = 3
        for number in range(4):
            world.commit(world.group.batch(public(b"entry %d" % number)))
        async with running_ledger(world, stall_s=60, replicas=range(6)) as service:
            await eventually(
                lambda: len({each["replica"] for each in events(world, "blocks_not_held")}) == 6
            )
            assert service._store.state.height == 0
            await world.replicas[6].start(world)
            await eventually(applied(service, 4))
            assert not events(world, "replica_refused")
            assert [link.lies for link in service._links] == [0] * 7
            # and once the ledger is beyond what they lack, they are as good as any other
            await eventually(lambda: service._follower.connected_count == 7)
            await world.replicas[6].stop()
            world.commit(world.group.batch(public(b"more")))
            await eventually(applied(service, 5))

    asyncio.run(scenario())


def test_a_replica_that_floods_with_false_cosignatures_is_hung_up_on_and_costs_a_few_checks(
    world, running_ledger, eventually, monkeypatch
):
    checked = []

    def verify(*, public_key, message, signature):
        checked.append(public_key)
        return signatures.verify(public_key=public_key, message=message, signature=signature)

    class Metered:
        pass

    Metered.verify = staticmethod(verify)
    monkeypatch.setattr(wiring, "signatures", Metered)

    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")), cosigners=range(4))
            await eventually(applied(service, 1))
            evil = world.replicas[6]
            head = world.group.head()
            forged = world.group.cosign(6, head, key=world.group.cosign_keys[0])
            evil.cosigns += [forged] * 300
            evil.news()
            await eventually(lambda: events(world, "replica_refused"))
            (refused,) = events(world, "replica_refused")
            assert (refused["replica"], refused["reason"]) == (
                "replica-7",
                "too many false cosignatures",
            )
            key = world.group.cosign_keys[6].public_key
            assert checked.count(key) == len(events(world, "cosignature_refused")) <= 8
            # the others go on
            world.replicas[4].cosigns.append(world.group.cosign(4, head))
            world.replicas[4].news()
            await eventually(lambda: service._publisher.size.value == 1)

    asyncio.run(scenario())


def test_a_replica_that_stalls_loses_its_place(world, running_ledger, eventually):
    async def scenario():
        async with running_ledger(world, stall_s=0.1) as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(applied(service, 1))
            stalled = service._follower.chosen
            number = [r.replica_id for r in world.replicas].index(stalled.replica_id)
            world.replicas[number].height_max = 1
            world.commit(world.group.batch(public(b"b")))
            await eventually(applied(service, 2))
            assert service._follower.chosen is not stalled
            assert events(world, "replica_stalls")
            assert stalled.lies == 0
            await eventually(lambda: not world.replicas[number].follows[-1].want_batches)

    asyncio.run(scenario())


def test_a_false_claim_to_be_ahead_unseats_nobody_and_is_found_out(
    world, running_ledger, eventually
):
    """It sends the header of a height that nobody else has, with a proof that proves nothing."""

    def exaggerate(frame):
        return encode_to_ledger(replace(frame, height=frame.height + 50, proof=frame.proof[:-1]))

    async def scenario():
        async with running_ledger(world, stall_s=0.1, replicas=range(3)) as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(applied(service, 1))
            chosen = service._follower.chosen
            for replica in world.replicas[:3]:
                replica.height_max = 1
            liar = world.replicas[3]
            liar.tamper_headers = exaggerate
            world.commit(world.group.batch(public(b"b")))
            await liar.start(world)
            await eventually(lambda: events(world, "replica_refused"))
            assert service._follower.chosen is chosen
            assert events(world, "replica_refused")[0]["replica"] == "replica-4"

    asyncio.run(scenario())


def test_what_two_liars_claim_to_be_committed_is_not_waited_for(world, running_ledger, eventually):
    """A look-up waits for what three have committed: of three one is honest, of two perhaps none.

    The tampered headers are read as claims before anybody finds out that they prove nothing.
    """

    def exaggerate(frame):
        return encode_to_ledger(replace(frame, height=frame.height + 50, proof=b""))

    async def scenario():
        for liar in world.replicas[5:]:
            liar.tamper_headers = exaggerate
        async with running_ledger(world, stall_s=60) as service:
            follower = service._follower
            for text in (b"a", b"b"):
                world.commit(world.group.batch(public(text)))
            await eventually(lambda: follower.height_known > 2)
            await eventually(applied(service, 2))
            await eventually(lambda: follower.height_committed == 2)
            assert await follower.catch_up(5.0)

    asyncio.run(scenario())


def test_a_chosen_replica_that_dies_is_replaced_and_followed_again_when_it_is_back(
    world, running_ledger, eventually
):
    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(applied(service, 1))
            name = service._follower.chosen.replica_id
            dead = next(r for r in world.replicas if r.replica_id == name)
            await dead.stop()
            world.commit(world.group.batch(public(b"b")))
            await eventually(applied(service, 2))
            streams = dead.streams
            await dead.start(world)
            await eventually(lambda: dead.streams > streams)

    asyncio.run(scenario())


def test_a_restarted_ledger_goes_on_where_it_was_and_serves_at_once(
    world, running_ledger, eventually, call
):
    async def scenario():
        async with running_ledger(world) as service:
            for number in range(4):
                world.commit(world.group.batch(public(b"entry %d" % number)))
            await eventually(lambda: service._publisher.size.value == 4)
            latest = service._publisher.latest
        for replica in world.replicas:
            replica.follows.clear()
        async with running_ledger(world, replicas=()) as service:
            # no replica is up yet: what was published is served all the same
            answer = await call(
                world, "gateway-1", f"/{wire.SERVICE}/GetCheckpoint", wire.encode_checkpoint_call()
            )
            assert wire.decode_checkpoint(answer) == latest
            await world.replicas[3].start(world)
            await eventually(lambda: world.replicas[3].follows[1:])
            assert world.replicas[3].follows == [NO_BLOCKS, FollowFrame(5, want_batches=True)]
            world.commit(world.group.batch(public(b"more")))
            await eventually(applied(service, 5))

    asyncio.run(scenario())


def test_a_head_that_was_cosigned_before_a_restart_is_still_published(
    world, running_ledger, eventually
):
    """Nothing new is committed: the replicas repeat what they have cosigned last."""

    async def scenario():
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")), cosigners=range(3))
            await eventually(applied(service, 1))
        for member in range(3, 7):
            frame = world.group.cosign(member, world.group.head())
            world.replicas[member].cosigns.append(frame)
        async with running_ledger(world) as service:
            await eventually(lambda: service._publisher.size.value == 1)

    asyncio.run(scenario())


def test_a_long_history_is_caught_up_within_bounded_memory(world, running_ledger, eventually):
    async def scenario():
        for number in range(30):
            world.commit(world.group.batch(public(*(b"%d" % n * 2_000 for n in range(number)))))
        async with running_ledger(world, fetch_bytes_max=1 << 20) as service:
            follower, most = service._follower, 0
            while service._store.state.height < 30:
                most = max(most, follower._buffered_bytes)
                await asyncio.sleep(0)
            assert most <= (1 << 20) + 100_000
            assert service._store.state.edge.root() == world.group.head().root

    asyncio.run(scenario())


def test_blocks_whose_proof_comes_too_late_for_memory_are_fetched_again_and_nobody_is_blamed(
    world, running_ledger, eventually, monkeypatch
):
    monkeypatch.setattr(chain_module, "UNPROVEN_BYTES_MAX", 2_000)

    async def scenario():
        async with running_ledger(world) as service:
            for _ in range(3):
                world.commit(world.group.batch(public(b"x" * 3_000)), with_proof=False)
            world.commit(world.group.batch(public(b"last")))
            await eventually(applied(service, 4))
            assert service._store.state.edge.root() == world.group.head().root
            assert events(world, "blocks_fetched_again")
            assert not events(world, "replica_refused")

    asyncio.run(scenario())


def test_a_ledger_that_hears_too_few_replicas_does_not_say_that_it_knows_all_that_is_committed(
    world, running_ledger, eventually
):
    """Else a validator would admit once more what the others have committed."""

    async def scenario():
        async with running_ledger(world, replicas=range(4)) as service:
            follower = service._follower
            await eventually(lambda: follower.connected_count == 4)
            assert not await follower.catch_up(0.05)
            # when the fifth is heard, whoever waits is answered
            waiting = asyncio.create_task(follower.catch_up(60.0))
            await world.replicas[4].start(world)
            assert await waiting
            assert follower.connected_count >= 5

    asyncio.run(scenario())


def test_a_ledger_that_is_behind_destroys_no_routing_key(
    world, running_ledger, eventually, monkeypatch
):
    """What it has missed may lie under a key that was replaced before it went away."""
    monkeypatch.setattr(routing_key_keeper, "CATCH_UP_S_MAX", 0.05)

    async def scenario():
        async with running_ledger(world, replicas=()) as service:
            # given a key that was replaced long ago, and no replica that can be heard
            vault = service._parts.vault
            vault.rotate_routing_key(now_ms=1)
            await service._rotation._destroy_done()
            assert vault.routing_keys()[0].key.key_id == 1
            # when the ledger has heard all and applied it
            for replica in world.replicas:
                await replica.start(world)
            await eventually(lambda: service._follower.connected_count >= 5)
            await service._rotation._destroy_done()
            assert vault.routing_keys()[0].key.key_id == 2

    asyncio.run(scenario())


def test_a_full_store_is_told_and_reads_go_on_until_there_is_room(
    world, running_ledger, eventually, call, monkeypatch
):
    async def scenario():
        monkeypatch.setattr(follower_module, "FULL_RETRY_S", 0.05)
        async with running_ledger(world) as service:
            world.commit(world.group.batch(public(b"a")))
            await eventually(lambda: service._publisher.size.value == 1)
            is_full, write = [True], service._store.write

            def full_write(wave):
                if is_full:
                    raise StoreFullError("no space left on the device")
                return write(wave)

            monkeypatch.setattr(service._store, "write", full_write)
            world.commit(world.group.batch(public(b"b")))
            await eventually(lambda: service._context.health.note().startswith("store full"))
            text = service._context.metrics.exposition().decode()
            assert "\nledger_store_full 1.0\n" in text
            # then what is there is served
            method = f"/{wire.SERVICE}/GetCheckpoint"
            answer = await call(world, "gateway-1", method, wire.encode_checkpoint_call())
            assert wire.decode_checkpoint(answer).size == 1
            # and once there is room nobody has to do anything
            is_full.clear()
            await eventually(lambda: service._publisher.size.value == 2)
            assert service._context.health.note() == ""

    asyncio.run(scenario())
