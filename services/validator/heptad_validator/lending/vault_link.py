"""The stream to the vault: questions out, answers and pushes in.

One stream carries everything. A question has a number and a future; an answer finds it by the
number. When the stream breaks, every question on it has failed, and who asked decides what that
means: whoever has a live lease does not notice.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import grpc

from heptad.model.lending import (
    Answer,
    CellKeys,
    LentElsewhere,
    Question,
    ReturnLeases,
    Revoked,
    VaultRefusal,
)
from heptad.model.problems import Problem
from heptad.wire.convert.vault import SERVICE, decode_answer, encode_question

METHOD: Final = f"/{SERVICE}/Lease"
QUESTIONS_MAX: Final = 20_000
RECONNECT_S_MIN: Final = 0.1
RECONNECT_S_MAX: Final = 2.0

_Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


class VaultLink:
    """Asks the vault, over a stream that is opened again for as long as `run` runs."""

    def __init__(
        self,
        *,
        channel: grpc.aio.Channel,
        on_keys: Callable[[CellKeys], None],
    ) -> None:
        self._channel = channel
        self._on_keys = on_keys
        self.on_revoked: Callable[[Revoked], None] = lambda revoked: None
        """Told of leases that end now."""
        self.on_connected: Callable[[], None] = lambda: None
        """Called once a new stream has brought the cell's keys."""
        self.on_lent_elsewhere: Callable[[LentElsewhere], None] = lambda lent: None
        """Told of subjects for which other validators work too."""
        self._questions: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self._unsent: deque[bytes] = deque()
        self._wakeup = asyncio.Event()
        self._written = asyncio.Event()
        self.is_connected = False
        self.answers_malformed = 0

    async def ask(self, question: Question, *, timeout_s: float) -> Answer:
        """The vault's answer; never a VaultRefusal.

        Raises: Problem `vault_unavailable` when it does not come, or the code of its refusal.
        """
        if not self.is_connected:
            raise _unavailable("it is not connected")
        if len(self._questions) >= QUESTIONS_MAX:
            raise Problem("overloaded", "too many questions to the vault", retry_after_s=1)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        number = self._send(question)
        self._questions[number] = future
        try:
            answer = await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise _unavailable(f"it has not answered within {timeout_s} s") from None
        finally:
            self._questions.pop(number, None)
        if isinstance(answer, VaultRefusal):
            raise Problem(answer.code, answer.detail, retry_after_s=1)
        return answer

    def give_back(self, lease_ids: tuple[bytes, ...]) -> None:
        """Tell the vault that these leases are no longer needed, if it is there to hear it."""
        if lease_ids and self.is_connected:
            self._send(ReturnLeases(lease_ids))

    async def written(self) -> None:
        """Return once the stream has taken all that was said; at once without a stream."""
        if self.is_connected:
            await self._written.wait()

    async def run(self) -> None:
        """Open the stream, serve it, and open it again with back-off, until cancelled."""
        delay_s = RECONNECT_S_MIN
        while True:
            if await self._serve_one_stream():
                delay_s = RECONNECT_S_MIN
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_S_MAX)

    async def close(self) -> None:
        """Let the connection go; `run` has ended."""
        await self._channel.close()

    def _send(self, question: Question) -> int:
        self._last_id += 1
        self._unsent.append(encode_question(self._last_id, question))
        self._written.clear()
        self._wakeup.set()
        return self._last_id

    async def _serve_one_stream(self) -> bool:
        """One stream's life; True if the vault was ever heard on it."""
        call: _Call = self._channel.stream_stream(METHOD)(wait_for_ready=True)
        was_connected = False
        writer: asyncio.Task[None] | None = None
        try:
            while isinstance(data := await call.read(), bytes):
                self._take(*decode_answer(data))
                if not was_connected:
                    was_connected = self.is_connected = True
                    writer = asyncio.create_task(self._write(call))
                    self.on_connected()
        except Problem:
            # The vault speaks another language than we do: its stream is of no use to us.
            self.answers_malformed += 1
        except grpc.aio.AioRpcError:
            return was_connected
        finally:
            self._disconnected()
            if writer is not None:
                writer.cancel()
            call.cancel()
        return was_connected

    def _take(self, number: int, answer: Answer) -> None:
        if isinstance(answer, CellKeys):
            self._on_keys(answer)
        elif isinstance(answer, Revoked):
            self.on_revoked(answer)
        elif isinstance(answer, LentElsewhere):
            self.on_lent_elsewhere(answer)
        else:
            future = self._questions.get(number)
            if future is not None and not future.done():
                future.set_result(answer)

    def _disconnected(self) -> None:
        self.is_connected = False
        self._unsent.clear()
        self._written.set()
        for future in self._questions.values():
            if not future.done():
                future.set_exception(_unavailable("the connection to it broke"))
        self._questions.clear()

    async def _write(self, call: _Call) -> None:
        try:
            while True:
                while self._unsent:
                    await call.write(self._unsent.popleft())
                self._written.set()
                self._wakeup.clear()
                await self._wakeup.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            call.cancel()


def _unavailable(why: str) -> Problem:
    return Problem("vault_unavailable", f"the vault cannot be asked: {why}", retry_after_s=1)
