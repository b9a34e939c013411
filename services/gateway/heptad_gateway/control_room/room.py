"""`GET /v1/dashboard`: the picture, drawn anew at most once in two seconds, however many look.

Members are asked only when somebody asks here, so a control room that nobody is in costs nothing.
The history lives in memory and begins with the first look.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from heptad.client import Terms
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, EntryQuery
from heptad.observability.exposition import Exposition
from heptad.runtime.config import Cell as CellConfig
from heptad.runtime.config import GatewayConfig
from heptad.runtime.version import VERSION
from heptad.wire.convert.entry import decode_entry
from heptad_gateway.bodies import JSON
from heptad_gateway.control_room.members import ask_all
from heptad_gateway.control_room.picture import Cell, draw
from heptad_gateway.control_room.rates import Moment, Span
from heptad_gateway.ports import Ledger
from heptad_gateway.routing import Parameters, Route

PAUSE_S: Final = 2.0
RECENT_S: Final = 10.0
"""Rates are of so much time, latencies of `LONGER_S`."""

LONGER_S: Final = 60.0
HISTORY_MAX: Final = 300
"""Points that are kept: ten minutes while somebody looks."""

NOTABLE: Final = (
    Kind.ERASURE_ORDERED,
    Kind.ERASED,
    Kind.ERASURE_REFUSED,
    Kind.POLICY_CHANGE,
    Kind.MEMBERSHIP_CHANGE,
    Kind.MISBEHAVIOUR_EVIDENCE,
    Kind.RECOVERY,
)
NOTABLE_MAX: Final = 12
LOOKED_BACK_MAX: Final = 5_000
"""Entries that the first look reads for notable ones; later ones read what is new."""

_LEDGER_S_MAX: Final = 1.0


class ControlRoom:
    """The room: what was seen, and who may ask for it (everybody: it is all public or a count)."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        cell: CellConfig,
        config: GatewayConfig,
        exposition: Callable[[], bytes],
        now_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        """`exposition` is this gateway's own; both clocks in seconds, `now_s` monotonic."""
        self._ledger = ledger
        self._watched = [each for each in config.watched if each.id != config.node.id]
        self._exposition = exposition
        self._now_s, self._unix_s = now_s, unix_s
        self._origin = cell.origin
        names = [each.id for each in self._watched]
        self._cell = Cell(
            gateway=config.node.id,
            replicas=tuple(name for name in names if name.startswith("replica-")),
            members=(
                config.node.id,
                *(name for name in names if not name.startswith("replica-")),
            ),
            ledger=cell.ledger.id,
        )
        self._moments: deque[Moment] = deque(maxlen=int(LONGER_S / PAUSE_S) + 2)
        self._history: deque[list[float | None]] = deque(maxlen=HISTORY_MAX)
        self._notable: deque[dict[str, object]] = deque(maxlen=NOTABLE_MAX)
        self._next_index: int | None = None
        self._body = b""
        self._drawing = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [Route("GET", "/v1/dashboard", self.picture)]

    async def picture(self, _request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """How the cell is, for the control room's page."""
        async with self._drawing:
            if not self._moments or self._now_s() - self._moments[-1].now_s >= PAUSE_S:
                self._body = await self._drawn()
        return web.Response(
            body=self._body, headers={"Content-Type": JSON, "Cache-Control": "no-store"}
        )

    async def _drawn(self) -> bytes:
        pages: dict[str, Exposition | None] = dict(await ask_all(self._watched))
        pages[self._cell.gateway] = Exposition(self._exposition().decode("utf-8"))
        self._moments.append(Moment(self._now_s(), pages))
        picture = draw(
            self._cell,
            recent=self._span(RECENT_S),
            longer=self._span(LONGER_S),
            unix_s=self._unix_s(),
        )
        await self._look_for_notable()
        self._history.append(_point(picture))
        more = {
            "origin": self._origin,
            "version": VERSION,
            "pause_s": PAUSE_S,
            "notable": list(self._notable),
            "history": list(self._history),
        }
        return json.dumps({**picture, **more}, separators=(",", ":")).encode("utf-8")

    def _span(self, seconds: float) -> Span:
        """From the moment so many seconds ago, or the first one, to now."""
        last = self._moments[-1]
        first = next(each for each in self._moments if last.now_s - each.now_s <= seconds)
        return Span(first, last)

    async def _look_for_notable(self) -> None:
        """Read what the log has got since the last look; a ledger that is away adds nothing."""
        terms = Terms(deadline_s=_LEDGER_S_MAX)
        try:
            if self._next_index is None:
                size = (await self._ledger.checkpoint(terms=terms)).size
                self._next_index = max(0, size - LOOKED_BACK_MAX)
            wanted = EntryFilter(start_index=self._next_index, kinds=NOTABLE)
            page = await self._ledger.entries(EntryQuery(wanted), terms=terms)
        except Problem:
            return
        for entry in page.entries:
            self._notable.appendleft(_told(entry.index, entry.data))
        self._next_index = page.next_index or page.checkpoint_size


def _told(index: int, data: bytes) -> dict[str, object]:
    try:
        entry = decode_entry(data)
    except MalformedError:
        return {"index": index, "kind": "", "time_ms": 0}
    return {"index": index, "kind": entry.kind.name, "time_ms": entry.time_ms}


def _point(picture: Mapping[str, object]) -> list[float | None]:
    """Time, requests and errors a second, p99, entries a second, size of the log."""
    traffic, ledger = picture["traffic"], picture["ledger"]
    assert isinstance(traffic, dict)
    assert isinstance(ledger, dict)
    time_ms = picture["time_ms"]
    assert isinstance(time_ms, int)
    return [
        float(time_ms),
        traffic["requests_per_s"],
        traffic["errors_per_s"],
        traffic["p99_s"],
        ledger.get("entries_per_s"),
        ledger.get("log_size"),
    ]
