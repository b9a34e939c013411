"""Makes log lines and metrics of what the core reports; the core itself writes none.

Digests are written in hexadecimal. Two events are for an alert, in every replica that has verified
the proof: `misbehaviour_proven` when it is first seen, `misbehaviour_recorded` when it is an entry
of the cell's log, with its index. The proof itself is that entry.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from heptad.consensus import facts
from heptad.consensus.evidence import decode_evidence
from heptad.consensus.objects import CommittedBlock, Cosignature
from heptad.consensus.ready import Fact
from heptad.consensus.status import Status
from heptad.model.ids import MemberIndex
from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics

_WARNINGS: Final = frozenset(
    {
        facts.LEADER_REFUSED,
        facts.CERTIFIED_BLOCK_INVALID,
        facts.CATCHING_UP,
        facts.PEER_IGNORED,
        facts.STRANDED,
        facts.JUMPED,
        facts.RECORD_LOST,
        facts.COSIGN_REFUSED,
    }
)
MISBEHAVIOUR_PROVEN: Final = "misbehaviour_proven"
"""A log event at level error. Fields: accused, offence (blocks, heads, batches)."""

MISBEHAVIOUR_RECORDED: Final = "misbehaviour_recorded"
"""A log event at level error. Fields: accused, offence, height, index (of the log's entry)."""

LEADERS_FAILED: Final = "leaders_failed"
"""A log event, at level warning where somebody is newly named. Fields: replicas (their ids)."""

_RATE_ROUNDS: Final = 1_000
_FIELD_BYTES_MAX: Final = 32


class Reporter:
    """Counts and writes; one for each replica."""

    def __init__(self, *, log: EventLog, metrics: Metrics) -> None:
        self._log = log
        self._rounds = metrics.counter(catalogue.ROUNDS_TOTAL)
        self._timeouts = metrics.counter(catalogue.TIMEOUTS_TOTAL)
        self._blocks = metrics.counter(catalogue.BLOCKS_COMMITTED_TOTAL)
        self._entries = metrics.counter(catalogue.ENTRIES_COMMITTED_TOTAL)
        self._refused = metrics.counter(catalogue.MESSAGES_REFUSED_TOTAL)
        self._cosignatures = metrics.counter(catalogue.COSIGNATURES_TOTAL)
        self._equivocations = metrics.counter(catalogue.EQUIVOCATIONS_TOTAL)
        self._recorded_total = metrics.counter(catalogue.EVIDENCE_COMMITTED_TOTAL)
        self._jumps = metrics.counter(catalogue.JUMPS_TOTAL)
        self._leaders_failed: tuple[MemberIndex, ...] = ()
        self._outcomes: deque[bool] = deque(maxlen=_RATE_ROUNDS)
        metrics.read(catalogue.CONSENSUS_SUCCESS_RATE, self._success_rate)

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        """Blocks are final."""
        self._blocks.add(len(commits))
        self._entries.add(sum(commit.block.entry_count for commit in commits))
        for commit in commits:
            if commit.block.control:
                self._recorded(commit)

    def led(self, failed: tuple[MemberIndex, ...]) -> None:
        """Who failed to lead, by the chain as it is committed now; written when it changes."""
        if failed == self._leaders_failed:
            return
        is_news = bool(set(failed) - set(self._leaders_failed))
        self._leaders_failed = failed
        write = self._log.warning if is_news else self._log.info
        write(LEADERS_FAILED, replicas=", ".join(f"replica-{member + 1}" for member in failed))

    def cosigned(self, cosignatures: Sequence[Cosignature]) -> None:
        """Heads were cosigned."""
        self._cosignatures.add(len(cosignatures))

    def observed(self, observed: Sequence[Fact]) -> None:
        """Facts of the core."""
        for fact in observed:
            fields = dict(fact.fields)
            if fact.name == facts.ROUND_ENTERED:
                self._rounds.add(1, str(fields["by"]))
                self._outcomes.append(fields["by"] == "qc")
            elif fact.name == facts.ROUND_TIMED_OUT:
                self._timeouts.add(1)
                self._log.info(fact.name, **_printable(fact))
            elif fact.name == facts.MESSAGE_REFUSED:
                self._refused.add(1, "invalid")
                self._log.debug(fact.name, **_printable(fact))
            elif fact.name == facts.EVIDENCE:
                accused, offence = str(fields["accused"]), str(fields["offence"])
                self._equivocations.add(1, accused, offence)
                self._log.error(MISBEHAVIOUR_PROVEN, accused=accused, offence=offence)
            elif fact.name == facts.MESSAGES_DROPPED:
                self._refused.add(int(fields["count"]), str(fields["why"]))
                self._log.debug(fact.name, **_printable(fact))
            elif fact.name in _WARNINGS:
                if fact.name == facts.JUMPED:
                    self._jumps.add(1)
                self._log.warning(fact.name, **_printable(fact))
            else:
                self._log.debug(fact.name, **_printable(fact))

    def _recorded(self, commit: CommittedBlock) -> None:
        block = commit.block
        first_index = block.head.size - len(block.control)
        for index, encoded in enumerate(block.control, start=first_index):
            offence, _ = charge = decode_evidence(encoded).charge
            self._recorded_total.add(1, charge.name, offence.name.lower())
            self._log.error(
                MISBEHAVIOUR_RECORDED,
                accused=charge.name,
                offence=offence.name.lower(),
                height=block.height,
                index=index,
            )

    def _success_rate(self) -> dict[tuple[str, ...], float]:
        certified = sum(self._outcomes) / len(self._outcomes) if self._outcomes else 1.0
        return {(): certified}


def read_status(metrics: Metrics, *, status: Callable[[], Status], number: int, count: int) -> None:
    """Let the gauges read the core's status whenever somebody scrapes.

    `number` is this replica's, from 1, of `count`; a leader that is not known reads as 0.
    """

    def leader() -> int:
        known = status().leader
        return 0 if known is None else known + 1

    def leaders_failed() -> dict[tuple[str, ...], float]:
        failed = status().leaders_failed
        return {(str(each + 1),): float(each in failed) for each in range(count)}

    metrics.read(catalogue.CONSENSUS_LEADER_FAILED, leaders_failed)
    gauges: dict[catalogue.Metric, Callable[[], float]] = {
        catalogue.CONSENSUS_ROUND: lambda: status().round,
        catalogue.CONSENSUS_LEADER: leader,
        catalogue.CONSENSUS_IS_LEADER: lambda: leader() == number,
        catalogue.BATCHES_PENDING: lambda: status().batches_pending,
        catalogue.BATCH_BYTES_PENDING: lambda: status().bytes_pending,
        catalogue.CHARGES_PROVEN: lambda: status().charges_proven,
        catalogue.FOLLOWS_ONLY: lambda: status().is_follower,
        catalogue.CATCHING_UP: lambda: status().is_catching_up,
        catalogue.STRANDED: lambda: status().is_stranded,
    }
    for metric, read in gauges.items():
        metrics.read(metric, partial(_single, read))


def _single(read: Callable[[], float]) -> dict[tuple[str, ...], float]:
    return {(): float(read())}


def _printable(fact: Fact) -> dict[str, int | str]:
    return {name: _shown(value) for name, value in fact.fields}


def _shown(value: int | str | bytes) -> int | str:
    if not isinstance(value, bytes):
        return value
    return value.hex() if len(value) <= _FIELD_BYTES_MAX else f"{len(value)} bytes"
