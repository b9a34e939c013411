"""Misbehaviour on a running mesh: seen by one replica, then an entry of the log that all can check.

Whoever misbehaves here has a member's own certificate and keys: real members would not.
"""

import asyncio
import contextlib
import json
import urllib.request

import pytest
from typer.testing import CliRunner

from heptad.cli.main import build
from heptad.consensus.codec import vote_signing_bytes
from heptad.consensus.evidence import of_votes
from heptad.consensus.objects import Vote
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.runtime.channels import open_channel
from heptad.runtime.config import ReplicaConfig, load_node_config
from heptad.runtime.streams import open_frame_stream
from heptad.runtime.tls import load_member_tls
from heptad.wire.streams import (
    BatchFrame,
    EvidenceFrame,
    encode_from_ledger,
)
from heptad.wire.streams import encode_batch as encode_batch_frame

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

REPLICA = "/heptad.replica.v1.ReplicaService"
FAR_AHEAD = 1 << 60


@contextlib.asynccontextmanager
async def saying(mesh, member, peer, method, *frames):
    """Send these frames to a replica as that member; the stream stays open meanwhile."""
    channel = open_channel(
        address=mesh.cell.member_addresses()[peer],
        peer_id=peer,
        origin=mesh.cell.origin,
        tls=load_member_tls(home=mesh.home, name=member),
    )
    async with channel, asyncio.timeout(120):
        await channel.channel_ready()
        call = open_frame_stream(channel, method)
        for frame in frames:
            await call.write(frame)
        yield
        call.cancel()


def key_of(mesh, member, role):
    return load_service_key(mesh.home / member / "keys" / role.file_name)


def heptad(*arguments):
    words = [str(word) for word in arguments]
    result = CliRunner().invoke(build(words), words)
    return result.exit_code, result.stdout


async def recorded(mesh, tools, accused):
    """The row of the evidence against somebody, once the log has it."""

    async def listed():
        listing = ("evidence", "--url", mesh.gateway_url, "--json")
        code, out = await asyncio.to_thread(heptad, *listing)
        if code:
            return []  # nothing is published yet
        rows = [json.loads(line) for line in out.splitlines()]
        return [row for row in rows if row["accused"] == accused]

    (row,) = await tools.eventually(listed)
    return row


def two_batches(mesh):
    """Two batches of validator-2 under a number that is never its turn."""
    key = key_of(mesh, "validator-2", KeyRole.BATCH)
    for created_ms in (1, 2):
        batch = unsigned_batch(
            validator=2, incarnation=FAR_AHEAD, sequence=5, created_ms=created_ms, records=[]
        )
        message = batch_signing_bytes(origin=mesh.cell.origin, digest=batch.digest)
        yield encode_batch_frame(BatchFrame(encode_batch(signed(batch, key.sign(message)))))


def two_votes(mesh):
    """The proof that replica-7 signed two blocks of one round."""
    cell, key = mesh.cell, key_of(mesh, "replica-7", KeyRole.VOTE)
    votes = []
    for block_id in (b"a" * 32, b"b" * 32):
        message = vote_signing_bytes(
            origin=cell.origin, epoch=cell.epoch, round_=9, block_id=block_id
        )
        votes.append(Vote(cell.epoch, 9, block_id, 6, key.sign(message)))
    return of_votes(*votes, origin=cell.origin).encoded


def charges_proven(mesh, replica):
    """What the replica's metrics say."""
    address = load_node_config(ReplicaConfig, home=mesh.home, name=replica).node.metrics
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return [line.split()[-1] for line in lines if line.startswith("consensus_charges_proven")]


def test_two_batches_under_one_number_become_an_entry_that_verifies_off_line(
    doomed, tools, tmp_path
):
    mesh, file = doomed, tmp_path / "evidence.json"

    async def story():
        frames = two_batches(mesh)
        async with saying(mesh, "validator-2", "replica-4", f"{REPLICA}/SubmitBatches", *frames):
            return await recorded(mesh, tools, "validator-2")

    row = asyncio.run(story())
    assert row["offence"] == "batches"
    code, out = heptad("evidence", row["index"], "--out", file, "--url", mesh.gateway_url)
    assert code == 0, out
    judged = ("--cell", mesh.home / "cell.toml", "--policy", mesh.home / "policy")
    code, out = heptad("verify", file, *judged)
    assert (code, out.rstrip().splitlines()[-1]) == (0, "VALID"), out
    assert "evidence: that validator-2 signed two batches" in out


def test_what_a_ledger_hands_on_is_in_the_log_of_all_and_counted(doomed, tools):
    mesh = doomed

    async def story():
        frame = encode_from_ledger(EvidenceFrame(two_votes(mesh)))
        async with saying(mesh, "ledger-1", "replica-2", f"{REPLICA}/Follow", frame, frame):
            return await recorded(mesh, tools, "replica-7")

    row = asyncio.run(story())
    assert row["offence"] == "blocks"
    (counted,) = charges_proven(mesh, "replica-1")
    assert float(counted) >= 1
    for number in range(1, 8):
        log = (mesh.home / f"replica-{number}" / "log.jsonl").read_text().splitlines()
        alerts = [json.loads(line) for line in log if "misbehaviour_recorded" in line]
        assert [each["index"] for each in alerts if each["accused"] == "replica-7"] == [
            row["index"]
        ]
