"""Who opens personal data is recorded first: the ledger's side of `ValidatorService.RecordPrivate`.

A record is signed once and offered to one validator after the other, the subject's own first: it is
the one that knows of an earlier attempt. A validator that answered too late may have recorded it
nevertheless, so before the next one is asked the log is searched for the record's name; and if two
have recorded it, the later one is a copy like that of any request, and is stated as one.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from heptad.crypto.accesses import sign_access
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import RequestKey
from heptad.model.access import AccessRecord, PrivateRecord
from heptad.model.entry import Kind
from heptad.model.problems import Problem
from heptad.model.requests import RequestId
from heptad.model.routing import ranked
from heptad.observability.logs import EventLog
from heptad.runtime.identity import Identity
from heptad.runtime.status import problem_of
from heptad.wire.convert.validator import SERVICE, decode_private_recorded, encode_private
from heptad_ledger.store import LogStore

METHOD: Final = f"/{SERVICE}/RecordPrivate"
CALL_S_MAX: Final = 6.0
PAUSE_S: Final = 0.2
ROUNDS_MAX: Final = 2
"""How often each validator is asked before the caller is told that it cannot be recorded."""

AT_ONCE_MAX: Final = 256

RecordPrivate = Callable[[int, PrivateRecord], Awaitable[int]]
"""Ask the validator of that number; returns the entry's index. Raises: Problem."""


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody is about to do with a subject's data; see `heptad.model.access`."""

    subject_id: str = field(repr=False)
    action: str
    caller: Identity
    reason: str = field(repr=False)
    ground: str = field(default="", repr=False)
    what: str = ""


class AccessRecorder:
    """Records accesses under the name of one ledger, signed by its attestation key."""

    def __init__(
        self,
        *,
        store: LogStore,
        index_key: Callable[[], bytes],
        record: RecordPrivate,
        validators: Sequence[int],
        key: RequestKey,
        ledger_id: str,
        origin: str,
        now_s: Callable[[], int],
        log: EventLog,
    ) -> None:
        """`now_s` is the wall clock; `validators` are numbers."""
        self._store = store
        self._index_key = index_key
        self._record = record
        self._validators = tuple(validators)
        self._key = key
        self._ledger_id = ledger_id
        self._origin = origin
        self._now_s = now_s
        self._log = log
        self._under_way = asyncio.Semaphore(AT_ONCE_MAX)

    async def record(self, access: Access) -> int:
        """The log index of the access's entry, once it is committed; nothing may be handed out
        before this has returned.

        Raises: Problem `claim_invalid` for words that no record may hold; the validator's refusal,
        such as that of an erased subject's; `validator_unavailable` or another that may pass if it
        cannot be recorded now.
        """
        said = self._said(access)
        payload = sign_access(self._key, said)
        private = PrivateRecord(Kind.ACCESS, access.action, access.subject_id, payload)
        async with self._under_way:
            return await self._recorded(private, said.request_id)

    def _said(self, access: Access) -> AccessRecord:
        return AccessRecord(
            ledger=self._ledger_id,
            origin=self._origin,
            jti=str(uuid.uuid4()),
            time_s=self._now_s(),
            subject_id=access.subject_id,
            action=access.action,
            role=access.caller.role,
            caller=access.caller.id,
            ground=access.ground,
            reason=access.reason,
            what=access.what,
        )

    async def _recorded(self, private: PrivateRecord, name: RequestId) -> int:
        order = ranked(private.subject_id, self._validators)
        problem = Problem("validator_unavailable", "there is no validator", retry_after_s=1)
        for attempt, validator in enumerate(order * ROUNDS_MAX):
            if attempt:
                await asyncio.sleep(PAUSE_S)
                if (index := self._index_of(name)) is not None:
                    return index
            try:
                return await self._record(validator, private)
            except Problem as refusal:
                if not refusal.kind.retry:
                    raise
                problem = refusal
                self._log.warning("access_not_recorded", validator=validator, code=refusal.code)
        raise problem

    def _index_of(self, name: RequestId) -> int | None:
        reference = request_ref(cell_index_key=self._index_key(), request_id=name)
        with self._store.snapshot() as snapshot:
            return snapshot.request(reference)


def recorder(channels: Mapping[int, grpc.aio.Channel]) -> RecordPrivate:
    """Records through these channels, by the validator's number."""
    calls: dict[int, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {
        number: channel.unary_unary(METHOD) for number, channel in channels.items()
    }

    async def record(validator: int, private: PrivateRecord) -> int:
        try:
            answer: bytes = await calls[validator](encode_private(private), timeout=CALL_S_MAX)
        except grpc.aio.AioRpcError as error:
            raise problem_of(error, unavailable="validator_unavailable") from error
        return decode_private_recorded(answer)

    return record
