"""The history of a subject's keys: what each entry changes, by rules that all who read share.

A ledger derives its registry from the log; a validator believes no ledger, and walks the same
entries again over the evidence in a lease. Both take each step by the functions below, so what the
one makes of the log is what the other proves.

    a registration begins the history, with the key that signed it
    KEY_ADDED    signed by a key that is active here; brings a key that was never there
    KEY_REVOKED  signed by a key that is active here; ends a key that is active here
    ACCESS       an officer's `key.revoked`, signed by the ledger's attestation key; the same

A key that was revoked never comes back: an old request to add it, recorded once more by somebody
who has kept it, changes nothing. That a subject must not revoke its last key is no rule of the
history: a door refuses it, to keep somebody from a mistake, but a revocation that was signed and is
in the log always counts. What breaks a rule stays a leaf of the log and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from heptad.crypto.accesses import SignedAccess, parse_access, verify_access
from heptad.crypto.device_keys import read_revocation, verify_addition
from heptad.crypto.jwk import PublicKey
from heptad.crypto.registry_rows import KeyRow
from heptad.crypto.requests import SignedRequest, parse_request, verify_request
from heptad.crypto.sealing import Opened, commitment
from heptad.model.access import KEY_REVOKED
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.own_actions import OWN_SERVICE
from heptad.model.problems import Problem

KEYS_MAX: Final = 64
"""Keys of one subject in all its life: each stays in the history that proves the later ones."""

LATE_S_MAX: Final = 300
"""How long after its `exp` a request to add a key may have been admitted, by its entry's time.

Nobody honest comes near it. Whoever holds such a request back, to add a key when its owner has long
given it up, has to lie about the time in public.
"""

KEY_KINDS: Final = frozenset({Kind.KEY_ADDED, Kind.KEY_REVOKED})
"""Kinds of the changes that a subject asks for by itself."""


class KeyChangeRefusedError(Exception):
    """An entry changes no key; its leaf stays. The message holds no personal data."""


@dataclass(frozen=True, slots=True)
class KeyStep:
    """What a change does: it adds a key, or revokes the one of `revoked_kid`.

    `signer_kid` is the key that must be active for it: one of the subject's, or, where the change
    is `by_officer`, an attestation key of the ledger.
    """

    signer_kid: str
    added: PublicKey | None = None
    revoked_kid: str = ""
    by_officer: bool = False


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A change as its entry and record say it; the record's signature is not verified yet."""

    subject_id: str = field(repr=False)
    step: KeyStep
    signed: SignedRequest | SignedAccess

    def verify(self, signer: PublicKey) -> None:
        """Prove that the key has signed it whose kid it names. Raises: KeyChangeRefusedError."""
        if signer.kid != self.step.signer_kid:
            raise KeyChangeRefusedError("signed by another key than it names")
        try:
            if isinstance(self.signed, SignedAccess):
                verify_access(self.signed, signer)
            else:
                verify_request(self.signed, signer)
        except Problem as problem:
            raise KeyChangeRefusedError(f"the signature: {problem.code}") from None


def is_key_change(kind: int, entry: bytes) -> bool:
    """Whether an entry may change keys, as far as its bytes tell without reading them."""
    return kind in KEY_KINDS or (kind == Kind.ACCESS and KEY_REVOKED.encode() in entry)


def read_change(entry: Entry, opened: Opened, *, origin: str) -> KeyChange:
    """What an entry changes, with the new key's proof verified where one is added.

    The entry must commit to the record, and say of it in public what was signed.
    Raises: KeyChangeRefusedError.
    """
    if entry.commitment != commitment(witness=opened.witness, payload=opened.payload):
        raise KeyChangeRefusedError("the entry commits to something else")
    try:
        if entry.kind is Kind.ACCESS:
            return _officers_change(entry, opened, origin)
        return _subjects_change(entry, opened, origin)
    except Problem as problem:
        raise KeyChangeRefusedError(f"the record: {problem.code}") from None


def changed(rows: Sequence[KeyRow], step: KeyStep, *, index: int) -> tuple[KeyRow, ...]:
    """A subject's keys after the change at log index `index`. Raises: KeyChangeRefusedError."""
    active = {row.kid for row in rows if not row.revoked}
    if not step.by_officer and step.signer_kid not in active:
        raise KeyChangeRefusedError("signed by a key that is not active")
    if rows and index <= max(row.changed_at for row in rows):
        raise KeyChangeRefusedError("a change before one that was made already")
    if step.added is None:
        if step.revoked_kid not in active:
            raise KeyChangeRefusedError("revokes a key that is not active")
        return tuple(
            replace(row, revoked_at=index) if row.kid == step.revoked_kid else row for row in rows
        )
    if any(row.kid == step.added.kid for row in rows):
        raise KeyChangeRefusedError("adds a key that was there before")
    if len(rows) >= KEYS_MAX:
        raise KeyChangeRefusedError(f"adds a key to {len(rows)}, which is as many as there may be")
    return (*rows, KeyRow(step.added.kid, index))


def _subjects_change(entry: Entry, opened: Opened, origin: str) -> KeyChange:
    if entry.kind not in KEY_KINDS or entry.outcome is not Outcome.ALLOWED:
        raise KeyChangeRefusedError(f"an entry {entry.kind.name}, {entry.outcome.name}")
    request = parse_request(opened.payload)
    _require_said(entry, (request.svc, request.act), origin, request.aud)
    if entry.kind is Kind.KEY_REVOKED:
        step = KeyStep(request.kid, revoked_kid=read_revocation(request))
    elif entry.time_ms > (request.exp + LATE_S_MAX) * 1000:
        raise KeyChangeRefusedError("admitted long after the request was over")
    else:
        step = KeyStep(request.kid, added=verify_addition(request))
    return KeyChange(request.iss, step, request)


def _officers_change(entry: Entry, opened: Opened, origin: str) -> KeyChange:
    signed = parse_access(opened.payload)
    said = signed.record
    _require_said(entry, (OWN_SERVICE, said.action), origin, said.origin)
    if said.action != KEY_REVOKED:
        raise KeyChangeRefusedError("an access that changes no key")
    step = KeyStep(signed.kid, revoked_kid=said.what, by_officer=True)
    return KeyChange(said.subject_id, step, signed)


def _require_said(entry: Entry, said: tuple[str, str], origin: str, audience: str) -> None:
    """Raises: KeyChangeRefusedError unless it was signed for this cell and as the entry says."""
    if audience != origin:
        raise KeyChangeRefusedError("it is for another cell")
    if (entry.service, entry.action) != said:
        raise KeyChangeRefusedError("the entry names another service or action than was signed")
