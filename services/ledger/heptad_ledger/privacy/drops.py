"""Up to which block replicas are to drop what they hold for others' convenience, and when.

A replica cannot know whose record is whose. So after an erasure it is told to drop whole blocks,
all up to a height at which nothing of the subject can come any more: what it holds of the subject
opens for nobody, and is gone nevertheless. That is not the height of the certificate: what was
sealed just before a lease was returned may be on its way into a block. Not at once, as a rule: a
ledger that is restored from a backup needs the blocks since that backup, and erasures would
otherwise make every backup of the day before worthless (docs/adr). The certificate says by when.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from heptad.model.canonical import MalformedError, Reader, Writer
from heptad_ledger.errors import StoreDamagedError

_DROPS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Drops:
    """Heights up to which blocks are to be dropped, and when: ascending, at most one a minute.

    `height` is what is due already.
    """

    NAME: ClassVar = "drops"
    PAUSE_MS: ClassVar = 60_000
    UNDER_WAY_MS: ClassVar = 600_000
    """How long after a certificate a record that was sealed before it may come in a block."""

    height: int = 0
    later: tuple[tuple[int, int], ...] = ()
    """(Unix ms, height) of what is not due yet."""

    def with_one(self, due_ms: int, height: int) -> "Drops":
        """One more; it joins the last one if that is due within the minute before."""
        later = self.later
        while later and later[-1][0] > due_ms:
            # A clock that was set back, or a shorter setting: the later promise is kept early.
            height, later = max(height, later[-1][1]), later[:-1]
        if later and due_ms - later[-1][0] < self.PAUSE_MS:
            # Joined to the earlier time: no certificate has promised a later one.
            return Drops(self.height, (*later[:-1], (later[-1][0], max(height, later[-1][1]))))
        assert len(later) < _DROPS_MAX, "more drops wait than there are minutes"
        return Drops(self.height, (*later, (due_ms, height)))

    def grown(self, height: int, *, from_ms: int) -> "Drops":
        """Those that are due from `from_ms` on reach up to this height, at least."""
        later = tuple(
            (due_ms, max(height, least) if due_ms >= from_ms else least)
            for due_ms, least in self.later
        )
        return Drops(self.height, later)

    def at(self, now_ms: int) -> "Drops":
        """The same a while later."""
        due = [height for due_ms, height in self.later if due_ms <= now_ms]
        later = tuple(each for each in self.later if each[0] > now_ms)
        return Drops(max([self.height, *due]), later)

    def encode(self) -> bytes:
        """The row's bytes."""
        writer = Writer().u64(self.height).u32(len(self.later))
        for due_ms, height in self.later:
            writer.u64(due_ms).u64(height)
        return writer.done()

    @classmethod
    def decode(cls, data: bytes | None) -> "Drops":
        """Read what `encode` wrote, or begin. Raises: StoreDamagedError."""
        if data is None:
            return cls()
        reader = Reader(data)
        try:
            height, count = reader.u64(), reader.u32()
            later = tuple((reader.u64(), reader.u64()) for _ in range(min(count, _DROPS_MAX)))
            reader.end()
        except MalformedError as error:
            raise StoreDamagedError(f"the drops cannot be read: {error}") from error
        if any(first >= second for (first, _), (second, _) in pairwise(later)):
            raise StoreDamagedError("the drops are not in their order")
        return cls(height, later)
