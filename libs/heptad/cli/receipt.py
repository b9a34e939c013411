"""`heptad receipt`: fetch the receipt of a request."""

import json
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from heptad.cli.exits import told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.request_options import AsJson, Url
from heptad.model.problems import Problem

_PAUSE_S: Final = 0.25
_NOT_YET: Final = frozenset({"receipt_pending", "checkpoint_pending", "request_unknown"})


def command(
    request_id: Annotated[str, typer.Argument(help="Id of the request.")],
    *,
    event: Annotated[
        int | None, typer.Option(min=0, help="Of a bundle: which of its events, from 0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: standard output.")
    ] = None,
    url: Url = URL_DEFAULT,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the checkpoint.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Fetch the receipt of a request, a bundle or an event, once a checkpoint covers it.

    Check it with `heptad verify`, and a policy that comes from somebody else than the gateway.
    """
    with told(as_json=as_json):
        from urllib.parse import quote

        query = "" if event is None else f"?event={event}"
        path = f"/v1/requests/{quote(request_id)}/receipt{query}"
        body = _fetch(GatewayHttp(url), path, wait_s)
        if out is None:
            print(body.decode("utf-8"), end="")
            return
        out.write_bytes(body)
    if as_json:
        print(json.dumps({"receipt": str(out), "bytes": len(body)}))
    else:
        print(f"{out}: check it with `heptad verify {out} --policy FILE`")


def _fetch(gateway: GatewayHttp, path: str, wait_s: float) -> bytes:
    """The receipt's bytes. Raises: Problem, OSError."""
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            return gateway.get(path).body
        except Problem as problem:
            if problem.code not in _NOT_YET or time.monotonic() >= give_up_s:
                raise
        time.sleep(_PAUSE_S)
