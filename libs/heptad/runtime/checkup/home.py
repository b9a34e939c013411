"""The files of a home: read against each other, and against what they must not be."""

import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from heptad.crypto.errors import KeyFileError
from heptad.crypto.keys import KeyRole, load_service_key
from heptad.runtime.checkup.findings import Finding, fail, ok, warn
from heptad.runtime.config.cell import Cell
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.genesis import DUTIES, POLICY_FILE
from heptad.runtime.identity import Role
from heptad.runtime.mesh import listeners_of, members_here
from heptad.runtime.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from heptad.runtime.vkeys import cell_policy

EXPIRES_DAYS_MIN: Final = 30
"""A certificate that has less left is warned of."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_home(home: Path, cell: Cell, *, now: datetime) -> Iterator[Finding]:
    """Configuration, policy, keys and certificates of the members whose folders are here."""
    here = members_here(home, cell)
    yield _configuration(home, cell, here)
    yield _policy(home, cell)
    yield from _private_files(home, here)
    yield from _certificates(home, here, now)


def _configuration(home: Path, cell: Cell, here: list[str]) -> Finding:
    try:
        listeners = listeners_of(home, cell, members=here)
    except ConfigInvalidError as error:
        return fail("configuration", "; ".join(error.mistakes), "correct the files that are named")
    return ok(
        "configuration", f"cell.toml and {len(here)} config.toml read, {len(listeners)} listeners"
    )


def _policy(home: Path, cell: Cell) -> Finding:
    """The file that auditors are given must be that of this cell."""
    wanted = cell_policy(cell).format()
    try:
        found = (home / POLICY_FILE).read_bytes()
    except OSError as error:
        return fail(
            "policy", f"{POLICY_FILE}: {error.strerror}", "bring it back: cell.toml has its keys"
        )
    if found != wanted:
        return warn(
            "policy",
            "the file policy is not the one that cell.toml leads to",
            "find out which of the two is right before anybody is given either",
        )
    return ok("policy", "names the log and the replicas of cell.toml")


def _private_files(home: Path, here: list[str]) -> Iterator[Finding]:
    """Private keys are readable by their owner alone, and can be read."""
    count, open_to_others = 0, []
    for name in here:
        duties = DUTIES[Role(name.rpartition("-")[0])]
        paths = [home / name / KEY_FILE, *(home / name / "keys" / d.file_name for d in duties)]
        for path in paths:
            if not path.exists():
                yield fail(
                    "keys",
                    f"{path.relative_to(home)} is missing",
                    "bring it back from where keys are kept",
                )
                continue
            count += 1
            if path.stat().st_mode & _OTHERS:
                open_to_others.append(str(path.relative_to(home)))
        yield from _unreadable(home, name, duties)
    if open_to_others:
        listed = ", ".join(open_to_others[:5])
        yield fail("keys", f"readable by others: {listed}", "chmod 600, and ask who has read them")
    elif count:
        yield ok("keys", f"{count} private keys, each for its owner alone")


def _unreadable(home: Path, name: str, duties: tuple[KeyRole, ...]) -> Iterator[Finding]:
    for duty in duties:
        path = home / name / "keys" / duty.file_name
        if path.exists() and not path.stat().st_mode & _OTHERS:
            try:
                load_service_key(path)
            except (KeyFileError, OSError) as error:
                yield fail(
                    "keys", f"{path.relative_to(home)}: {error}", "bring back the right file"
                )


def _certificates(home: Path, here: list[str], now: datetime) -> Iterator[Finding]:
    """How long TLS certificates last, the CA's own included."""
    left_days = {}
    for name, path in [("the CA", home / "pki" / CA_FILE)] + [
        (name, home / name / CERTIFICATE_FILE) for name in here
    ]:
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            yield fail("certificates", f"{path.relative_to(home)}: {error}", "issue it anew")
            continue
        left_days[name] = (certificate.not_valid_after_utc - now).days
    for name, days in left_days.items():
        if days < 0:
            yield fail(
                "certificates",
                f"that of {name} has expired",
                "issue a new one; nobody speaks with it",
            )
        elif days < EXPIRES_DAYS_MIN:
            yield warn(
                "certificates",
                f"that of {name} expires in {days} days",
                "issue a new one before that",
            )
    if left_days and min(left_days.values()) >= EXPIRES_DAYS_MIN:
        soonest = min(left_days, key=left_days.__getitem__)
        yield ok(
            "certificates",
            f"{len(left_days)}; first expires that of {soonest}, in {left_days[soonest]} days",
        )
