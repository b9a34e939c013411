"""Keys of a validator, a service and the log are exchanged on a cell that works all the while.

People post requests from the first step to the last, and insist on each until it is acknowledged.
In the end everything acknowledged is in one log, which continues what was seen before; receipts of
every moment hold by the policy of their time; and what is replaced signs nothing any more.
"""

import asyncio
import dataclasses
import json
import subprocess
import sys
import time

import pytest

from heptad.client import BlockingClient, Event
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.runtime.config import cell_digest, load_cell
from heptad.transparency.policy import Policy
from heptad.trials.tour.scene import replica_statuses
from heptad.verification import (
    ReceiptFile,
    examine_receipt_file,
    verify_continuation_by_tiles,
    verify_log,
)
from heptad.wire.convert.entry import decode_entry
from heptad.wire.convert.entry_facts import decode_policy_change

SERVICE = "tax-portal"
START = (("validator", "1", "--start"), ("service", SERVICE, "--start"), ("log", "--start"))

pytestmark = pytest.mark.timeout(300)


def heptad(home, *words):
    done = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", "keys", *words, "--home", str(home), "--json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or done.stderr)


def rotate(home, *words):
    code, said = heptad(home, "rotate", *words)
    assert code == 0, said
    return said


@dataclasses.dataclass
class Rotated:
    """What was seen before, while both log keys signed, and after."""

    mesh: object
    crowd: object
    digests: list[str]
    policies: dict[str, Policy]
    notes: dict[str, bytes]
    receipts: dict[str, bytes]
    restarted: dict[str, list[str]]
    bundles: dict[str, object]
    late: Problem


@pytest.fixture(name="rotated", scope="module")
def _rotated(doomed, tools):
    return asyncio.run(rotation(doomed, tools))


async def rotation(mesh, tools):
    people = await tools.new_people(mesh, 4)
    crowd = tools.Crowd(mesh, people)
    profile, home = mesh.home / "clients" / SERVICE, mesh.home
    until = asyncio.Event()
    seen = Rotated(mesh, crowd, [cell_digest(home).hex()], {}, {}, {}, {}, {}, None)

    async def see(when, http):
        person = people[-1]
        once = tools.Crowd(mesh, [person])
        await once.insist(http, person.jws(tools.claims_of(person, once.origin)))
        crowd.acknowledged |= once.acknowledged
        [request_id] = once.acknowledged
        seen.receipts |= {when: (await tools.receipts_of(mesh, [request_id]))[request_id]}
        seen.notes[when] = await tools.fetch(http, "/checkpoint")
        seen.policies[when] = Policy.parse((home / "policy").read_bytes())

    def bundle(when, client):
        signed = client.sign_bundle([Event(people[0].subject, "record.access", b"R", 1_700_000)])
        client.submit_bundle(signed)
        seen.bundles[when] = client.event_receipt(signed, 0)

    async with tools.session(mesh) as http:
        with BlockingClient(profile) as old_client:
            await asyncio.to_thread(bundle, "before", old_client)
            await see("before", http)
            load = asyncio.create_task(crowd.post_until(http, until))
            for words in START:
                await asyncio.to_thread(rotate, home, *words, "--no-restart")
            seen.digests.append(cell_digest(home).hex())
            told = await asyncio.to_thread(rotate, home, "roll-out")
            seen.restarted["start"] = told["restarted"]
            await asyncio.to_thread(rotate, home, "service", SERVICE, "--use")
            await see("during", http)
            await asyncio.to_thread(rotate, home, "validator", "1", "--finish")
            await asyncio.to_thread(rotate, home, "log", "--finish", "--no-restart")
            told = await asyncio.to_thread(rotate, home, "service", SERVICE, "--finish")
            seen.digests.append(cell_digest(home).hex())
            seen.restarted["finish"] = told["restarted"]
            await see("after", http)
            until.set()
            await load
            # From the second after the date on: what was signed before it would be taken.
            await asyncio.sleep(1.1)
            with pytest.raises(Problem) as caught:
                await asyncio.to_thread(bundle, "late", old_client)
            seen.late = caught.value
    with BlockingClient(profile) as new_client:
        await asyncio.to_thread(bundle, "after", new_client)
    return seen


@pytest.fixture(name="entries", scope="module")
def _entries(rotated, tools):
    """The whole log, hashed up to the cosigned root by somebody who has the new policy."""
    found = []

    async def whole():
        async with tools.session(rotated.mesh) as http:
            return await tools.checkpoint(
                http, size_min=max(rotated.crowd.acknowledged.values()) + 1
            )

    asyncio.run(whole())
    with tools.http_reader(rotated.mesh.cell.gateways[0].http) as read:
        verify_log(
            read,
            policy=rotated.policies["after"],
            now_s=int(time.time()),
            visit=lambda start, some: found.extend(some),
        )
    return [decode_entry(data) for data in found]


def test_everything_that_was_acknowledged_is_in_the_log_where_it_was_said_to_be(rotated, entries):
    acknowledged = rotated.crowd.acknowledged
    assert len(acknowledged) > 20
    assert len(set(acknowledged.values())) == len(acknowledged)
    assert {entries[index].kind for index in acknowledged.values()} == {Kind.REQUEST}


def test_the_cell_answered_all_the_while(rotated):
    """Refusals pass (a subject's validator restarts); most requests are taken at once."""
    taken = [status for status, _ in rotated.crowd.answers if status == 201]
    assert len(taken) * 2 > len(rotated.crowd.answers)


def test_the_log_continues_and_the_replicas_agree(rotated, tools):
    with tools.http_reader(rotated.mesh.cell.gateways[0].http) as read:
        for old, new in (("before", "during"), ("during", "after")):
            sizes = verify_continuation_by_tiles(
                old_note=rotated.notes[old], new_note=rotated.notes[new], read=read,
                policy=rotated.policies["after"], now_s=int(time.time()),
            )  # fmt: skip
            assert sizes[0].size < sizes[1].size

    async def agree():
        statuses = await replica_statuses(rotated.mesh.home)
        heads = {(status.log_size, status.log_root) for status in statuses.values()}
        return len(statuses) == 7 and len(heads) == 1

    asyncio.run(tools.eventually(agree))


def test_receipts_hold_by_the_policy_of_their_time_and_by_the_new_one(rotated):
    holds = {
        (when, whose): examine_receipt_file(
            ReceiptFile.parse(receipt), policy=policy, now_s=int(time.time())
        ).holds
        for when, receipt in rotated.receipts.items()
        for whose, policy in rotated.policies.items()
    }
    refused = {pair for pair, held in holds.items() if not held}
    assert len(holds) == 9
    assert refused == {("after", "before")}


def test_both_log_keys_sign_in_between_and_one_before_and_after(rotated):
    origin = rotated.mesh.cell.origin.encode()
    lines = {
        when: note.count(b"\xe2\x80\x94 " + origin + b" ") for when, note in rotated.notes.items()
    }
    assert lines == {"before": 1, "during": 2, "after": 1}


def test_the_log_says_which_cell_file_it_went_by(rotated, entries):
    changes = [
        tuple(digest.hex() for digest in decode_policy_change(entry.statement))
        for entry in entries
        if entry.kind is Kind.POLICY_CHANGE
    ]
    first, second, third = rotated.digests
    assert changes[0] == (second, first)
    assert changes[-1][0] == third
    assert [later[1] for later in changes[1:]] == [earlier[0] for earlier in changes[:-1]]


def test_the_services_new_key_is_taken_and_its_old_one_is_not(rotated, tmp_path):
    assert rotated.late.code == "service_key_retired"
    for when in ("before", "after"):
        path = tmp_path / f"{when}.json"
        path.write_bytes(rotated.bundles[when].encode())
        done = subprocess.run(
            [
                *(sys.executable, "-m", "heptad.cli.main", "verify", str(path)),
                *("--policy", str(rotated.mesh.home / "policy")),
                *("--cell", str(rotated.mesh.home / "cell.toml")),
            ],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_lives_by_its_new_key(rotated, entries):
    validator = load_cell(rotated.mesh.home).validator("validator-1")
    [later] = validator.later_batch_keys
    lived = int((rotated.mesh.home / "validator-1" / "data" / "incarnation").read_text())
    assert lived >= later.from_incarnation
    assert 1 in {entry.validator for entry in entries[-30:]}


def test_members_are_restarted_once_and_the_gateway_never(rotated):
    starts = rotated.restarted["start"]
    assert sorted(starts) == sorted(
        name for name in rotated.mesh.cell.member_addresses() if not name.startswith("gateway")
    )
    assert rotated.restarted["finish"] == ["validator-1", "validator-2", "ledger-1"]


def test_nothing_is_due_afterwards(rotated):
    code, said = heptad(rotated.mesh.home)
    assert (code, said["due"]) == (0, 0)
    states = [
        (key["holder"], key["duty"], key["state"])
        for key in said["keys"]
        if key["state"] != "current"
    ]
    assert sorted(states) == [
        ("ledger-1", "log", "retired"),
        ("tax-portal", "signing", "retired"),
        ("validator-1", "batch", "retired"),
    ]
