"""`heptad sign`: a signed request, for somebody else to send."""

import json
import sys

from heptad.cli.exits import told
from heptad.cli.request_options import (
    Action,
    AsJson,
    Audience,
    Data,
    KeyPath,
    RequestUuid,
    Service,
    Subject,
    signed_request,
)


def command(
    *,
    key: KeyPath,
    service: Service,
    action: Action,
    data: Data = "{}",
    subject: Subject = "",
    audience: Audience = "",
    jti: RequestUuid = "",
    as_json: AsJson = False,
) -> None:
    """Sign a request and print the JWS, and nothing else.

    heptad sign --key alice.jwk --service tax-portal --action consent.grant |
    curl --data-binary @- -H 'Content-Type: application/jose' http://127.0.0.1:7700/v1/requests
    """
    with told(as_json=as_json):
        jws = signed_request(
            key_path=key,
            service=service,
            action=action,
            data=data,
            subject=subject,
            audience=audience,
            jti=jti,
            as_json=as_json,
        )
        if as_json:
            from heptad.crypto.requests import parse_request

            print(json.dumps({"jws": jws.decode(), "request_id": parse_request(jws).request_id}))
        else:
            # In a pipe the bytes must be the JWS alone: a newline would be sent with it.
            print(jws.decode("ascii"), end="\n" if sys.stdout.isatty() else "")
