"""A relying service's signing key: named, used, and the others retired by a date.

A service may have several at once, so nothing has to happen at one moment. The public half may be
made by the service itself, wherever it runs, and be brought as a JWK: then there is no profile of
it in this home, and using the key is its own business.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import PublicKey, jwk_of, parse_jwk
from heptad.crypto.keys import Ed25519Key, load_key, save_key
from heptad.runtime.config.cell import Cell, RelyingService
from heptad.runtime.config.dated_keys import ServiceKey
from heptad.runtime.config.files import PROFILE_FILE, load_cell, load_profile, write_config
from heptad.runtime.disk import remove
from heptad.runtime.errors import ConfigInvalidError, HomeRefusedError
from heptad.runtime.keyring.cell_file import revise
from heptad.runtime.keyring.steps import Step

NEXT_FILE: Final = "signing.next.pem"


def start(
    home: Path, name: str, *, since: str, brought: Mapping[str, object] | None = None
) -> Step:
    """Make the next key of service `name`, or take the public JWK that it brought, and name it.

    `since` is now, as a date. Raises: HomeRefusedError if it has no profile in this home, and for a
    JWK that is none; KeyFileError, ConfigInvalidError.
    """
    _service(load_cell(home), name)
    key, is_new = (_parsed(brought), False) if brought else _made(_folder(home, name))

    def named(cell: Cell) -> Cell:
        service = _service(cell, name)
        if key.kid in [each.kid for each in service.keys]:
            return cell
        added = written(key, since=since)
        return _with_service(cell, replace(service, keys=(*service.keys, added)))

    is_written = revise(home, named)
    cell = load_cell(home)
    return Step(
        facts=(f"{name}: the key {key.kid} is named",),
        restart=(*(validator.id for validator in cell.validators), cell.ledger.id),
        elsewhere=(
            f"{name} signs with {key.kid} only once every validator goes by the new cell.toml",
        ),
        is_news=is_new or is_written,
    )


def use(home: Path, name: str) -> Step:
    """Let the profile in this home sign with the next key; nothing if there is none.

    The profile names key and key id in one file, so whoever reads it has both of one time.
    Raises: HomeRefusedError if the key is not named yet; KeyFileError, ConfigInvalidError, OSError.
    """
    folder = _folder(home, name)
    profile = load_profile(folder)
    path = folder / NEXT_FILE
    if not path.exists():
        return Step(facts=(), restart=(), is_news=False)
    key = load_key(path).public
    service = _service(load_cell(home), name)
    if key.kid not in [each.kid for each in service.keys]:
        raise HomeRefusedError(f"{name}: the next key is not named yet; --start does that")
    own_name = f"signing-{len(service.keys)}.pem"
    if not (folder / own_name).exists():
        save_key(folder / own_name, load_key(path))
    changed = replace(profile, signing_key=own_name, signing_kid=key.kid)
    head = f"{name}, a client of {profile.origin}"
    write_config(changed, folder / PROFILE_FILE, head=head)
    remove(path)
    return Step(
        facts=(f"{name}: its profile signs with {key.kid}",),
        restart=(),
        by_hand=(f"{name} reads its profile again (is started anew) before --finish",),
    )


def finish(home: Path, name: str, *, at: str) -> Step:
    """Retire all keys of service `name` but the newest, from `at` on, a date.

    Private halves of retired keys that lie in its profile's folder are removed.
    Raises: HomeRefusedError if it has but one key, or its profile does not use the newest yet.
    """
    service = _service(load_cell(home), name)
    folder = home / "clients" / name
    newest = service.keys[-1].kid if service.keys else ""
    if (folder / PROFILE_FILE).is_file():
        kid = load_profile(folder).signing_kid
        if (folder / NEXT_FILE).exists() or kid not in ("", newest):
            raise HomeRefusedError(f"{name}: its profile does not sign with {newest} yet; --use")

    def retired(cell: Cell) -> Cell:
        own = _service(cell, name)
        keys = (
            each if each.retired or each.kid == newest else replace(each, retired=at)
            for each in own.keys
        )
        return _with_service(cell, replace(own, keys=tuple(keys)))

    is_written = revise(home, retired)
    _remove_retired(home, name)
    cell = load_cell(home)
    return Step(
        facts=(f"{name}: signs with {newest} alone; what others sign is refused",),
        restart=(*(validator.id for validator in cell.validators), cell.ledger.id),
        is_news=is_written,
    )


def written(key: PublicKey, *, since: str = "") -> ServiceKey:
    """The key as `cell.toml` writes it."""
    members = jwk_of(key)
    return ServiceKey(
        kid=key.kid,
        kty=members["kty"],
        crv=members["crv"],
        x=members["x"],
        y=members.get("y", ""),
        since=since,
    )


def _made(folder: Path) -> tuple[PublicKey, bool]:
    path = folder / NEXT_FILE
    if path.exists():
        return load_key(path).public, False
    key = Ed25519Key.generate()
    save_key(path, key)
    return key.public, True


def _parsed(brought: Mapping[str, object]) -> PublicKey:
    members = {name: value for name, value in brought.items() if name != "kid"}
    try:
        return parse_jwk(members)
    except KeyInvalidError as error:
        raise ConfigInvalidError((f"the JWK: {error.detail}",)) from error


def _remove_retired(home: Path, name: str) -> None:
    folder = home / "clients" / name
    if not (folder / PROFILE_FILE).is_file():
        return
    used = load_profile(folder).signing_key
    retired = {key.kid for key in _service(load_cell(home), name).keys if key.retired}
    for path in folder.glob("signing*.pem"):
        if path.name != used and load_key(path).public.kid in retired:
            remove(path)


def _folder(home: Path, name: str) -> Path:
    folder = home / "clients" / name
    if not (folder / PROFILE_FILE).is_file():
        reason = f"{folder} is no profile: bring the public key of {name} with --jwk"
        raise HomeRefusedError(reason)
    return folder


def _service(cell: Cell, name: str) -> RelyingService:
    try:
        return cell.service(name)
    except KeyError:
        raise HomeRefusedError(f"{cell.origin} has no service {name!r}") from None


def _with_service(cell: Cell, changed: RelyingService) -> Cell:
    services = (changed if each.id == changed.id else each for each in cell.services)
    return replace(cell, services=tuple(services))
