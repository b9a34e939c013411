"""One long-lived SubmitStream to one validator: gathered on the way out, matched on the way in.

Requests that arrive within a moment of each other share one message, because a message costs ten
times what a request costs; but nobody waits on an idle stream: the first request after a pause goes
at once. The stream is opened again after every failure. What it carried when it failed, or what its
validator refuses because it is about to stop, goes back to whoever submitted it (`lost`), once, and
only then may be sent elsewhere: so no two validators hold one request because of us, as long as the
first of them answers.

A validator answers each request within five seconds, if only with PENDING. One that says nothing at
all for longer, though it has something to answer, is hung (stopped, or cut off behind a connection
that still looks alive), and its stream counts as failed.

One that keeps refusing because the replicas cannot agree may merely be cut off from them, so its
requests go to the next validator as well, and only if none takes one does the refusal stand. It
says that nothing was recorded: whoever has admitted a request says PENDING. It has to go on for a
moment: where the whole group is short, its validators notice one after the other, and a request
that is passed on costs both of them questions to the ledger for a minute and a half.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import grpc

from heptad.model.answers import Recorded, SubmitItem, Wait
from heptad.model.problems import Problem
from heptad.runtime.status import problem_of
from heptad.wire.convert.validator import SERVICE, decode_outcomes, encode_items

ITEMS_MAX: Final = 1_000
"""Requests in one message, as the proto says."""

MESSAGE_BYTES_MAX: Final = 1 << 20
"""Bytes of one message, as the proto says."""

SHORT_S: Final = 3.0
"""A refusal for want of a quorum that is older says nothing about now."""

PATIENCE_S: Final = 1.5
"""For how long such refusals stand before others are asked: all validators look once a second."""

_UNAVAILABLE: Final = 503
_ITEM_OVERHEAD_BYTES: Final = 32
_RETRY_S_MIN: Final = 0.1
_RETRY_S_MAX: Final = 2.0


@dataclass(slots=True, eq=False)
class Ticket:
    """One request under way.

    `ranking` are the validators that have not been tried yet, the best one last. `answer` gets the
    outcome, also if it is a refusal; it never gets an exception. `deadline_s`, and `placed_s` (when
    it was put on its stream), are in the event loop's time. `refusal` is what a validator said that
    cannot have it recorded, while no other validator can have recorded it either; `broken` is what
    to say instead once a stream has failed that had carried it: whoever was there may have it.
    `trace` is the packed context of a sampled trace, mostly empty.
    """

    id: int
    jws: bytes
    wait: Wait
    ranking: list[int]
    answer: "asyncio.Future[Recorded | Problem]"
    deadline_s: float
    placed_s: float = 0.0
    refusal: Problem | None = None
    broken: Problem | None = None
    trace: bytes = b""

    def settle(self, outcome: Recorded | Problem) -> None:
        """Give the answer, unless whoever asked has gone away."""
        if not self.answer.done():
            self.answer.set_result(outcome)


class ValidatorStream:
    """The stream to one validator; `run` keeps it up, `submit` puts tickets on it."""

    def __init__(
        self,
        *,
        channel: grpc.aio.Channel,
        coalesce_s: float,
        patience_s: float,
        lost: Callable[[Sequence[Ticket]], None],
        settled: Callable[[Ticket], None],
        opened: Callable[[], None],
    ) -> None:
        """`patience_s` is for how long refusals for want of a quorum are not passed on.

        `lost` gets the tickets that another validator has to take; `settled` each one answered.

        `opened` is called whenever the stream has come up.
        """
        self._open: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            f"/{SERVICE}/SubmitStream"
        )
        self._coalesce_s = coalesce_s
        self._patience_s = patience_s
        self._lost = lost
        self._settled = settled
        self._opened = opened
        self._carried: dict[int, Ticket] = {}
        self._unsent: dict[int, Ticket] = {}
        self._wake = asyncio.Event()
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] | None = None
        self._is_cut = False
        self._heard_s = 0.0
        self._short_s = self._short_since_s = self._vain_s = float("-inf")
        self.connected = False
        self.trouble: Problem | None = None
        """Why it is not connected, once that is known."""

    def is_vain(self, now_s: float) -> bool:
        """Whether it could not help lately where another validator is cut off.

        Either it said itself that the replicas cannot agree, or it took nothing of what was passed
        on to it. `now_s` is the event loop's time.
        """
        return self._is_short(now_s) or now_s - self._vain_s < SHORT_S

    def _is_short(self, now_s: float) -> bool:
        return now_s - self._short_s < SHORT_S

    @property
    def in_flight(self) -> int:
        """Tickets that have been submitted and not answered."""
        return len(self._carried)

    def submit(self, ticket: Ticket) -> None:
        """Send a ticket with the next message; only while `connected`."""
        assert self.connected
        self._carried[ticket.id] = ticket
        self._unsent[ticket.id] = ticket
        self._wake.set()

    def forget(self, ticket: Ticket) -> None:
        """Wait no longer for this ticket's answer; if it was sent, it may still take effect."""
        self._carried.pop(ticket.id, None)
        self._unsent.pop(ticket.id, None)

    def cut_if_silent(self, now_s: float, *, silence_s: float) -> None:
        """Give the stream up if it has owed an answer for so long and has brought none.

        Anything that came meanwhile counts: whoever is slow under load must not be made to work
        on the same requests twice. `now_s` is the event loop's time.
        """
        oldest = next(iter(self._carried.values()), None)
        if oldest is None or self._call is None:
            return
        if max(oldest.placed_s, self._heard_s) + silence_s <= now_s:
            self._is_cut = True
            self._call.cancel()

    async def run(self) -> None:
        """Keep the stream open until cancelled; back off from 0.1 to 2 s while it fails."""
        delay_s = _RETRY_S_MIN
        while True:
            was_connected = False
            try:
                await self._serve_once()
                self.trouble = Problem("validator_unavailable", "the validator ended the stream")
            except grpc.aio.AioRpcError as error:
                self.trouble = problem_of(error, unavailable="validator_unavailable")
            except Problem as problem:
                self.trouble = problem
            except asyncio.CancelledError:
                if (
                    not self._is_cut
                    or cast("asyncio.Task[None]", asyncio.current_task()).cancelling()
                ):
                    raise
                self.trouble = Problem("validator_unavailable", "the validator has fallen silent")
            finally:
                was_connected = self.connected
                self._drop()
            delay_s = _RETRY_S_MIN if was_connected else min(2 * delay_s, _RETRY_S_MAX)
            await asyncio.sleep(delay_s)

    async def _serve_once(self) -> None:
        """One stream from its opening to its end. Raises: AioRpcError, Problem."""
        call: grpc.aio.StreamStreamCall[bytes, bytes] = self._open(wait_for_ready=True)
        writer: asyncio.Task[None] | None = None
        try:
            # Sent by the validator itself, not by a connection that has outlived it.
            await call.initial_metadata()
            await call.wait_for_connection()
            self._call = call
            self.connected, self.trouble = True, None
            self._opened()
            writer = asyncio.create_task(self._write(call))
            while isinstance(message := await call.read(), bytes):
                self._receive(message)
        finally:
            self._call = None
            call.cancel()
            if writer is not None:
                writer.cancel()
                # The reader knows why the stream ended; the writer only felt it.
                with suppress(
                    asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError
                ):
                    await writer

    async def _write(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        loop = asyncio.get_running_loop()
        next_s = 0.0
        while True:
            await self._wake.wait()
            if (wait_s := next_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            next_s = loop.time() + self._coalesce_s
            if items := self._take():
                await call.write(encode_items(items))

    def _take(self) -> list[SubmitItem]:
        """The next message's items, within the limits of a message."""
        size = 0
        taken: list[SubmitItem] = []
        for ticket in self._unsent.values():
            size += len(ticket.jws) + _ITEM_OVERHEAD_BYTES
            if len(taken) == ITEMS_MAX or (taken and size > MESSAGE_BYTES_MAX):
                break
            taken.append(SubmitItem(ticket.id, ticket.jws, ticket.wait, ticket.trace))
        for item in taken:
            del self._unsent[item.id]
        if not self._unsent:
            self._wake.clear()
        return taken

    def _receive(self, message: bytes) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        for outcome in decode_outcomes(message):
            # An answer to a ticket that is no longer known came after its deadline.
            ticket = self._carried.pop(outcome.id, None)
            if ticket is None:
                continue
            self._take_answer(ticket, outcome.result)

    def _take_answer(self, ticket: Ticket, result: Recorded | Problem) -> None:
        if isinstance(result, Problem):
            if self._passes_on(ticket, result):
                # It has recorded nothing of this: the next one may.
                self._lost([ticket])
                return
            if ticket.refusal is not None and result.kind.http == _UNAVAILABLE:
                # Of two that cannot have it recorded, the subject's own knows best why.
                self._vain_s = self._heard_s
                result = ticket.refusal
            if ticket.broken is not None and result.kind.http == _UNAVAILABLE:
                # It says for itself only that nothing was recorded.
                result = ticket.broken
        ticket.settle(result)
        self._settled(ticket)

    def _passes_on(self, ticket: Ticket, refusal: Problem) -> bool:
        if refusal.code == "draining":
            return True
        if refusal.code != "quorum_unavailable":
            return False
        if not self._is_short(self._heard_s):
            self._short_since_s = self._heard_s
        self._short_s = self._heard_s
        if self._heard_s - self._short_since_s < self._patience_s:
            return False
        ticket.refusal = ticket.refusal or refusal
        return True

    def _drop(self) -> None:
        """The stream is gone: hand back what it carried, sent or not."""
        self.connected = self._is_cut = False
        lost = list(self._carried.values())
        for ticket in lost:
            # This one may have recorded it, whatever another said before or says behind it.
            if ticket.id not in self._unsent:
                ticket.refusal, ticket.broken = None, _gone()
        self._carried.clear()
        self._unsent.clear()
        self._wake.clear()
        if lost:
            self._lost(lost)


def _gone() -> Problem:
    """Why it broke is for operators (`trouble`): clients are told no addresses."""
    detail = "a validator that may have recorded it does not answer any more"
    return Problem("validator_unavailable", detail, retry_after_s=1)
