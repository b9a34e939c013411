"""A bounded map whose entries leave at their time, swept by the second.

The replay window and its kin forget by the clock, and hold millions of entries. A heap would cost a
push and a pop of log n for each request; here a key is appended to the list of the second in which
it may go, and `sweep` drops whole lists. An entry is thus kept until the sweep after its time, and
whoever must be exact checks its own time. A key's time is fixed: it is in one list.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class MapFullError(Exception):
    """The map holds as many entries as it may."""


class ExpiringMap(Generic[KeyT, ValueT]):
    """Keys to values, each with a time in whole seconds at which it may go.

    The clock is the caller's: `expires_at_s` and `now_s` only have to be of one clock.
    """

    __slots__ = ("_buckets", "_size_max", "_values")

    def __init__(self, *, size_max: int) -> None:
        self._values: dict[KeyT, ValueT] = {}
        self._buckets: dict[int, list[KeyT]] = {}
        self._size_max = size_max

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_full(self) -> bool:
        """Whether `put` would raise."""
        return len(self._values) >= self._size_max

    def get(self, key: KeyT) -> ValueT | None:
        """The value of `key`, or None."""
        return self._values.get(key)

    def put(self, key: KeyT, value: ValueT, *, expires_at_s: int) -> None:
        """Add a key that is not there yet; it may go from that second on.

        Raises: MapFullError; nothing was changed then.
        """
        assert key not in self._values, "the key is there already: replace() keeps its time"
        if self.is_full:
            raise MapFullError(f"{len(self._values)} entries of {self._size_max} are taken")
        self._values[key] = value
        bucket = self._buckets.get(expires_at_s)
        if bucket is None:
            self._buckets[expires_at_s] = [key]
        else:
            bucket.append(key)

    def replace(self, key: KeyT, value: ValueT) -> None:
        """Change the value of `key` and keep its time; a key that is gone stays gone."""
        if key in self._values:
            self._values[key] = value

    def sweep(
        self,
        now_s: int,
        *,
        stays: Callable[[KeyT, ValueT], bool] = lambda key, value: False,
        again_after_s: int = 60,
    ) -> None:
        """Forget every key whose time has come; one that `stays` is asked about again later."""
        for second in [second for second in self._buckets if second <= now_s]:
            kept = []
            for key in self._buckets.pop(second):
                if stays(key, self._values[key]):
                    kept.append(key)
                else:
                    del self._values[key]
            if kept:
                self._buckets.setdefault(now_s + again_after_s, []).extend(kept)
