"""`heptad submit`: send a signed request and wait until it is recorded."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp, GatewayRefusal
from heptad.cli.request_options import (
    AsJson,
    Audience,
    Data,
    RequestUuid,
    Subject,
    Url,
    signed_request,
)

_PAUSE_S: Final = 0.25


def command(
    *,
    key: Annotated[Path | None, typer.Option(help="Private key to sign with.")] = None,
    service: Annotated[str, typer.Option(help="Relying service, such as tax-portal.")] = "",
    action: Annotated[str, typer.Option(help="Action, such as consent.grant.")] = "",
    data: Data = "{}",
    subject: Subject = "",
    audience: Audience = "",
    jti: RequestUuid = "",
    jws: Annotated[
        str, typer.Option(help="Send this signed request instead; - reads standard input.")
    ] = "",
    url: Url = URL_DEFAULT,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the commit.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Sign and send a request, and wait until it is recorded.

    Ends with 0 once it is committed (or, with --wait 0, admitted), 1 if it was denied or refused.
    """
    with told(as_json=as_json):
        if jws:
            request = (sys.stdin.read() if jws == "-" else Path(jws).read_text()).strip().encode()
        elif key is None or not service or not action:
            fail(
                "name --key, --service and --action, or a signed request with --jws",
                status=EXIT_USAGE,
                as_json=as_json,
            )
        else:
            request = signed_request(
                key_path=key,
                service=service,
                action=action,
                data=data,
                subject=subject,
                audience=audience,
                jti=jti,
                as_json=as_json,
            )
        try:
            members = submitted(GatewayHttp(url), request, wait_s)
        except GatewayRefusal as refusal:
            if refusal.members.get("recorded") is not True:
                raise
            _print(dict(refusal.members), as_json=as_json)
            raise typer.Exit(EXIT_FAILED) from None
        _print(members, as_json=as_json)


def submitted(gateway: GatewayHttp, request: bytes, wait_s: float) -> dict[str, object]:
    """Send, and ask for the status until the request is committed or the time is over."""
    headers = {"Prefer": "respond-async"} if wait_s == 0 else {}
    members = gateway.post(
        "/v1/requests", request, media_type="application/jose", headers=headers
    ).json()
    give_up_s = time.monotonic() + wait_s
    while members["state"] == "PENDING" and time.monotonic() < give_up_s:
        time.sleep(_PAUSE_S)
        status = gateway.get(f"/v1/requests/{members['request_id']}").json()
        if status["state"] == "COMMITTED":
            return {**members, **status}
    return members


def _print(members: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(members))
        return
    names = ("request_id", "state", "outcome", "code", "index", "receipt")
    for name in names:
        if name in members:
            print(f"{name:<10}  {members[name]}")
