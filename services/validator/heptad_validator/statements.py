"""Public statements of the cell's own parts: what they may say, and saying it once.

Which role may say what is a table, closed by default: an entry of these kinds has no signed request
behind it, so the caller's certificate is all that speaks for it. The same statement within five
minutes is the same entry: a ledger that lost an answer simply asks again.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from heptad.crypto.erasures import parse_certificate, parse_order, parse_refusal
from heptad.model.answers import RequestState
from heptad.model.entry import Kind, Outcome
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad.wire.convert.entry_facts import decode_duplicate, decode_policy_change
from heptad_validator.clock import Clock
from heptad_validator.dispatching.dispatcher import Dispatcher
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.recording import Recorder
from heptad_validator.sinks import wait_for_commit
from heptad_validator.tickets import Ticket

ALLOWED_KINDS: Final[Mapping[Role, frozenset[Kind]]] = {
    Role.LEDGER: frozenset(
        {
            Kind.DUPLICATE,
            Kind.ERASURE_ORDERED,
            Kind.ERASED,
            Kind.ERASURE_REFUSED,
            Kind.POLICY_CHANGE,
        }
    )
}

STATEMENT_BYTES_MAX: Final = 16 << 10
REMEMBERED_S: Final = 300

_ATTESTED: Final[Mapping[Kind, Callable[[bytes], object]]] = {
    Kind.ERASURE_ORDERED: parse_order,
    Kind.ERASED: parse_certificate,
    Kind.ERASURE_REFUSED: parse_refusal,
}
"""What the ledger's attestation key signs. Here only the form is checked: what it is worth, ledger
and verifiers decide by the signature, which a validator could leave out anyway."""

_DOMAIN: Final = b"heptad/v1/statement-name\0"


class Statements:
    """Records statements; each is known by the hash of its kind and bytes."""

    def __init__(
        self,
        *,
        clock: Clock,
        window: ReplayWindow,
        recorder: Recorder,
        dispatcher: Dispatcher,
    ) -> None:
        self._clock = clock
        self._window = window
        self._recorder = recorder
        self._dispatcher = dispatcher

    async def record(
        self, kind: Kind, statement: bytes, *, caller: Identity, patience_s: float
    ) -> int:
        """The log index of the statement's entry.

        Raises: Problem `role_refused`, `parameter_invalid`, `deadline_exceeded` if the commit does
        not come in time (asking again is safe), and what `Dispatcher.require_room` raises.
        """
        check_statement(kind, statement, role=caller.role)
        name = sha256(_DOMAIN + kind.to_bytes(4, "big") + statement).digest()
        ticket = self._window.find(name) or self._admit(kind, statement, name)
        await wait_for_commit(ticket, timeout_s=patience_s)
        if ticket.state is not RequestState.COMMITTED:
            raise Problem("deadline_exceeded", "the statement is not committed yet")
        return ticket.index

    def _admit(self, kind: Kind, statement: bytes, name: bytes) -> Ticket:
        self._dispatcher.require_room()
        now_ms = self._clock.now_ms()
        ticket = Ticket(
            request_id=name,
            claims_digest=name,
            exp_s=now_ms // 1000 + REMEMBERED_S,
            time_ms=now_ms,
            outcome=Outcome.NONE,
        )
        self._window.add(ticket)
        self._dispatcher.add(self._recorder.statement(kind, statement, time_ms=now_ms), ticket)
        return ticket


def check_statement(kind: Kind, statement: bytes, *, role: Role) -> None:
    """Refuse what this role may not say, and what is not of its kind's form.

    Raises: Problem `role_refused`, `parameter_invalid`, `frame_malformed`.
    """
    if kind not in ALLOWED_KINDS.get(role, frozenset()):
        raise Problem("role_refused", f"a {role} may not record a statement of kind {kind.name}")
    if len(statement) > STATEMENT_BYTES_MAX:
        detail = f"a statement of {len(statement)} bytes; the limit is {STATEMENT_BYTES_MAX}"
        raise Problem("parameter_invalid", detail, field="statement")
    if kind in _ATTESTED:
        _check_attested(kind, statement)
    elif kind is Kind.DUPLICATE:
        index, first_index = decode_duplicate(statement)
        if first_index >= index:
            raise Problem(
                "parameter_invalid",
                f"index {index} cannot be a later copy of {first_index}",
                field="statement",
            )
    if kind is Kind.POLICY_CHANGE:
        decode_policy_change(statement)


def _check_attested(kind: Kind, statement: bytes) -> None:
    """Raises: Problem `parameter_invalid`."""
    try:
        _ATTESTED[kind](statement)
    except Problem as problem:
        detail = f"no {kind.name} in its form: {problem.detail}"
        raise Problem("parameter_invalid", detail, field="statement") from problem
