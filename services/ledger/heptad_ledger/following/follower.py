"""Following all replicas: certificates and cosignatures from each, bytes from one.

The *chosen* replica sends batches with its blocks; the others send headers with proofs, which tell
how far the group is. (All of them: a look-up has to wait for what *any* f + 1 have committed.)

The chosen one loses its place if it sends anything wrong (its stream is
dropped and opened again after a penalty), if its stream breaks, or if it stalls: for a second it
has sent nothing new while another replica proves that there is more. Then the next in the ring goes
on from the last applied block. So one honest replica among those that are connected is enough, and
an evil one costs a second now and then. One that has pruned the blocks that are next says so and is
asked last; nothing is held against it.

Memory is bounded: at most `fetch_bytes_max` of frames wait, then the chosen stream is not read.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from heptad.consensus.codec import decode_block
from heptad.model.canonical import MalformedError
from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.observability.traces import Tracer
from heptad.wire.streams import BlockFrame, CosignatureFrame, TracesFrame
from heptad_ledger.apply import Applied, HeadContradictedError
from heptad_ledger.errors import FetchAgainError, FollowRefusedError
from heptad_ledger.following.ingest import Ingest, Ingested
from heptad_ledger.following.replica_link import ReplicaLink
from heptad_ledger.following.tracing import BlockTraces
from heptad_ledger.watermark import Watermark

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

STATUS_S_MAX: Final = 2.0
STATUS_PAUSE_S: Final = 0.25
STALL_S: Final = 1.0
FULL_RETRY_S: Final = 5.0
ACKNOWLEDGE_S: Final = 0.2
"""At most this often all replicas are told how far we are."""


class Follower:
    """Chooses, buffers, and feeds the writing thread; the listener of all links.

    `on_applied` hears of each durable wave in order, `on_cosignature` of every cosignature.
    """

    def __init__(
        self,
        *,
        ingest: Ingest,
        writer: Executor,
        applied_height: int,
        fetch_bytes_max: int,
        on_applied: Callable[[Applied], None],
        on_cosignature: Callable[[str, CosignatureFrame], object],
        log: EventLog,
        metrics: Metrics,
        stall_s: float = STALL_S,
        traces: BlockTraces | None = None,
    ) -> None:
        self._ingest = ingest
        self._writer = writer
        self._fetch_bytes_max = fetch_bytes_max
        self._on_applied = on_applied
        self._on_cosignature = on_cosignature
        self._log = log
        self._traces = BlockTraces(Tracer()) if traces is None else traces
        self._stall_s = stall_s
        self._links: Sequence[ReplicaLink] = ()
        self.chosen: ReplicaLink | None = None
        """The replica that sends batches."""
        self.applied_height = applied_height
        """Height of the last durable block."""
        self.is_store_full = False
        """Whether the last wave found no room on the disk; it is tried again."""
        self._applied_mark = Watermark(applied_height)
        self._next_height = applied_height + 1
        # While switching, frames of the chosen one are not taken; while waiting for the start, only
        # the very block that was asked for is: others were on their way before it was asked.
        self._is_switching = True
        self._is_waiting_for_start = True
        self._frames: deque[BlockFrame] = deque()
        self._buffered_bytes = 0
        self._wakeup = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_ingesting = False
        self._stalled_since_s: float | None = None
        self._drop_height = 0
        self._applied_news = asyncio.Event()
        self._connection_news = asyncio.Event()
        self._apply_seconds = metrics.histogram(catalogue.LEDGER_APPLY_SECONDS)
        self._refused_total = metrics.counter(catalogue.LEDGER_FRAMES_REFUSED_TOTAL)
        metrics.read(catalogue.LEDGER_LAG_BLOCKS, self._read_lag)

    def watch(self, links: Sequence[ReplicaLink]) -> None:
        """Follow these replicas; call it once, before any of them runs."""
        self._links = links

    @property
    def connected_count(self) -> int:
        """Replicas whose streams are open."""
        return sum(link.is_connected for link in self._links)

    @property
    def height_known(self) -> int:
        """The greatest height that any replica has sent a block of, unproved."""
        return max((link.height_claimed for link in self._links), default=0)

    @property
    def height_committed(self) -> int:
        """The greatest height that f + 1 replicas have sent a block of: one of them is honest.

        A validator answers its client by the word of as many, so this is what that client may have
        been told; a single liar cannot raise it.
        """
        claims = sorted((link.height_claimed for link in self._links), reverse=True)
        return claims[self._fault_count] if claims else 0

    @property
    def _fault_count(self) -> int:
        return (len(self._links) - 1) // 3

    @property
    def is_filing(self) -> bool:
        """Whether frames are being checked and applied, or wait for it."""
        return self._is_ingesting or bool(self._frames)

    async def catch_up(self, timeout_s: float) -> bool:
        """Wait until all that is committed at this moment is applied; False if it takes longer.

        While fewer than n - f replicas are connected it waits for more of them, too: what is
        committed at this moment may be known only to those that cannot be heard.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while self.connected_count < len(self._links) - self._fault_count:
            self._connection_news.clear()
            try:
                await asyncio.wait_for(self._connection_news.wait(), until_s - loop.time())
            except TimeoutError:
                return False
        rest_s = until_s - loop.time()
        return await self._applied_mark.reached(self.height_committed, timeout_s=rest_s)

    async def catch_up_anew(self, timeout_s: float) -> bool:
        """As `catch_up`, for a ledger that has just come, by what replicas say that they have.

        They send block after block. So until the last one is here, the greatest height that they
        have sent of says nothing of what is committed, and at the very beginning it is 0.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while True:
            asked = (link.height_now(STATUS_S_MAX) for link in self._links)
            answers = [height for height in await asyncio.gather(*asked) if height is not None]
            if len(answers) >= len(self._links) - self._fault_count:
                wanted = sorted(answers, reverse=True)[self._fault_count]
                rest_s = max(0.0, until_s - loop.time())
                return await self._applied_mark.reached(wanted, timeout_s=rest_s)
            if loop.time() + STATUS_PAUSE_S >= until_s:
                return False
            await asyncio.sleep(STATUS_PAUSE_S)

    # The tasks.

    async def run(self) -> None:
        """Feed the writing thread with what the chosen replica sends, until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            if self._is_switching:
                await self._start_over()
            while self._frames:
                await self._ingest_all()

    async def watch_for_stalls(self) -> None:
        """Look several times a second whether the chosen replica keeps up, until cancelled."""
        while True:
            await asyncio.sleep(self._stall_s / 4)
            await self._look()

    async def acknowledge(self, published_size: Callable[[], int]) -> None:
        """Tell all replicas how far this ledger is whenever that changes, until cancelled."""
        while True:
            await self._applied_news.wait()
            self._applied_news.clear()
            for link in self._links:
                link.applied(
                    height=self.applied_height,
                    published_size=published_size(),
                    drop_height=self._drop_height,
                )
            await asyncio.sleep(ACKNOWLEDGE_S)

    def has_news(self) -> None:
        """Something has been applied or published that replicas should know."""
        self._applied_news.set()

    def drop_until(self, height: int) -> None:
        """Have replicas drop what is acknowledged up to that height, whatever they would keep."""
        if height > self._drop_height:
            self._drop_height = height
            self.has_news()

    # What the links tell.

    def connected(self, link: ReplicaLink) -> None:
        """A stream is open. While no replica is chosen, this one is."""
        self._log.info("replica_connected", replica=link.replica_id)
        self._connection_news.set()
        if self.chosen is None:
            self._choose(link)
        else:
            self._ask_for_headers(link)

    def disconnected(self, link: ReplicaLink) -> None:
        """A stream is gone."""
        self._log.info("replica_disconnected", replica=link.replica_id)
        if link is self.chosen:
            self._choose_next()

    async def block(self, link: ReplicaLink, frame: BlockFrame) -> None:
        """A block has come; only the chosen replica's are taken."""
        if link is not self.chosen or self._is_switching or not self._is_wanted(frame):
            return
        if frame.height != self._next_height:
            self._caught(link, f"height {frame.height} where {self._next_height} is next")
            return
        self._is_waiting_for_start = False
        self._stalled_since_s = None
        self._next_height += 1
        self._frames.append(frame)
        if self._traces:
            self._traces.fetched(frame.height)
        self._buffered_bytes += _size_bytes(frame)
        self._wakeup.set()
        while self._buffered_bytes > self._fetch_bytes_max and link is self.chosen:
            self._has_room.clear()
            await self._has_room.wait()

    def cosignature(self, link: ReplicaLink, frame: CosignatureFrame) -> None:
        """A cosignature has come."""
        self._on_cosignature(link.replica_id, frame)

    def traces(self, link: ReplicaLink, frame: TracesFrame) -> None:
        """The block that comes next is traced; only the chosen replica's word counts."""
        if link is self.chosen and not self._is_switching and frame.height == self._next_height:
            self._traces.announced(frame.height, frame.traces)

    def refused(self, link: ReplicaLink, reason: str) -> None:
        """A replica sent what nobody can read."""
        self._caught(link, reason)

    def lacking(self, link: ReplicaLink) -> None:
        """A replica has pruned, or jumped over, what it was asked for."""
        self._log.info("blocks_not_held", replica=link.replica_id, height=link.lacks_height)

    def forger(self, replica_id: str) -> None:
        """A replica has sent too many false cosignatures."""
        for link in self._links:
            if link.replica_id == replica_id:
                self._caught(link, "too many false cosignatures")

    # Applying.

    async def _ingest_all(self) -> None:
        """Check and apply all frames that are buffered."""
        chosen, frames = self.chosen, list(self._frames)
        self._empty_buffer()
        self._is_ingesting = True
        try:
            result = await self._in_writer(self._ingest.take, frames)
        finally:
            self._is_ingesting = False
        for wave, duration_s in zip(result.waves, result.durations_s, strict=True):
            self.applied_height = wave.state.height
            self._applied_mark.advance(self.applied_height)
            self._apply_seconds.record(duration_s)
            if self._traces:
                self._traces.applied(self.applied_height, wave.heads)
            self._on_applied(wave)
        if result.waves:
            self.has_news()
        self.is_store_full = result.fault is not None
        await self._judge_result(result, chosen)

    async def _judge_result(self, result: Ingested, chosen: ReplicaLink | None) -> None:
        if isinstance(result.refusal, FetchAgainError):
            self._log.info("blocks_fetched_again", reason=str(result.refusal))
            self._switch()
        elif result.refusal is not None:
            if isinstance(result.refusal, HeadContradictedError):
                self._log.failure("head_contradicted", result.refusal)
            if chosen is not None:
                self._caught(chosen, str(result.refusal))
        elif result.fault is not None:
            self._log.failure("store_full", result.fault)
            await asyncio.sleep(FULL_RETRY_S)
            self._switch()

    async def _start_over(self) -> None:
        """Ask the chosen replica for everything behind the last durable block."""
        self._empty_buffer()
        await self._in_writer(self._ingest.restart)
        self._next_height = self.applied_height + 1
        self._is_waiting_for_start = True
        self._is_switching = False
        if self.chosen is not None:
            self.chosen.follow(height=self._next_height, want_batches=True)

    async def _in_writer(
        self, act: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs
    ) -> ResultT:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(act, *args, **kwargs))

    def _empty_buffer(self) -> None:
        self._frames.clear()
        self._buffered_bytes = 0
        self._has_room.set()

    def _is_wanted(self, frame: BlockFrame) -> bool:
        """Whether this can be the answer to what was asked last."""
        if not self._is_waiting_for_start:
            return True
        return frame.height == self._next_height and (
            bool(frame.batches) or not _refers_to_batches(frame)
        )

    # Choosing.

    def _choose(self, link: ReplicaLink | None) -> None:
        before, self.chosen = self.chosen, link
        if before is not None and before is not link:
            self._ask_for_headers(before)
        if link is not None:
            self._log.info("replica_chosen", replica=link.replica_id, height=self.applied_height)
        self._switch()

    def _choose_next(self) -> None:
        """The next in the ring that is connected.

        First one that does not lack what is next, as far as is known; then who was caught less.
        """
        candidates = self._others_connected()
        if candidates or self.chosen is not None:
            self._choose(min(candidates, key=self._reluctance, default=None))

    def _reluctance(self, link: ReplicaLink) -> tuple[bool, int]:
        return link.lacks_height > self.applied_height, link.lies

    def _others_connected(self) -> list[ReplicaLink]:
        """The connected links but the chosen one, in the ring's order behind it."""
        start = self._links.index(self.chosen) + 1 if self.chosen in self._links else 0
        ring = [*self._links[start:], *self._links[:start]]
        return [link for link in ring if link.is_connected and link is not self.chosen]

    def _ask_for_headers(self, link: ReplicaLink) -> None:
        link.follow(height=self.applied_height + 1, want_batches=False)

    def _switch(self) -> None:
        self._is_switching = True
        self._stalled_since_s = None
        self._has_room.set()
        self._wakeup.set()

    def _caught(self, link: ReplicaLink, reason: str) -> None:
        """A replica has sent something wrong: it is dropped, and its bytes are not asked for."""
        self._refused_total.add(1, link.replica_id)
        self._log.warning("replica_refused", replica=link.replica_id, reason=reason)
        link.drop()
        if link is self.chosen:
            self._choose_next()

    async def _look(self) -> None:
        if self.chosen is None:
            self._choose_next()
            return
        received = self._next_height - 1
        ahead = [
            link
            for link in self._links
            if link is not self.chosen and link.claim and link.claim.height > received
        ]
        if not ahead or self._frames or self._is_ingesting or self._is_switching:
            self._stalled_since_s = None
            return
        now_s = asyncio.get_running_loop().time()
        if self._stalled_since_s is None:
            self._stalled_since_s = now_s
        elif now_s - self._stalled_since_s >= self._stall_s:
            await self._judge_claims(ahead, received)

    async def _judge_claims(self, ahead: Sequence[ReplicaLink], received: int) -> None:
        """Leave the chosen replica if one of these proves to be ahead of what it has sent."""
        for link in ahead:
            claim, link.claim = link.claim, None
            if claim is None:
                continue
            try:
                height = await self._in_writer(self._ingest.judge, claim)
            except FollowRefusedError as refusal:
                self._caught(link, str(refusal))
                continue
            if height > received and self._stalled_since_s is not None:
                self._log.warning("replica_stalls", height=received, height_proved=height)
                self._choose_next()
                return

    def _read_lag(self) -> Mapping[tuple[str, ...], float]:
        return {
            (link.replica_id,): max(0, link.height_claimed - self.applied_height)
            for link in self._links
        }


def _size_bytes(frame: BlockFrame) -> int:
    return len(frame.block) + len(frame.proof) + sum(map(len, frame.batches))


def _refers_to_batches(frame: BlockFrame) -> bool:
    try:
        return bool(decode_block(frame.block).batches)
    except MalformedError:
        # Let it through: the chain refuses it with its reason.
        return False
