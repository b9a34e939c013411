"""What an operator hears of misbehaviour: one alert when it is proved, one when it is recorded."""

import json
import re
from types import SimpleNamespace

import pytest

from heptad.consensus import facts
from heptad.consensus.evidence import of_votes
from heptad.consensus.objects import CommittedBlock, Vote
from heptad.consensus.ready import Fact
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad_replica.reporting import Reporter, read_status

PROOF = of_votes(
    Vote(0, 3, b"a" * 32, 2, bytes(64)), Vote(0, 3, b"b" * 32, 2, bytes(64)), origin="cell.test"
)


@pytest.fixture
def heard():
    lines: list[str] = []
    metrics = Metrics(cell="cell.test", service="replica-1")
    reporter = Reporter(log=EventLog(bound={}, write=lines.append), metrics=metrics)
    return reporter, lines, metrics


def test_a_proof_that_is_first_seen_is_an_error_in_the_log_and_a_count(heard):
    reporter, lines, metrics = heard
    fields = {"member": 2, "accused": "replica-3", "offence": "blocks", "proof": PROOF.encoded}
    reporter.observed([Fact(facts.EVIDENCE, tuple(fields.items()))])
    (line,) = map(json.loads, lines)
    assert (line["level"], line["event"]) == ("error", "misbehaviour_proven")
    assert (line["accused"], line["offence"]) == ("replica-3", "blocks")
    assert b'consensus_equivocations_total{accused="replica-3",offence="blocks"' in (
        metrics.exposition()
    )


def test_a_proof_that_is_committed_is_named_with_its_index(heard, chain):
    reporter, lines, metrics = heard
    block = chain.block(chain.batch(3)[0], control=(PROOF.encoded,))
    reporter.committed([CommittedBlock(block, 0, None)])
    (line,) = map(json.loads, lines)
    assert (line["level"], line["event"]) == ("error", "misbehaviour_recorded")
    assert (line["accused"], line["height"], line["index"]) == ("replica-3", 1, 3)
    assert b"consensus_entries_committed_total 4.0" in metrics.exposition()
    assert b'consensus_evidence_committed_total{accused="replica-3"' in metrics.exposition()


def test_who_fails_to_lead_is_a_warning_once_and_its_return_is_told(heard):
    reporter, lines, _ = heard
    for failed in ((), (2,), (2,), (2, 4), (4,), ()):
        reporter.led(failed)
    said = [json.loads(line) for line in lines]
    assert [(line["level"], line["event"], line["replicas"]) for line in said] == [
        ("warning", "leaders_failed", "replica-3"),
        ("warning", "leaders_failed", "replica-3, replica-5"),
        ("info", "leaders_failed", "replica-5"),
        ("info", "leaders_failed", ""),
    ]


def test_every_replica_has_a_sample_that_says_whether_it_failed_to_lead():
    metrics = Metrics(cell="cell.test", service="replica-1")
    status = SimpleNamespace(leaders_failed=(1,))
    read_status(metrics, status=lambda: status, number=1, count=3)
    text = metrics.exposition().decode()
    assert re.findall(r'consensus_leader_failed\{leader="(\d)"\} (\S+)', text) == [
        ("1", "0.0"),
        ("2", "1.0"),
        ("3", "0.0"),
    ]
