"""`heptad register`: a subject and its first key."""

import json
from typing import Annotated

import typer

from heptad.cli.exits import told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.request_options import AsJson, KeyPath, Url, load_key


def command(
    *,
    key: KeyPath,
    url: Url = URL_DEFAULT,
    service: Annotated[
        str, typer.Option(help="Service through which the subject comes.")
    ] = "heptad",
    as_json: AsJson = False,
) -> None:
    """Register a subject and its first key, by proof of possession.

    The new subject's id is kept beside the key (`alice.subject` for `alice.jwk`), where `heptad
    sign` and `heptad submit` find it.
    """
    with told(as_json=as_json):
        from heptad.cli import subject_file
        from heptad.client.signing import sign_new_subject

        private = load_key(key, as_json=as_json)
        gateway = GatewayHttp(url)
        origin = gateway.origin()
        jws = sign_new_subject(private, audience=origin, service=service)
        members = gateway.post("/v1/subjects", jws, media_type="application/jose").json()
        subject = subject_file.SubjectFile(
            subject_id=str(members["subject_id"]), origin=origin, kid=private.public.kid
        )
        path = subject_file.path_beside(key)
        subject_file.save(path, subject)
    if as_json:
        print(json.dumps(members))
    else:
        index = f"index {members['index']}" if "index" in members else str(members["state"])
        print(f"subject  {subject.subject_id}\nkept in  {path}\nrecord   {index}")
