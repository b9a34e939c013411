"""`heptad subject-key …`: the keys of a subject, one for each device.

Two keys sign when one is added: one that the subject has, and the new one, for itself. Where both
lie on one machine, `add --new` does it at once. Where they do not, the new device writes an offer
(`offer`), which holds no secret, and the old one takes it (`add --offer`).

`rotate` can be run again after it broke off anywhere: what is done already is not done twice.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.keygen import Algorithm
from heptad.cli.request_options import AsJson, KeyPath, Url, load_key
from heptad.model.problems import Problem

if TYPE_CHECKING:
    from heptad.cli.subject_file import SubjectFile
    from heptad.crypto.keys import Ed25519Key, P256Key

app = typer.Typer(no_args_is_help=True)

COMMIT_S_MAX: Final = 30.0
_NEWS_S_MAX: Final = 10.0
"""How long a new key may be unknown to a validator that has not heard of it yet."""
_PAUSE_S: Final = 0.25

NewPath: TypeAlias = Annotated[
    Path | None, typer.Option("--new", help="Private key to add, as `heptad keygen` writes it.")
]


@app.command()
def add(
    *,
    key: KeyPath,
    new: NewPath = None,
    offer: Annotated[
        str, typer.Option(help="Offer of another device to add; - reads standard input.")
    ] = "",
    url: Url = URL_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Add a key: of a device at hand (--new), or one that another device offers (--offer).

    Whose key it is then is kept beside the new one (`phone.subject` for `phone.jwk`).
    """
    with told(as_json=as_json):
        from heptad.client.signing import sign_added_key

        subject = _subject(key, as_json=as_json)
        if (new is None) is not bool(offer):
            fail("name either --new or --offer", status=EXIT_USAGE, as_json=as_json)
        if new is None:
            signed, kid = _signed_offer(key, subject, offer, as_json=as_json)
        else:
            new_key = load_key(new, as_json=as_json)
            kid = new_key.public.kid
            signed = sign_added_key(
                load_key(key, as_json=as_json),
                new_key,
                subject=subject.subject_id,
                audience=subject.origin,
            )
        members = _committed(GatewayHttp(url), signed)
        if new is not None:
            _save_subject(new, subject, kid)
    _print({"added": kid, **_recorded(members)}, as_json=as_json)


@app.command()
def offer(
    *,
    key: KeyPath,
    subject: Annotated[str, typer.Option(help="Id of the subject that is to have this key.")],
    audience: Annotated[str, typer.Option(help="Origin of the cell.")],
) -> None:
    """Print what another device needs to add this key: the public half, and its own signature.

    It holds no secret, and is good for one request of one subject. Whose the key is to be is kept
    beside it (`phone.subject` for `phone.jwk`).
    """
    with told(as_json=False):
        from heptad.cli.subject_file import SubjectFile
        from heptad.crypto.device_keys import addition_data, sign_key_proof

        private = load_key(key, as_json=False)
        jti = str(uuid.uuid4())
        proof = sign_key_proof(private, iss=subject, aud=audience, jti=jti)
        _save_subject(key, SubjectFile(subject, audience, ""), private.public.kid)
        print(json.dumps({"jti": jti, "data": addition_data(private.public, proof)}))


@app.command()
def revoke(
    *,
    key: KeyPath,
    kid: Annotated[str, typer.Option(help="Thumbprint of the key that may sign no more.")],
    url: Url = URL_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Revoke a key, by any active key of the subject: from then on no validator takes it."""
    with told(as_json=as_json):
        subject, private = _subject(key, as_json=as_json), load_key(key, as_json=as_json)
        members = _committed(GatewayHttp(url), _revocation(private, subject, kid))
    _print({"revoked": kid, **_recorded(members)}, as_json=as_json)


@app.command(name="revoke-lost")
def revoke_lost(
    *,
    profile: Annotated[Path, typer.Option(help="Folder of an officer's profile.")],
    subject: Annotated[str, typer.Option(help="Id of the subject who has lost it.")],
    kid: Annotated[str, typer.Option(help="Thumbprint of the key; its export names it.")],
    reason: Annotated[str, typer.Option(help="Why; recorded under the subject's key.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key as an officer, for who has no other one left to sign with."""
    with told(as_json=as_json):
        import asyncio

        from heptad.client.officer import connect_officer

        async def act() -> int:
            async with connect_officer(profile) as officer:
                return await officer.revoke_key(subject, kid=kid, reason=reason)

        index = asyncio.run(act())
    _print({"revoked": kid, "index": index}, as_json=as_json)


@app.command(name="list")
def list_keys(*, key: KeyPath, url: Url = URL_DEFAULT, as_json: AsJson = False) -> None:
    """Show all keys that the subject has or had; asked by any active one, and not recorded."""
    with told(as_json=as_json):
        from heptad.client.signing import sign
        from heptad.model.own_actions import LIST_KEYS, OWN_SERVICE

        subject, private = _subject(key, as_json=as_json), load_key(key, as_json=as_json)
        jws = sign(
            private,
            subject=subject.subject_id,
            audience=subject.origin,
            service=OWN_SERVICE,
            action=LIST_KEYS,
            data={},
        )
        headers = {"Authorization": f"Heptad {jws.decode('ascii')}"}
        members = GatewayHttp(url).get("/v1/subjects/me/keys", headers=headers).json()
    if as_json:
        print(json.dumps(members))
        return
    for row in _rows(members):
        print("  ".join((*row, "  <- this one" if row[0] == private.public.kid else "")).rstrip())


@app.command()
def rotate(
    *,
    key: KeyPath,
    new: Annotated[Path, typer.Option(help="File of the new private key; made if missing.")],
    alg: Annotated[Algorithm, typer.Option(help="Algorithm of a key that is made.")] = (
        Algorithm.ES256
    ),
    url: Url = URL_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Replace a key: add a new one, and then revoke the old one by the new one.

    Run it again, with the same files, if it broke off.
    """
    with told(as_json=as_json):
        from heptad.client.signing import sign_added_key

        subject, old_key = _subject(key, as_json=as_json), load_key(key, as_json=as_json)
        new_key = _made_or_loaded(new, alg, as_json=as_json)
        gateway, old_kid, new_kid = GatewayHttp(url), old_key.public.kid, new_key.public.kid
        added = sign_added_key(
            old_key, new_key, subject=subject.subject_id, audience=subject.origin
        )
        # A second run: the key is there, or even the old one is revoked.
        _unless(("key_exists", "key_revoked"), lambda: _committed(gateway, added))
        _save_subject(new, subject, new_kid)
        revoked = _revocation(new_key, subject, old_kid)
        members = _unless(("key_not_active",), lambda: _once_known(gateway, revoked))
    said = _recorded(members) if members is not None else {}
    _print({"added": new_kid, "revoked": old_kid, **said}, as_json=as_json)


def _rows(members: dict[str, object]) -> list[tuple[str, ...]]:
    """Thumbprint, since when, and until when or that it is active. Raises: Problem."""
    try:
        return [
            (
                str(key["kid"]),
                f"since {_in_utc(key['added_ms'])}",
                "active" if key["active"] else f"revoked {_in_utc(key['revoked_ms'])}",
            )
            for key in members["keys"]  # type: ignore[attr-defined]
        ]
    except (KeyError, TypeError):
        raise Problem("body_malformed", "the gateway's answer lists no keys") from None


def _in_utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _subject(key: Path, *, as_json: bool) -> "SubjectFile":
    """Whose key that is; ends with 2 if nobody has said so."""
    from heptad.cli import subject_file

    path = subject_file.path_beside(key)
    known = subject_file.load(path)
    if known is None:
        detail = f"whose key is it? {path} says so, and is missing (`heptad register`)"
        fail(detail, status=EXIT_USAGE, as_json=as_json)
    return known


def _save_subject(key: Path, subject: "SubjectFile", kid: str) -> None:
    from heptad.cli import subject_file

    content = subject_file.SubjectFile(subject.subject_id, subject.origin, kid)
    subject_file.save(subject_file.path_beside(key), content)


def _signed_offer(
    key: Path, subject: "SubjectFile", offer: str, *, as_json: bool
) -> tuple[bytes, str]:
    """The request that takes an offer, and the new key's thumbprint; ends with 2 if it is none."""
    from heptad.client.signing import sign
    from heptad.crypto.device_keys import verify_addition
    from heptad.crypto.requests import parse_request
    from heptad.model.own_actions import KEY_ADD, OWN_SERVICE

    text = sys.stdin.read() if offer == "-" else Path(offer).read_text()
    try:
        content = json.loads(text)
        jti, data = str(content["jti"]), dict(content["data"])
    except (ValueError, TypeError, KeyError):
        fail("that is no offer of a key", status=EXIT_USAGE, as_json=as_json)
    signed = sign(
        load_key(key, as_json=as_json),
        subject=subject.subject_id,
        audience=subject.origin,
        service=OWN_SERVICE,
        action=KEY_ADD,
        data=data,
        jti=jti,
    )
    return signed, verify_addition(parse_request(signed)).kid


def _made_or_loaded(path: Path, alg: Algorithm, *, as_json: bool) -> "Ed25519Key | P256Key":
    """The key of a file, which is made if it is missing. Ends with 2 if it cannot be used."""
    from heptad.crypto.errors import KeyFileError
    from heptad.crypto.keys import Ed25519Key, P256Key
    from heptad.crypto.private_jwk import save_jwk

    if path.exists():
        return load_key(path, as_json=as_json)
    key = Ed25519Key.generate() if alg is Algorithm.EDDSA else P256Key.generate()
    try:
        save_jwk(path, key)
    except KeyFileError as error:
        fail(str(error), status=EXIT_USAGE, as_json=as_json)
    return key


def _revocation(key: "Ed25519Key | P256Key", subject: "SubjectFile", kid: str) -> bytes:
    from heptad.client.signing import sign_revoked_key

    return sign_revoked_key(key, kid=kid, subject=subject.subject_id, audience=subject.origin)


def _unless(
    codes: tuple[str, ...], call: Callable[[], dict[str, object]]
) -> dict[str, object] | None:
    """What the call returns; None where it was refused with a code that says: done already."""
    try:
        return call()
    except Problem as problem:
        if problem.code not in codes:
            raise
        return None


def _once_known(gateway: GatewayHttp, jws: bytes) -> dict[str, object]:
    """Send what a new key has signed, once more while a validator does not know it yet."""
    give_up_s = time.monotonic() + _NEWS_S_MAX
    while True:
        try:
            return _committed(gateway, jws)
        except Problem as problem:
            if problem.code != "key_unknown" or time.monotonic() > give_up_s:
                raise
        time.sleep(_PAUSE_S)


def _committed(gateway: GatewayHttp, jws: bytes) -> dict[str, object]:
    """Send a request and wait until it is in the log."""
    from heptad.cli.submit import submitted

    members = submitted(gateway, jws, COMMIT_S_MAX)
    if members["state"] != "COMMITTED":
        detail = f"it is {members['state']}: run the command again"
        raise Problem("deadline_exceeded", detail)
    return members


def _recorded(members: dict[str, object]) -> dict[str, object]:
    return {name: members[name] for name in ("request_id", "index") if name in members}


def _print(members: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(members))
        return
    for name, value in members.items():
        print(f"{name:<10}  {value}")
