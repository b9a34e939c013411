"""`heptad.vault.v1.VaultService`: one stream for each validator.

The first message is the cell's keys; then answers, in whatever order they are ready, and pushes.
Each question is answered by a task of its own, since some wait; while too many are under way, or
their answers are not read, the stream is not read either. A question that cannot be answered is
refused by its id; bytes that cannot be read end the stream.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import grpc

from heptad.model.lending import (
    LEASE_SUBJECTS_MAX,
    Answer,
    CellKeys,
    LeaseSubjects,
    LentElsewhere,
    LookUpRequest,
    Question,
    ReserveSlots,
    ReturnLeases,
    Revoked,
    VaultRefusal,
)
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.runtime.guard import Context, peer_identity
from heptad.runtime.identity import Role
from heptad.vault.errors import VaultFaultError
from heptad.wire.convert import vault as wire
from heptad_ledger.errors import StoreError
from heptad_ledger.lending.desk import LendingDesk
from heptad_ledger.lending.key_news import RevokedBook

QUESTIONS_MAX: Final = 256
"""Questions of one stream under way."""

ROLES: Final = {f"/{wire.SERVICE}/Lease": frozenset({Role.VALIDATOR})}


class VaultDoor:
    """Serves the streams; `cell_keys` gives the keys that all of them share."""

    def __init__(
        self,
        *,
        desk: LendingDesk,
        cell_keys: Callable[[], CellKeys],
        revoked: RevokedBook,
        now_s: Callable[[], float],
        on_fault: Callable[[Exception], None],
        log: EventLog,
    ) -> None:
        """`on_fault` hears of a broken vault or store: the process has to end for it."""
        self._desk = desk
        self._revoked = revoked
        self._now_s = now_s
        self._cell_keys = cell_keys
        self._on_fault = on_fault
        self._log = log
        self._sessions: set[_Session] = set()
        self.erased_lately: Callable[[], Sequence[str]] = tuple
        """Erased subjects of whom a validator that connects may still hold leases."""
        desk.on_lent_elsewhere = self._push_lent_elsewhere

    @property
    def session_count(self) -> int:
        """Validators that are connected."""
        return len(self._sessions)

    def register(self, server: grpc.aio.Server) -> None:
        """Add the handler to a server. It takes and returns bytes."""
        table: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Lease": grpc.stream_stream_rpc_method_handler(self._serve)
        }
        handler = grpc.method_handlers_generic_handler(wire.SERVICE, table)
        server.add_generic_rpc_handlers((handler,))

    def push_cell_keys(self) -> None:
        """A key of the cell has changed: tell all validators."""
        self._push(self._cell_keys())

    def push_revoked(self, subject_ids: tuple[str, ...]) -> None:
        """The leases of these subjects end now: tell all validators, and who connects later."""
        self._revoked.note(subject_ids, now_s=self._now_s())
        self._push(Revoked(subject_ids))

    def push_erased(self, subject_ids: tuple[str, ...]) -> None:
        """The same, of subjects who are erased."""
        self._push(Revoked(subject_ids, is_erased=True))

    def on_returned(self, hear: Callable[[], None]) -> None:
        """Have somebody hear of leases that have come back."""
        self._desk.on_returned = hear

    def close(self) -> None:
        """End all streams: the ledger stops, and validators ask the next one."""
        for session in self._sessions:
            session.end()

    def _push(self, answer: Answer) -> None:
        for session in self._sessions:
            session.push(answer)

    def _push_lent_elsewhere(self, home: str, lent: LentElsewhere) -> None:
        for session in self._sessions:
            if session.holder == home:
                session.push(lent)

    async def _serve(self, _requests: object, context: Context) -> None:
        session = _Session(
            context,
            self._desk,
            holder=peer_identity(context).id,
            on_fault=self._on_fault,
            log=self._log,
        )
        self._sessions.add(session)
        try:
            session.push(self._cell_keys())
            if (revoked := self._revoked.recent(self._now_s())) is not None:
                session.push(revoked)
            for erased in _chunks(self.erased_lately()):
                session.push(Revoked(erased, is_erased=True))
            for lent in self._desk.lent_elsewhere(session.holder):
                session.push(lent)
            await session.run()
        finally:
            self._sessions.discard(session)


def _chunks(subject_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(subject_ids), LEASE_SUBJECTS_MAX):
        yield tuple(subject_ids[start : start + LEASE_SUBJECTS_MAX])


class _Session:
    """One stream."""

    def __init__(
        self,
        context: Context,
        desk: LendingDesk,
        *,
        holder: str,
        on_fault: Callable[[Exception], None],
        log: EventLog,
    ) -> None:
        self._context = context
        self._desk = desk
        self.holder = holder
        self._on_fault = on_fault
        self._log = log
        # Messages, and whether each frees a place among the questions under way once it is
        # written: so answers that nobody reads hold up new questions, and the queue is bounded.
        self._outgoing: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue()
        self._under_way = asyncio.Semaphore(QUESTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def push(self, answer: Answer) -> None:
        """Send something that nobody asked for."""
        self._outgoing.put_nowait((wire.encode_answer(0, answer), False))

    def end(self) -> None:
        """End the stream once what waits is sent."""
        self._outgoing.put_nowait(None)

    async def run(self) -> None:
        """Serve until the validator or the ledger ends it. Raises: Problem `frame_malformed`."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reader, writer, *self._tasks):
                task.cancel()

    async def _read(self) -> None:
        while isinstance(data := await self._context.read(), bytes):
            try:
                number, question = wire.decode_question(data)
            except Problem as problem:
                if problem.code == "frame_malformed":
                    raise
                refusal = VaultRefusal(problem.code, problem.detail)
                message = wire.encode_answer(wire.question_id(data), refusal)
                self._outgoing.put_nowait((message, False))
                continue
            if isinstance(question, ReturnLeases):
                self._desk.take_back(question, holder=self.holder)
                continue
            await self._under_way.acquire()
            task = asyncio.create_task(self._answer(number, question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        while (outgoing := await self._outgoing.get()) is not None:
            message, is_answer = outgoing
            await self._context.write(message)
            if is_answer:
                self._under_way.release()

    async def _answer(self, number: int, question: Question) -> None:
        answer: Answer
        try:
            answer = await self._think(question)
        except Problem as problem:
            answer = VaultRefusal(problem.code, problem.detail)
        except (VaultFaultError, StoreError) as fault:
            self._on_fault(fault)
            answer = VaultRefusal("vault_unavailable", "the vault is about to start anew")
        except Exception as error:  # noqa: BLE001  one question must not end the stream
            self._log.failure("vault_question_failed", error)
            answer = VaultRefusal("internal_error", "the question failed inside the ledger")
        self._outgoing.put_nowait((wire.encode_answer(number, answer), True))

    async def _think(self, question: Question) -> Answer:
        match question:
            case LeaseSubjects():
                return await self._desk.lease(question, holder=self.holder)
            case ReserveSlots():
                return await self._desk.reserve(question, holder=self.holder)
            case LookUpRequest():
                return await self._desk.look_up(question)
            case ReturnLeases():
                raise AssertionError("returned leases are not answered")
