"""The main job, on real input.

The story: fifty plain HTTP clients post requests whose keys and signatures were made by a JOSE
library that is not ours. In the middle two of seven replicas are killed with SIGKILL, the leader
among them; one is started again. Then everything that was acknowledged has to be in the log exactly
once, provably, for our verifier and for one that somebody else wrote; and whatever is changed by a
single bit has to be refused with its reason.
"""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from tlog_scales import signing, tlog
from tlog_scales.reader import TilesReader

from heptad.model.entry import Kind, Outcome
from heptad.transparency.policy import Policy
from heptad.trials import meshes
from heptad.trials.tour.auditor import http_reader
from heptad.trials.tour.scene import replica_statuses as statuses_of
from heptad.verification import (
    LogInvalidError,
    ReceiptFile,
    ReceiptRefusedError,
    ReceiptUnreadableError,
    verify_continuation_by_tiles,
    verify_log,
    verify_receipt_file,
)
from heptad.wire.convert.entry import decode_entry

pytestmark = [
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
    pytest.mark.timeout(300),
]

CLIENTS = 50
PHASE_S = 2.0
"""Of three: all seven replicas, five, six."""
ACKNOWLEDGED_MIN = 4 * CLIENTS


@dataclass
class Job:
    """What is left when the fifty have gone."""

    mesh: meshes.RunningMesh
    policy: Policy
    acknowledged: dict[str, int]
    jws_of: dict[str, bytes]
    receipts: dict[str, bytes]
    note_before: bytes
    note: bytes
    dead: str
    back: str
    acknowledged_while_dead: int


@pytest.fixture(scope="module")
def job(doomed, tools):
    return asyncio.run(do_the_job(doomed, tools))


async def do_the_job(mesh, tools) -> Job:
    people = await tools.new_people(mesh, CLIENTS)
    crowd = tools.Crowd(mesh, people)
    async with tools.session(mesh) as http:
        note_before = await tools.checkpoint(http)
        until = asyncio.Event()
        load = asyncio.create_task(crowd.post_until(http, until))
        await asyncio.sleep(PHASE_S)
        dead, back = two_victims(mesh)
        for name in (dead, back):
            await asyncio.to_thread(meshes.order, mesh.home, "kill", name)
        at_kill = len(crowd.acknowledged)
        await asyncio.sleep(PHASE_S)

        async def went_on():
            return len(crowd.acknowledged) > at_kill + CLIENTS

        await tools.eventually(went_on)
        while_dead = len(crowd.acknowledged) - at_kill
        await asyncio.to_thread(meshes.order, mesh.home, "restart", back)
        await asyncio.sleep(PHASE_S)
        until.set()
        await load
        note = await tools.checkpoint(http, size_min=max(crowd.acknowledged.values()) + 1)
    return Job(
        mesh=mesh,
        policy=Policy.parse((mesh.home / "policy").read_bytes()),
        acknowledged=crowd.acknowledged,
        jws_of=crowd.jws_of,
        receipts=await tools.receipts_of(mesh, list(crowd.acknowledged)),
        note_before=note_before,
        note=note,
        dead=dead,
        back=back,
        acknowledged_while_dead=while_dead,
    )


def two_victims(mesh):
    """Whoever leads just now, and the next one."""
    leaders = [status.leader for status in replica_statuses(mesh).values() if status.leader]
    first = max(set(leaders), key=leaders.count)
    return f"replica-{first}", f"replica-{first % 7 + 1}"


def replica_statuses(mesh):
    """In a thread, since the caller may be inside an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(statuses_of(mesh.home))).result()


def read_log(job, visit=None, note=None):
    with http_reader(job.mesh.cell.gateways[0].http) as read:
        return verify_log(
            read,
            policy=job.policy,
            now_s=int(time.time()),
            note=note if note is not None else job.note,
            visit=visit,
        )


@pytest.fixture(scope="module")
def entries(job):
    """All entries of the log, hashed up to the cosigned root."""
    found = []
    verified = read_log(job, visit=lambda first, some: found.extend(some))
    assert verified.checkpoint.size == len(found)
    return found


def test_requests_went_through_before_during_and_after(job):
    assert len(job.acknowledged) >= ACKNOWLEDGED_MIN
    assert job.acknowledged_while_dead > CLIENTS


def test_every_acknowledged_request_is_in_the_log_exactly_once(job, entries):
    kinds = [decode_entry(entry).kind for entry in entries]
    indexes = set(job.acknowledged.values())

    assert len(indexes) == len(job.acknowledged)
    # Nobody else writes to this cell: every request leaf that is no copy is one of ours.
    assert kinds.count(Kind.REQUEST) - kinds.count(Kind.DUPLICATE) == len(indexes)
    for index in indexes:
        entry = decode_entry(entries[index])
        assert (entry.kind, entry.outcome) == (Kind.REQUEST, Outcome.ALLOWED)
        assert (entry.service, entry.action) == ("tax-portal", "authenticate")


def test_each_request_id_is_what_its_client_computes(job):
    for request_id, jws in job.jws_of.items():
        payload = jws.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        digest = hashlib.sha256(f"{claims['iss']}.{claims['jti']}".encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == request_id


def test_no_entry_says_who_somebody_is(job, entries):
    log = b"".join(entries)
    for jws in job.jws_of.values():
        payload = jws.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        assert claims["iss"].encode() not in log
        assert claims["jti"].encode() not in log


def test_each_receipt_verifies_off_line(job, entries):
    for request_id, data in job.receipts.items():
        file = ReceiptFile.parse(data)
        report = verify_receipt_file(file, policy=job.policy, now_s=int(time.time()))
        assert report.leaf_index == job.acknowledged[request_id]
        assert file.entry == entries[report.leaf_index]


def test_heptad_verify_says_so_too(job, tmp_path):
    sample = list(job.receipts.items())[:: max(1, len(job.receipts) // 3)]
    for number, (request_id, data) in enumerate(sample):
        path = tmp_path / f"{number}.json"
        path.write_bytes(data)
        done = verify_by_cli(path, job)
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert report["valid"]
        assert report["index"] == job.acknowledged[request_id]


def verify_by_cli(path, job):
    policy = str(job.mesh.home / "policy")
    arguments = ["verify", str(path), "--policy", policy, "--json"]
    return subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


class Scales:
    """An auditor with `tlog-scales`, who knows the standards and the policy file."""

    def __init__(self, policy_text):
        lines = [line.split() for line in policy_text.splitlines() if line]
        self.log = next(signing.Vkey.from_string(words[1]) for words in lines if words[0] == "log")
        witnesses = [words[2] for words in lines if words[0] == "witness"]
        self.witnesses = signing.VkeySet(*map(signing.Vkey.from_string, witnesses))
        assert len(witnesses) == 7
        self.judged = {}

    def judge_checkpoint(self, text):
        """The checkpoint, if the log signed it and five of seven cosigned it."""
        if text not in self.judged:
            checkpoint = tlog.Checkpoint.from_text(text)
            checkpoint.verify(self.log)
            good = self.witnesses.verify(checkpoint.signatures, checkpoint)
            assert all(vkey.sig_type == 0x04 for vkey, _ in good)
            assert len({vkey.name for vkey, _ in good}) >= 5
            self.judged[text] = checkpoint
        return self.judged[text]

    def judge_receipt(self, data):
        """The leaf index that a receipt proves."""
        file = json.loads(data)
        head, _, note = file["proof"].partition("\n\n")
        magic, index_line, *hashes = head.split("\n")
        assert magic == "c2sp.org/tlog-proof@v1"
        index = int(index_line.removeprefix("index "))
        checkpoint = self.judge_checkpoint(note)
        leaf = hashlib.sha256(b"\0" + base64.b64decode(file["entry"])).digest()
        proof = tlog.InclusionProof(index, checkpoint.size, [base64.b64decode(h) for h in hashes])
        proof.check(leaf, checkpoint.root_hash)
        return index


class Served:
    """What tlog-scales calls a backend, over HTTP."""

    def __init__(self, read):
        self.read = read

    def get(self, *path):
        return self.read("/".join(path))


@pytest.fixture(scope="module")
def scales(job):
    return Scales((job.mesh.home / "policy").read_text())


def test_each_receipt_verifies_with_tlog_scales(job, scales):
    for request_id, data in job.receipts.items():
        assert scales.judge_receipt(data) == job.acknowledged[request_id]


def test_tlog_scales_hashes_our_tiles_to_the_cosigned_root(job, scales, tools, entries):
    with tools.http_reader(job.mesh.cell.gateways[0].http) as read:
        reader = TilesReader(Served(read))
        checkpoint = reader.get_checkpoint()
        scales.judge_checkpoint(checkpoint.serialize())

        assert reader.calculate_root_hash() == checkpoint.root_hash
        assert reader.get_entry(len(entries) - 1) == entries[-1]


def test_the_log_continues_what_it_was_before(job, tools):
    with tools.http_reader(job.mesh.cell.gateways[0].http) as read:
        old, new = verify_continuation_by_tiles(
            old_note=job.note_before,
            new_note=job.note,
            read=read,
            policy=job.policy,
            now_s=int(time.time()),
        )
    assert 0 < old.size < new.size


def test_all_replicas_that_run_hold_the_same_head_and_the_restarted_one_caught_up(job, tools):
    size_min = max(job.acknowledged.values()) + 1

    async def agree():
        statuses = await asyncio.to_thread(replica_statuses, job.mesh)
        heads = {(status.log_size, status.log_root) for status in statuses.values()}
        names = set(statuses)
        agreed = len(heads) == 1 and job.back in names and len(names) == 6
        return agreed and next(iter(heads))[0] >= size_min

    asyncio.run(tools.eventually(agree))
    assert job.dead not in replica_statuses(job.mesh)


def judge(data, policy):
    return verify_receipt_file(ReceiptFile.parse(data), policy=policy, now_s=int(time.time()))


def flip(data, at=-1):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def with_member(receipt, name, change):
    members = json.loads(receipt)
    members[name] = change(members[name])
    return json.dumps(members).encode()


def change_entry(text):
    return base64.b64encode(flip(base64.b64decode(text))).decode()


def change_hash(proof):
    lines = proof.split("\n")
    lines[2] = change_entry(lines[2])
    return "\n".join(lines)


def change_index(proof):
    lines = proof.split("\n")
    index = int(lines[1].removeprefix("index "))
    lines[1] = f"index {index ^ 1}"
    return "\n".join(lines)


def change_size(proof):
    head, blank, note = proof.partition("\n\n")
    origin, size, rest = note.split("\n", 2)
    return f"{head}{blank}{origin}\n{int(size) + 1}\n{rest}"


def keep_signatures(count):
    def change(proof):
        lines = proof.split("\n")
        at = [number for number, line in enumerate(lines) if line.startswith("\u2014")]
        gone = set(at[count:])
        return "\n".join(line for number, line in enumerate(lines) if number not in gone)

    return change


@pytest.mark.parametrize(
    ("member", "change", "reason"),
    [
        ("entry", change_entry, "is not the checkpoint's root"),
        ("proof", change_hash, "is not the checkpoint's root"),
        ("proof", change_index, "checkpoint's root|not below|ends"),
        ("proof", change_size, "does not verify|checkpoint's root|ends"),
        ("proof", keep_signatures(5), "needs 5 of 7, has 4"),
        ("proof", keep_signatures(0), "whole signature lines"),
        ("proof", lambda text: text.replace("tlog-proof@v1", "tlog-proof@v2"), "begins with"),
        ("format", lambda text: text + "x", "format"),
    ],
)
def test_a_changed_receipt_is_refused_with_its_reason(job, tmp_path, member, change, reason):
    data = with_member(next(iter(job.receipts.values())), member, change)

    with pytest.raises((ReceiptRefusedError, ReceiptUnreadableError), match=reason):
        judge(data, job.policy)
    path = tmp_path / "receipt.json"
    path.write_bytes(data)
    done = verify_by_cli(path, job)
    assert done.returncode == 1
    assert not json.loads(done.stdout)["valid"]


def test_a_receipt_of_another_cell_is_refused(job, mesh):
    other = Policy.parse((mesh.home / "policy").read_bytes())
    file = ReceiptFile.parse(next(iter(job.receipts.values())))

    with pytest.raises(ReceiptRefusedError, match="log"):
        verify_receipt_file(file, policy=other, now_s=int(time.time()))


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_a_changed_checkpoint_is_refused(job, at):
    """Origin, size, root, the empty line, the log's signature."""
    lines = job.note.split(b"\n")
    lines[at] = b"1" + lines[at]

    with pytest.raises(LogInvalidError, match="checkpoint"):
        read_log(job, note=b"\n".join(lines))


@pytest.mark.parametrize(("prefix", "at"), [("tile/0/", 0), ("tile/0/", -1), ("tile/entries/", -1)])
def test_a_changed_tile_is_refused_and_named(job, tools, prefix, at):
    with tools.http_reader(job.mesh.cell.gateways[0].http) as read:

        def lie(path):
            data = read(path)
            return flip(data, at) if data and path.startswith(prefix) else data

        with pytest.raises(LogInvalidError, match=r"tile/0/000.*hash"):
            verify_log(lie, policy=job.policy, now_s=int(time.time()), note=job.note)


def test_tlog_scales_refuses_what_we_refuse(job, scales):
    receipt = next(iter(job.receipts.values()))
    for member, change in (
        ("entry", change_entry),
        ("proof", change_hash),
        ("proof", change_size),
        ("proof", keep_signatures(5)),
    ):
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever it calls its refusals
            scales.judge_receipt(with_member(receipt, member, change))
