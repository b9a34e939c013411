"""A bundle: its sizes, its service and key, its events, and that these are those signed.

One bad event refuses the whole bundle, and the refusal names it by its place (`events[3].subject`):
never by its subject or by anything else that it says.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Final

from heptad.crypto.bundles import ServiceKey, SignedBundle, bundle_root
from heptad.crypto.errors import AlgorithmRefusedError
from heptad.crypto.jwk import PublicKey
from heptad.model.bundles import (
    EVENTS_MAX,
    PAYLOAD_BYTES_MAX,
    STATEMENT_BYTES_MAX,
    WITNESS_BYTES,
    PrivateEvent,
    PublicEvent,
    event_bytes,
    event_leaves,
)
from heptad.model.entry import Outcome
from heptad.model.own_actions import RESERVED_ACTIONS
from heptad.model.problems import Problem
from heptad.model.subjects import SubjectIdInvalidError, cell_code_of, parse_subject_id

TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999."""

_OUTCOMES: Final = frozenset({Outcome.ALLOWED, Outcome.DENIED})


def check_sizes(
    statement: bytes, events: Sequence[PrivateEvent], *, events_max: int, bytes_max: int
) -> None:
    """What would not fit one batch is not even looked at; payloads and statement have limits too.

    `events_max` and `bytes_max` are what a batch of this cell holds.
    Raises: Problem `bundle_too_large`.
    """
    if len(statement) > STATEMENT_BYTES_MAX:
        detail = f"a statement of {len(statement)} bytes; the limit is {STATEMENT_BYTES_MAX}"
        raise Problem("bundle_too_large", detail, field="statement")
    events_max = min(events_max, EVENTS_MAX)
    if len(events) > events_max:
        detail = f"{len(events)} events; the limit is {events_max}"
        raise Problem("bundle_too_large", detail, field="events")
    for place, event in enumerate(events):
        if len(event.payload) > PAYLOAD_BYTES_MAX:
            detail = f"a payload of {len(event.payload)} bytes; the limit is {PAYLOAD_BYTES_MAX}"
            raise Problem("bundle_too_large", detail, field=f"events[{place}].payload")
    size = sum(map(event_bytes, events))
    if size > bytes_max:
        detail = f"the events take {size} bytes of a batch; the limit is {bytes_max}"
        raise Problem("bundle_too_large", detail, field="events")


def check_count(statement: SignedBundle, events: Sequence[PrivateEvent]) -> None:
    """Raises: Problem `bundle_mismatch` unless there are as many events as were signed."""
    if statement.count != len(events):
        detail = f"{len(events)} events, the statement says {statement.count}"
        raise Problem("bundle_mismatch", detail, field="events")


def check_service_key(
    statement: SignedBundle, *, keys: Mapping[str, Mapping[str, ServiceKey]]
) -> PublicKey:
    """The key that must have signed the statement; `keys` are by service and key id.

    Raises: Problem `service_unknown`, `key_unknown`, `algorithm_refused`, `service_key_retired`.
    """
    known = keys.get(statement.iss)
    if known is None:
        raise Problem("service_unknown", "iss is not a service of this cell", field="iss")
    key = known.get(statement.kid)
    if key is None:
        raise Problem("key_unknown", "the service has no key of this kid", field="kid")
    algorithm = key.public.algorithm
    if statement.algorithm is not algorithm:
        detail = f"alg is {statement.algorithm.value}, the service's key has {algorithm.value}"
        raise AlgorithmRefusedError(detail, field="alg")
    key.require_in_use(statement.iat)
    return key.public


def check_events(events: Sequence[PrivateEvent], *, cell_code: str, time_ms_max: int) -> None:
    """What each event says must be sayable; `time_ms_max` is the latest that it may have happened.

    How old an event is, is the service's business: one that was off line tells it later.
    Raises: Problem `event_invalid`, `event_subject_unknown`.
    """
    latest_ms = min(time_ms_max, TIME_MS_MAX)
    # A subject may be in many events, and an id is checked once.
    known: set[str] = set()
    for place, event in enumerate(events):
        if len(event.witness) != WITNESS_BYTES:
            detail = f"a witness has {WITNESS_BYTES} bytes, not {len(event.witness)}"
            raise _invalid(place, "witness", detail)
        if event.outcome not in _OUTCOMES:
            raise _invalid(place, "outcome", "the outcome is neither allowed nor denied")
        if not 0 < event.time_ms <= latest_ms:
            detail = "the time lies before 1970 or after the bundle was signed"
            raise _invalid(place, "time_ms", detail)
        if event.subject not in known:
            check_event_subject(event.subject, place, cell_code=cell_code)
            known.add(event.subject)
    _check_witnesses(events)


def check_event_subject(subject: str, place: int, *, cell_code: str) -> None:
    """Refuse what cannot be a subject of this cell, before anybody is asked about it.

    Raises: Problem `event_subject_unknown`.
    """
    try:
        is_ours = cell_code_of(parse_subject_id(subject)) == cell_code
    except SubjectIdInvalidError:
        is_ours = False
    if not is_ours:
        raise subject_unknown(place)


def check_actions(events: Sequence[PrivateEvent], *, allowed: Container[str]) -> None:
    """Raises: Problem `action_not_allowed` if the service's policy lacks the action of one."""
    for place, event in enumerate(events):
        if event.action not in allowed or event.action in RESERVED_ACTIONS:
            detail = "this service may not record this action"
            raise Problem("action_not_allowed", detail, field=f"events[{place}].action")


def check_root(statement: SignedBundle, events: Sequence[PublicEvent]) -> None:
    """Raises: Problem `bundle_mismatch` unless the statement was signed over these events."""
    if bundle_root(event_leaves(events, service=statement.iss)) != statement.root:
        detail = "the root of these events is not the root that was signed"
        raise Problem("bundle_mismatch", detail, field="root")


def subject_unknown(place: int) -> Problem:
    """The refusal of a bundle for the subject of one event."""
    detail = "no such subject is registered in this cell"
    return Problem("event_subject_unknown", detail, field=f"events[{place}].subject")


def _check_witnesses(events: Sequence[PrivateEvent]) -> None:
    """One witness must never serve two events: equal payloads would show as equal commitments."""
    if len({event.witness for event in events}) == len(events):
        return
    seen: set[bytes] = set()
    for place, event in enumerate(events):
        if event.witness in seen:
            raise _invalid(place, "witness", "another event of the bundle has the same witness")
        seen.add(event.witness)


def _invalid(place: int, name: str, detail: str) -> Problem:
    return Problem("event_invalid", detail, field=f"events[{place}].{name}")
