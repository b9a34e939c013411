"""The validator's numbers, on their way to Prometheus and the security log.

Requests are counted by the admission itself and taken over once a second; batches are few enough to
be recorded one by one. What is refused before its signature is proved goes to the security log as
numbers by code: who sent it is not known, and what it said is nobody's business.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics

UNAUTHENTICATED_CODES: Final = frozenset(
    {
        "request_too_large", "bundle_too_large", "jws_malformed", "jws_header_refused",
        "algorithm_refused",
        "claims_malformed", "claim_missing", "claim_invalid", "audience_mismatch",
        "request_expired", "request_from_the_future", "lifetime_too_long", "key_unknown",
        "key_revoked", "key_invalid", "signature_invalid", "frame_malformed",
    }
)  # fmt: skip
"""Refusals of what may be anybody's."""


@dataclass(slots=True)
class Tally:
    """Counts since they were last taken: refusals by code, admissions by algorithm (a bundle is
    one), events of bundles, replays."""

    refused: Counter[str] = field(default_factory=Counter)
    admitted: Counter[str] = field(default_factory=Counter)
    events: int = 0
    replayed: int = 0


class ValidatorMeasures:
    """Writes to the metrics of this process; the port `dispatching.dispatcher.Measures`."""

    def __init__(self, *, metrics: Metrics, log: EventLog) -> None:
        self._log = log
        self._admitted = metrics.counter(catalogue.REQUESTS_ADMITTED_TOTAL)
        self._events = metrics.counter(catalogue.EVENTS_ADMITTED_TOTAL)
        self._replayed = metrics.counter(catalogue.REQUESTS_REPLAYED_TOTAL)
        self._refused = metrics.counter(catalogue.REFUSALS_TOTAL)
        self._records = metrics.histogram(catalogue.BATCH_RECORDS)
        self._bytes = metrics.histogram(catalogue.BATCH_BYTES)
        self._latency = metrics.histogram(catalogue.COMMIT_LATENCY_SECONDS)
        self._resent = metrics.counter(catalogue.BATCHES_RESENT_TOTAL)

    def batch_sent(self, *, records: int, byte_count: int) -> None:
        """See `dispatching.dispatcher.Measures`."""
        self._records.record(records)
        self._bytes.record(byte_count)

    def batch_settled(self, *, duration_s: float) -> None:
        """See `dispatching.dispatcher.Measures`."""
        self._latency.record(duration_s)

    def batches_resent(self) -> None:
        """See `dispatching.dispatcher.Measures`."""
        self._resent.add(1)

    def take(self, tally: Tally) -> None:
        """Take over what was counted since the last call, and start the counts anew."""
        for algorithm, count in tally.admitted.items():
            self._admitted.add(count, algorithm)
        self._events.add(tally.events)
        self._replayed.add(tally.replayed)
        for code, count in tally.refused.items():
            self._refused.add(count, code)
            if code in UNAUTHENTICATED_CODES:
                self._log.warning("unauthenticated_refused", code=code, count=count)
        tally.admitted, tally.refused = Counter(), Counter()
        tally.events = tally.replayed = 0
