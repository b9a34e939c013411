"""What is counted of the gateway's work."""

from typing import Final

from heptad.observability import catalogue
from heptad.observability.metrics import Metrics

DURATION_SAMPLE: Final = 8
"""One duration in so many is recorded for each route, the first one always: a histogram's record
costs 10 µs, the twelfth part of all that a request costs here. Counts are exact."""


class Traffic:
    """Counts answers by route, method and status, and refusals by code.

    No label holds anything that a client chose: an address that is not known counts as `-`.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._answers = metrics.counter(catalogue.HTTP_REQUESTS_TOTAL)
        self._durations = metrics.histogram(catalogue.HTTP_REQUEST_DURATION_SECONDS)
        self._refusals = metrics.counter(catalogue.REFUSALS_TOTAL)
        self._statuses = {status: str(status) for status in range(100, 600)}
        self._answered: dict[str, int] = {}

    def answered(self, route: str, method: str, status: int, duration_s: float) -> None:
        """An answer left."""
        self._answers.add(1, route, method, self._statuses[status])
        count = self._answered.get(route, 0)
        self._answered[route] = count + 1
        if count % DURATION_SAMPLE == 0:
            self._durations.record(duration_s, route)

    def refused(self, code: str) -> None:
        """A request was refused, or an item of a batch was."""
        self._refusals.add(1, code)
