"""What data-protection officers decide: recorded first, under the subject's key, then done.

A decision is a record of access in the log (`heptad.model.access`): who, on which ground, why. It
takes effect where the ledger applies that entry, and the officer is answered once it has. So the
subject finds every decision in its export, and a ledger that is rebuilt from the log decides the
same again.

What is looked at before recording (is there such a subject, is it on hold, is there something to
refuse) spares the subject's records what would have no effect; it decides nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from heptad.crypto.jwk import PublicKey
from heptad.model.access import KEY_REVOKED, REASON_CHARACTERS_MAX, check_words
from heptad.model.erasing import SUBJECTS_MAX, DecisionCall, Hold, OrderCall, Ordered, RevokeKeyCall
from heptad.model.erasure import ErasureState
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectIdInvalidError, parse_subject_id
from heptad.runtime.identity import Identity
from heptad_ledger.privacy.accesses import Access
from heptad_ledger.privacy.holds import HOLD_GROUNDS, LIFT_HOLD, SET_HOLD, HoldBook
from heptad_ledger.privacy.ports import ErasureRow, Erasures
from heptad_ledger.registry import Registry, Subject
from heptad_ledger.store import LogStore
from heptad_ledger.watermark import Watermark

ORDER: Final = "erasure.ordered"
REFUSE: Final = "erasure.refused"
APPLY_S_MAX: Final = 8.0
"""How long an officer waits for a decision that is recorded to be applied here."""

AT_ONCE_MAX: Final = 64


class Accesses(Protocol):
    """Records of access: a `heptad_ledger.privacy.accesses.AccessRecorder`."""

    async def record(self, access: Access) -> int:
        """The log index of the access's entry, once it is committed. Raises: Problem."""


class OfficerDesk:
    """Takes decisions; `caller` is the officer's certificate."""

    def __init__(
        self,
        *,
        store: LogStore,
        registry: Registry,
        holds: HoldBook,
        erasures: Erasures,
        accesses: Accesses,
        applied_size: Watermark,
        origin: str,
        keys: Callable[[], Mapping[str, PublicKey]],
        require_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`keys` gives the ledger's attestation keys by their `kid`; `require_settled` raises a
        Problem while who is erased may still be found."""
        self._store = store
        self._registry = registry
        self._holds = holds
        self._erasures = erasures
        self._accesses = accesses
        self._applied_size = applied_size
        self._origin = origin
        self._keys = keys
        self._require_settled = require_settled
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def order(self, call: OrderCall, *, caller: Identity) -> Sequence[Ordered]:
        """Order the erasure of each subject; one that is refused leaves the others as they are.

        Raises: Problem `parameter_invalid`, `claim_invalid`, with nothing recorded.
        """
        if not 1 <= len(call.subject_ids) <= SUBJECTS_MAX:
            detail = f"{len(call.subject_ids)} subjects; 1 to {SUBJECTS_MAX} may be"
            raise Problem("parameter_invalid", detail, field="subject_ids")
        if len(set(call.subject_ids)) != len(call.subject_ids):
            raise Problem("parameter_invalid", "a subject is there twice", field="subject_ids")
        _require_reason(call.reason)
        waiting = (self._order_one(subject, call, caller) for subject in call.subject_ids)
        return await asyncio.gather(*waiting)

    async def refuse(self, call: DecisionCall, *, caller: Identity) -> ErasureRow:
        """Refuse what a subject has asked for.

        Raises: Problem `subject_unknown`, `subject_erased`, `erasure_decided`, and why it cannot be
        recorded now.
        """
        _require_reason(call.reason)
        self._subject(call.subject_id)
        self._require_received(call.subject_id)
        await self._record(REFUSE, call.subject_id, call.ground, call.reason, caller)
        row = self._erasures.find_of_subject(call.subject_id)
        if row is None or row.state is not ErasureState.REFUSED:
            raise Problem("erasure_decided", "it was decided otherwise in the same moment")
        return row

    async def set_hold(self, call: DecisionCall, *, caller: Identity) -> tuple[Hold, ...]:
        """Keep a subject's data from now on; returns all of its holds.

        Raises: Problem `subject_unknown`, `subject_erased`, `parameter_invalid` for a ground that
        answers one request only, and why it cannot be recorded now.
        """
        _require_reason(call.reason)
        if call.ground not in HOLD_GROUNDS:
            detail = f"{call.ground} answers a request; it is no reason to keep data beforehand"
            raise Problem("parameter_invalid", detail, field="ground")
        self._subject(call.subject_id)
        self._require_not_ordered(call.subject_id)
        await self._record(SET_HOLD, call.subject_id, call.ground, call.reason, caller)
        self._require_not_ordered(call.subject_id)
        return await self._holds_of(call.subject_id)

    async def lift_hold(self, call: DecisionCall, *, caller: Identity) -> tuple[Hold, ...]:
        """End a hold; returns those that are left.

        Raises: Problem `subject_unknown`, `subject_erased`, `hold_unknown`, and why it cannot be
        recorded now.
        """
        _require_reason(call.reason)
        self._subject(call.subject_id)
        if call.ground not in {hold.ground for hold in await self._holds_of(call.subject_id)}:
            raise Problem("hold_unknown", f"no hold on the ground {call.ground}", field="ground")
        await self._record(LIFT_HOLD, call.subject_id, call.ground, call.reason, caller)
        return await self._holds_of(call.subject_id)

    async def revoke_key(self, call: RevokeKeyCall, *, caller: Identity) -> int:
        """Revoke a key of a subject who has lost it, be it the last one; the entry's log index.

        From the answer on the ledger lends no lease in which the key is active, and has told all
        validators. Raises: Problem `subject_unknown`, `subject_erased`, `key_not_active`, and why
        it cannot be recorded now.
        """
        _require_reason(call.reason)
        self._require_active(call)
        return await self._record(
            KEY_REVOKED, call.subject_id, "", call.reason, caller, what=call.kid
        )

    def _require_active(self, call: RevokeKeyCall) -> None:
        keys = self._subject(call.subject_id).keys
        if not any(row.kid == call.kid and not row.revoked for row in keys):
            detail = "the subject has no active key of this kid"
            raise Problem("key_not_active", detail, field="kid")

    def holds_of(self, subject_id: str) -> tuple[Hold, ...]:
        """The holds of a subject; none of one that is not, or no longer, there."""
        with self._store.snapshot() as snapshot:
            subject = self._registry.find(snapshot, subject_id)
            if subject is None:
                return ()
            history = self._holds.history(
                snapshot,
                subject_id=subject_id,
                slot_key=subject.slot_key,
                origin=self._origin,
                keys=self._keys(),
            )
            return history.holds

    async def _holds_of(self, subject_id: str) -> tuple[Hold, ...]:
        """The same, beside the event loop: the first time it is a look at all of its entries."""
        return await asyncio.to_thread(self.holds_of, subject_id)

    async def _order_one(self, subject_id: str, call: OrderCall, caller: Identity) -> Ordered:
        try:
            async with self._at_once:
                row = await self._ordered(subject_id, call, caller)
        except Problem as problem:
            return Ordered(subject_id, b"", problem.code)
        return Ordered(subject_id, row.request_hash)

    async def _ordered(self, subject_id: str, call: OrderCall, caller: Identity) -> ErasureRow:
        self._subject(subject_id)
        self._require_not_ordered(subject_id)
        if await self._holds_of(subject_id):
            raise Problem("subject_on_hold", "lift the hold first")
        await self._record(ORDER, subject_id, call.ground, call.reason, caller)
        row = self._erasures.find_of_subject(subject_id)
        if row is None:
            raise Problem("deadline_exceeded", "it is recorded, and not yet taken up here")
        return row

    async def _record(
        self,
        action: str,
        subject_id: str,
        ground: str,
        reason: str,
        caller: Identity,
        *,
        what: str = "",
    ) -> int:
        """Returns the entry's index once the decision is applied here. Raises: Problem."""
        access = Access(
            subject_id=subject_id,
            action=action,
            caller=caller,
            ground=str(ground),
            reason=reason,
            what=what,
        )
        index = await self._accesses.record(access)
        if not await self._applied_size.reached(index + 1, timeout_s=APPLY_S_MAX):
            detail = f"entry {index} is recorded, and not yet applied here"
            raise Problem("deadline_exceeded", detail, retry_after_s=1)
        return index

    def _subject(self, subject_id: str) -> Subject:
        """Raises: Problem `subject_unknown`, `subject_erased`, `parameter_invalid`,
        `vault_unavailable`."""
        self._require_settled()
        try:
            parse_subject_id(subject_id)
        except SubjectIdInvalidError as error:
            raise Problem("parameter_invalid", str(error), field="subject_id") from None
        with self._store.snapshot() as snapshot:
            subject = self._registry.find(snapshot, subject_id)
        if subject is None:
            self._require_not_ordered(subject_id)
            raise Problem("subject_unknown", "no such subject is registered", field="subject_id")
        return subject

    def _require_not_ordered(self, subject_id: str) -> None:
        row = self._erasures.find_of_subject(subject_id)
        if row is not None and row.state in (ErasureState.ORDERED, ErasureState.ERASED):
            raise Problem("subject_erased", f"its erasure is {row.state}", field="subject_id")

    def _require_received(self, subject_id: str) -> None:
        row = self._erasures.find_of_subject(subject_id)
        if row is None or row.state is not ErasureState.RECEIVED:
            raise Problem("erasure_decided", "nothing that it has asked for is undecided")


def _require_reason(reason: str) -> None:
    check_words(reason, "reason", characters_max=REASON_CHARACTERS_MAX, characters_min=1)
