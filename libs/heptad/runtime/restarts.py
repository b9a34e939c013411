"""When a service that has crashed is started again, and when to give up."""

from collections import deque
from typing import Final

BACKOFF_S_MIN: Final = 0.5
BACKOFF_S_MAX: Final = 8.0
CRASHES_MAX: Final = 5
WINDOW_S: Final = 60.0


class RestartPolicy:
    """Back-off of 0.5 s, doubled for each crash within a minute up to 8 s; the sixth is the end."""

    def __init__(self, *, backoff_s_min: float = BACKOFF_S_MIN) -> None:
        """`backoff_s_min` is the first wait, from which the others follow."""
        self._backoff_s_min = backoff_s_min
        self._crashed_at_s: deque[float] = deque()

    def crashed(self, *, now_s: float) -> float | None:
        """Note a crash; seconds to wait before the restart, or None to give up."""
        self._crashed_at_s.append(now_s)
        while now_s - self._crashed_at_s[0] >= WINDOW_S:
            self._crashed_at_s.popleft()
        count = len(self._crashed_at_s)
        if count > CRASHES_MAX:
            return None
        return min(self._backoff_s_min * 2.0 ** (count - 1), BACKOFF_S_MAX)
