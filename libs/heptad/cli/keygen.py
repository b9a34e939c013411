"""`heptad keygen`: a key pair to sign requests with."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told


class Algorithm(StrEnum):
    """What phones have, and what services have."""

    ES256 = "ES256"
    EDDSA = "EdDSA"


def command(
    *,
    out: Annotated[Path, typer.Option(help="File of the private key.")] = Path("key.jwk"),
    alg: Annotated[Algorithm, typer.Option(help="Signature algorithm.")] = Algorithm.ES256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key to sign requests with.

    The private JWK goes into a file of mode 0600, its public half beside it (`alice.pub.jwk` for
    `alice.jwk`). An existing key is never overwritten.
    """
    with told(as_json=as_json):
        from heptad.crypto.errors import KeyFileError
        from heptad.crypto.jwk import jwk_of
        from heptad.crypto.keys import Ed25519Key, P256Key
        from heptad.crypto.private_jwk import save_jwk

        key = Ed25519Key.generate() if alg is Algorithm.EDDSA else P256Key.generate()
        public_path = out.with_suffix(".pub.jwk")
        try:
            save_jwk(out, key)
        except KeyFileError as error:
            fail(str(error), status=EXIT_USAGE, as_json=as_json)
        public = {**jwk_of(key.public), "kid": key.public.kid}
        public_path.write_text(json.dumps(public) + "\n")
    if as_json:
        print(json.dumps({"private": str(out), "public": str(public_path), "jwk": public}))
    else:
        print(f"private key  {out}\npublic key   {public_path}\nkid          {key.public.kid}")
