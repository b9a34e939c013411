"""A service's bundle, from a file of events to a proof that holds and one that does not.

The log is read and hashed again by an auditor who trusts nobody; what a service signed is found in
it as one range, and every event is proved to its subject by itself.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heptad.client import BlockingClient, Event
from heptad.crypto.bundles import bundle_root, parse_statement
from heptad.crypto.keys import Ed25519Key
from heptad.model.bundles import leaves_of_entries
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.transparency.policy import Policy
from heptad.trials.tour.auditor import http_reader
from heptad.verification import verify_log
from heptad.wire.convert.entry import decode_entry

ROOT = Path(__file__).parents[2]
EVENTS = 300

pytestmark = pytest.mark.timeout(120)


def heptad(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", *map(str, arguments)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="service", scope="module")
def _service(mesh):
    with BlockingClient(mesh.home / "clients" / "tax-portal") as client:
        yield client


@pytest.fixture(name="subjects", scope="module")
def _subjects(service):
    return [service.register(Ed25519Key.generate()).subject_id for _ in range(3)]


@pytest.fixture(name="recorded", scope="module")
def _recorded(mesh, subjects, tmp_path_factory):
    """What `heptad bundle` made of a file of events: its answer, and the proof of all of it."""
    folder = tmp_path_factory.mktemp("bundle")
    lines = [
        {"subject": subjects[n % 3], "action": "record.access", "payload": {"record": f"R-{n}"}}
        for n in range(EVENTS)
    ]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    profile = mesh.home / "clients" / "tax-portal"
    answer = heptad(
        "bundle", folder / "events.jsonl", "--profile", profile, "--out", folder / "b.json",
        "--json",
    )  # fmt: skip
    return json.loads(answer), folder / "b.json"


def test_the_log_holds_exactly_what_the_service_signed(mesh, recorded):
    answer, _ = recorded
    policy = Policy.parse((mesh.home / "policy").read_bytes())
    entries: dict[int, bytes] = {}

    def note(start, found):
        entries.update(enumerate(found, start=start))

    with http_reader(mesh.cell.gateways[0].http) as read:
        verify_log(read, policy=policy, now_s=int(time.time()), visit=note)
    head = decode_entry(entries[answer["index"]])
    first = answer["index"] + 1
    events = [decode_entry(entries[index]) for index in range(first, first + EVENTS)]
    statement = parse_statement(head.statement)
    assert (head.kind, statement.count) == (Kind.BUNDLE, EVENTS)
    assert {event.kind for event in events} == {Kind.EVENT}
    assert bundle_root(leaves_of_entries(events, service="tax-portal")) == statement.root


def test_a_whole_bundle_verifies_off_line_and_one_bit_less_does_not(mesh, recorded, tmp_path):
    _, proof = recorded
    judged_by = ("--policy", mesh.home / "policy", "--cell", mesh.home / "cell.toml")
    told = heptad("verify", proof, *judged_by)
    assert "service signature" in told
    assert told.rstrip().endswith("VALID")
    members = json.loads(proof.read_bytes())
    members["events"][7], members["events"][8] = members["events"][8], members["events"][7]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(members))
    assert "FAILED  signed root" in heptad("verify", bad, *judged_by, code=1)


def test_each_event_is_proved_to_its_subject(mesh, service, subjects, tmp_path):
    bundle = service.sign_bundle(
        [Event(subject, "record.access", b"R-1", 1_700_000_000_000) for subject in subjects]
    )
    first = service.submit_bundle(bundle)
    again = service.submit_bundle(bundle)
    receipt = service.event_receipt(bundle, 2)
    path = tmp_path / "event.json"
    path.write_bytes(receipt.encode())
    told = heptad(
        "verify", path, "--policy", mesh.home / "policy", "--cell", mesh.home / "cell.toml"
    )
    assert again.recorded.index == first.recorded.index
    assert again.recorded.replayed
    assert receipt.receipt.leaf_index == first.event_indexes[2]
    assert subjects[2] in told
    assert "signed root" in told
    assert told.rstrip().endswith("VALID")
    assert "NOT judged" in heptad("verify", path, "--policy", mesh.home / "policy")


def test_one_stranger_among_the_subjects_and_nothing_is_recorded(service, subjects):
    stranger = subjects[0][:-3] + "zzz"
    events = [
        Event(subject, "record.access", b"R-1", 1_700_000_000_000)
        for subject in (*subjects, stranger)
    ]
    bundle = service.sign_bundle(events)
    with pytest.raises(Problem) as caught:
        service.submit_bundle(bundle)
    assert (caught.value.code, caught.value.field) == (
        "event_subject_unknown", "events[3].subject",
    )  # fmt: skip
    standing = service.status(parse_statement(bundle.statement).request_id)
    assert standing.state.name == "UNKNOWN"


def test_the_example_runs_as_it_stands(mesh):
    example = ROOT / "docs" / "examples" / "bundle.py"
    profile = mesh.home / "clients" / "tax-portal"
    done = subprocess.run(
        [sys.executable, str(example), str(profile)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "replayed: True" in done.stdout
