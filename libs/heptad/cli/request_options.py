"""What `heptad sign` and `heptad submit` have in common: options, and the request made of them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from heptad.cli.exits import EXIT_USAGE, fail

if TYPE_CHECKING:
    from heptad.crypto.keys import Ed25519Key, P256Key

KeyPath: TypeAlias = Annotated[
    Path, typer.Option("--key", help="Private key, as `heptad keygen` writes it.")
]
Service: TypeAlias = Annotated[str, typer.Option(help="Relying service, such as tax-portal.")]
Action: TypeAlias = Annotated[str, typer.Option(help="Action, such as consent.grant.")]
Data: TypeAlias = Annotated[
    str, typer.Option(help="JSON object; @FILE reads a file, - standard input.")
]
Subject: TypeAlias = Annotated[
    str, typer.Option(help="Subject id. Default: the one registered beside the key.")
]
Audience: TypeAlias = Annotated[
    str, typer.Option(help="Origin of the cell. Default: the one registered beside the key.")
]
RequestUuid: TypeAlias = Annotated[
    str, typer.Option("--jti", help="UUID of the request; the same one again is the same request.")
]
Url: TypeAlias = Annotated[str, typer.Option(help="Base address of the gateway.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_NO_SUBJECT: Final = (
    "whose request is it? Register the key first (`heptad register --key {key}`), or name "
    "--subject and --audience"
)


def load_key(path: Path, *, as_json: bool) -> "Ed25519Key | P256Key":
    """The private key of a file; ends with 2 if it cannot be used."""
    from heptad.crypto.errors import KeyFileError
    from heptad.crypto.private_jwk import load_request_key

    try:
        return load_request_key(path)
    except KeyFileError as error:
        fail(str(error), status=EXIT_USAGE, as_json=as_json)


def signed_request(
    *,
    key_path: Path,
    service: str,
    action: str,
    data: str,
    subject: str,
    audience: str,
    jti: str,
    as_json: bool,
) -> bytes:
    """The JWS that the options describe; ends with 2 if they do not suffice. Raises: OSError."""
    from heptad.cli import subject_file
    from heptad.client.signing import sign

    key = load_key(key_path, as_json=as_json)
    known = subject_file.load(subject_file.path_beside(key_path))
    if known is not None:
        subject, audience = subject or known.subject_id, audience or known.origin
    if not subject or not audience:
        fail(_NO_SUBJECT.format(key=key_path), status=EXIT_USAGE, as_json=as_json)
    return sign(
        key,
        subject=subject,
        audience=audience,
        service=service,
        action=action,
        data=read_data(data, as_json=as_json),
        jti=jti or None,
    )


def read_data(text: str, *, as_json: bool) -> dict[str, object]:
    """The JSON object of `--data`; ends with 2 if it is none. Raises: OSError."""
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = Path(text[1:]).read_text()
    try:
        data = json.loads(text)
    except ValueError as error:
        fail(f"--data is no JSON: {error}", status=EXIT_USAGE, as_json=as_json)
    if not isinstance(data, dict):
        fail("--data is no JSON object", status=EXIT_USAGE, as_json=as_json)
    return data
