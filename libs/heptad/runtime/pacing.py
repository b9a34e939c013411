"""How fast one caller may send, over all of its streams: who sends more waits, nobody else does.

A message that is never read costs next to nothing: HTTP/2 stops its sender once a window is full.
Reading one costs some 120 µs of CPU before anybody has looked at it. So a flood is not answered by
dropping what was read, but by not reading on; memory and CPU stay where they are.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What may be read in a second, and for how many seconds' worth at once."""

    messages_per_s: int
    bytes_per_s: int
    burst_s: float


class Pacer:
    """One caller's account, in seconds of its pace; `now_s` is any monotonic clock."""

    def __init__(self, pace: Pace, now_s: float) -> None:
        self._pace = pace
        self._spent_s = 0.0
        self._at_s = now_s

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """A message of this size was read: for how long to read no further; 0 within the burst."""
        pace = self._pace
        earned_s = now_s - self._at_s
        price_s = max(1 / pace.messages_per_s, size_bytes / pace.bytes_per_s)
        self._spent_s = max(0.0, self._spent_s - earned_s) + price_s
        self._at_s = now_s
        return max(0.0, self._spent_s - pace.burst_s)
