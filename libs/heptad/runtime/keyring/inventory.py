"""Every key and certificate of a home: whose, for what, how old, and when it is due.

What can be known from the home's files is told for every member, also for those whose private keys
lie elsewhere; only whether a next key signs already is not told without them. Keys of the genesis
have no date of their own: they are as old as the cell's CA, which was made with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from heptad.crypto.jwk import public_key
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.crypto.signatures import Algorithm
from heptad.runtime.config.cell import Cell, RelyingService, ValidatorMember
from heptad.runtime.config.dated_keys import LaterKey
from heptad.runtime.config.dates import parse_date
from heptad.runtime.config.files import PROFILE_FILE, load_cell, load_profile
from heptad.runtime.config.key_ages import KeyAges
from heptad.runtime.keyring.certificates import folder_of, holders, validity
from heptad.runtime.pki import BACKDATE
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE


class KeyState(StrEnum):
    """Where a key stands: not in use yet, in use, or kept only to check what it signed."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class KeyFact:
    """One key or certificate. Times are UTC; `due` is None for what does not become due by age."""

    holder: str
    duty: str
    state: KeyState
    # Of the public half: enough to tell two apart. Empty for what has none.
    key_id: str
    created: datetime | None
    due: datetime | None
    # What becomes of it when it is due, or why it does not become due.
    remark: str = ""

    def is_overdue(self, now: datetime) -> bool:
        """Whether somebody should have acted by now."""
        return self.due is not None and now >= self.due


@dataclass(frozen=True, slots=True)
class _Chain:
    """Keys of one duty, each of which took over from the one before."""

    holder: str
    duty: KeyRole
    keys: Sequence[bytes]
    created: Sequence[datetime]
    # How many of the last may sign: two while they overlap.
    in_use: int
    age: timedelta
    overlap: timedelta

    def facts(self) -> Iterator[KeyFact]:
        """One for each key, oldest first."""
        last = len(self.keys) - 1
        for place, (key, created) in enumerate(zip(self.keys, self.created, strict=True)):
            state, due, remark = KeyState.RETIRED, None, "checks what it signed"
            if place == last and self.in_use > 1:
                state, due, remark = KeyState.NEXT, created + self.overlap, "--finish it"
            elif place > last - self.in_use:
                state, due, remark = KeyState.CURRENT, created + self.age, "rotate it"
            yield KeyFact(self.holder, self.duty, state, _short(key), created, due, remark)


def inventory(home: Path, *, ages: KeyAges) -> list[KeyFact]:
    """All of the home's keys and certificates, but for those inside of the vault.

    Raises: ConfigInvalidError, HomeRefusedError, KeyFileError, OSError.
    """
    cell = load_cell(home)
    began = validity(home / "pki" / CA_FILE).begins + BACKDATE
    facts = [*_replica_facts(cell, began)]
    for validator in cell.validators:
        facts += _validator_chain(home, validator, began, ages).facts()
    for chain in _ledger_chains(home, cell, began, ages):
        facts += chain.facts()
    for service in cell.services:
        facts += _service_facts(service, _used_kid(home, service.id), began, ages)
    return [*facts, *_certificate_facts(home, ages)]


def _replica_facts(cell: Cell, began: datetime) -> Iterator[KeyFact]:
    for replica in cell.replicas:
        for duty, key in ((KeyRole.VOTE, replica.vote_key), (KeyRole.COSIGN, replica.cosign_key)):
            remark = "changes with the membership only"
            yield KeyFact(
                replica.id, duty, KeyState.CURRENT, _short(key), began, due=None, remark=remark
            )


def _validator_chain(
    home: Path, validator: ValidatorMember, began: datetime, ages: KeyAges
) -> _Chain:
    later = validator.later_batch_keys
    keys = (validator.batch_key, *(each.key for each in later))
    own = _own_key(home, validator.id, KeyRole.BATCH)
    return _Chain(
        holder=validator.id,
        duty=KeyRole.BATCH,
        keys=keys,
        created=(began, *(parse_date(each.since) for each in later)),
        in_use=2 if own in keys[:-1] else 1,
        age=timedelta(days=ages.batch_days_max),
        overlap=timedelta(days=ages.overlap_days_max),
    )


def _ledger_chains(home: Path, cell: Cell, began: datetime, ages: KeyAges) -> Iterator[_Chain]:
    ledger = cell.ledger
    duties = (
        (KeyRole.LOG, ledger.log_key, ledger.later_log_keys, ages.log_days_max),
        (
            KeyRole.ATTESTATION,
            ledger.attestation_key,
            ledger.later_attestation_keys,
            ages.attestation_days_max,
        ),
    )
    for duty, first, later, days in duties:
        yield _Chain(
            holder=ledger.id,
            duty=duty,
            keys=(first, *(each.key for each in later)),
            created=(began, *(parse_date(each.since) for each in later)),
            in_use=_in_use(later),
            age=timedelta(days=days),
            overlap=timedelta(days=ages.overlap_days_max),
        )


def _in_use(later: Sequence[LaterKey]) -> int:
    return 2 if later and not later[-1].alone_since else 1


def _service_facts(
    service: RelyingService, used: str, began: datetime, ages: KeyAges
) -> Iterator[KeyFact]:
    """One for each key; `used` is the one that its profile signs with, if that is known here."""
    in_use = [key.kid for key in service.keys if not key.retired]
    used = used if used in in_use else "".join(in_use[-1:])
    dates = {key.kid: parse_date(key.since) if key.since else began for key in service.keys}
    for key in service.keys:
        created = dates[key.kid]
        state, due, remark = KeyState.RETIRED, None, "checks what it signed"
        if not key.retired:
            place, used_place = in_use.index(key.kid), in_use.index(used)
            overlap_end = max(created, dates[used]) + timedelta(days=ages.overlap_days_max)
            if place == used_place:
                state, due = KeyState.CURRENT, created + timedelta(days=ages.service_days_max)
                remark = "rotate it"
            elif place > used_place:
                state, due, remark = KeyState.NEXT, overlap_end, "--use it"
            else:
                state, due, remark = KeyState.CURRENT, overlap_end, "replaced: --finish it"
        yield KeyFact(service.id, "signing", state, key.kid[:16], created, due, remark)


def _certificate_facts(home: Path, ages: KeyAges) -> Iterator[KeyFact]:
    paths = [("CA", home / "pki" / CA_FILE, ages.ca_days_left_min)]
    paths += [
        (name, folder_of(home, name) / CERTIFICATE_FILE, ages.tls_days_left_min)
        for name in holders(home)
    ]
    for holder, path, days in paths:
        term = validity(path)
        yield KeyFact(
            holder,
            "tls",
            KeyState.CURRENT,
            "",
            term.begins + BACKDATE,
            term.ends - timedelta(days=days),
            f"ends {term.ends:%Y-%m-%d}",
        )


def _used_kid(home: Path, service: str) -> str:
    folder = home / "clients" / service
    return load_profile(folder).signing_kid if (folder / PROFILE_FILE).is_file() else ""


def _own_key(home: Path, name: str, duty: KeyRole) -> bytes | None:
    """The public half of the private key in use, if that lies in this home."""
    path = home / name / "keys" / duty.file_name
    return load_service_key(path).public_key if path.is_file() else None


def _short(raw: bytes) -> str:
    return public_key(Algorithm.EDDSA, raw).kid[:16]
