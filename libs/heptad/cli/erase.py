"""`heptad erase`: a subject asks for its erasure; an officer orders, refuses, holds, and lists.

Who acts is told by what is given: a subject has its key file (`--key`), an officer a profile
(`--profile`), and whoever has a request's id (`--request`) may follow it. A subject's command waits
through the states, writes the certificate into a file, and judges it first, as far as the policy
that was given allows.
"""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail, told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.request_options import AsJson, Url
from heptad.model.erasure import ErasureGround, RefusalGround
from heptad.model.problems import Problem

FILE_DEFAULT: Final = Path("erasure-certificate.json")
WAIT_S_DEFAULT: Final = 180.0
_PAUSE_S: Final = 1.0
_UNKNOWN_S_MAX: Final = 30.0
"""How long a request that was just recorded may be unknown to the ledger."""

_WHO: Final = (
    "say who acts: a subject with --key, an officer with --profile, or --request to follow one"
)

_OFFICERS: Final = (
    "subjects, --file, --reason, --refuse, --hold, --lift and --list are an officer's, with "
    "--profile"
)

Ground = StrEnum(  # type: ignore[misc]  # typer wants one enum for all that --ground may say
    "Ground",
    {word.name: word.value for word in (*ErasureGround, *RefusalGround)},
)


_Subjects: TypeAlias = Annotated[
    list[str] | None, typer.Argument(help="With --profile: ids of subjects.")
]
_Key: TypeAlias = Annotated[
    Path | None, typer.Option(help="As a subject: its private key, registered.")
]
_Profile: TypeAlias = Annotated[
    Path | None, typer.Option(help="As an officer: folder of the profile.")
]
_Request: TypeAlias = Annotated[str, typer.Option(help="Follow the erasure of this request's id.")]
_Ground: TypeAlias = Annotated[
    Ground | None,
    typer.Option(help="Legal ground: of an erasure Art. 17(1), of --refuse and holds 17(3)."),
]
_Reason: TypeAlias = Annotated[
    str, typer.Option(help="As an officer: why; recorded under the subject's key.")
]
_File: TypeAlias = Annotated[
    str, typer.Option(help="As an officer: file with a subject's id a line; - standard input.")
]
_Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="File for the certificate; of an officer's orders, a folder for theirs. "
        "Default for a subject: erasure-certificate.json."
    ),
]
_Wait: TypeAlias = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the certificate.")
]


def command(
    subjects: _Subjects = None,
    *,
    key: _Key = None,
    profile: _Profile = None,
    request: _Request = "",
    ground: _Ground = None,
    reason: _Reason = "",
    file: _File = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse what was asked for.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Keep the subject's data.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="End a hold.")] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="List what is not decided or not done.")
    ] = False,
    out: _Out = None,
    url: Url = URL_DEFAULT,
    wait_s: _Wait = WAIT_S_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Erase all data of a subject, at its own word or an officer's, and get the certificate.

    It cannot be undone. Ends with 0 once the certificate is there (as an officer: once everything
    is ordered), 1 if it was refused or has not come in time. Check a certificate with
    `heptad verify`, and a policy and cell.toml that come from somebody else than the gateway.
    """
    acts = {"refuse": refuse, "hold": hold, "lift": lift, "list": listing}
    chosen = [name for name, is_given in acts.items() if is_given]
    if sum(map(bool, (key, profile, request))) != 1:
        fail(_WHO, status=EXIT_USAGE, as_json=as_json)
    if len(chosen) > 1:
        fail("one of --refuse, --hold, --lift, --list", status=EXIT_USAGE, as_json=as_json)
    if profile is None and (subjects or file or reason or chosen):
        fail(_OFFICERS, status=EXIT_USAGE, as_json=as_json)
    word = str(ground) if ground else ""
    with told(as_json=as_json):
        if profile is not None:
            from heptad.cli import erase_officer

            order = erase_officer.Order(
                act=chosen[0] if chosen else "order",
                subjects=erase_officer.read_subjects(subjects or [], file),
                ground=word,
                reason=reason,
                out=out,
                wait_s=wait_s,
            )
            erase_officer.act(profile, order, as_json=as_json)
        gateway = GatewayHttp(url)
        if key is not None:
            request = _asked(gateway, key, word, as_json=as_json)
        _follow(gateway, request, out or FILE_DEFAULT, wait_s, as_json=as_json)


def _asked(gateway: GatewayHttp, key_path: Path, ground: str, *, as_json: bool) -> str:
    """Record the subject's request; its id. Raises: GatewayRefusal, Problem, OSError."""
    from heptad.cli.request_options import signed_request
    from heptad.model.own_actions import ERASE, OWN_SERVICE

    if ground and ground not in list(ErasureGround):
        fail(f"{ground} is a ground to refuse, not to erase", status=EXIT_USAGE, as_json=as_json)
    jws = signed_request(
        key_path=key_path,
        service=OWN_SERVICE,
        action=ERASE,
        data=json.dumps({"ground": ground} if ground else {}),
        subject="",
        audience="",
        jti="",
        as_json=as_json,
    )
    reply = gateway.post(
        "/v1/subjects/me/erasure",
        b"",
        media_type="application/octet-stream",
        headers={"Authorization": f"Heptad {jws.decode('ascii')}"},
    )
    return str(reply.json()["request_id"])


def _follow(
    gateway: GatewayHttp, request_id: str, out: Path, wait_s: float, *, as_json: bool
) -> None:
    """Tell each state as it comes, and write the certificate."""
    from urllib.parse import quote

    path, shown = f"/v1/erasures/{quote(request_id, safe='')}", None
    started_s = time.monotonic()
    while True:
        members = _standing(gateway, path, started_s)
        state = str(members.get("state", ""))
        if state != shown and not as_json:
            print(_line(members, request_id), flush=True)
        shown = state
        certificate = members.get("certificate")
        if certificate is not None or state == "refused":
            break
        if time.monotonic() - started_s >= wait_s:
            _end(members, None, as_json=as_json, status=EXIT_FAILED if wait_s else 0)
        time.sleep(min(_PAUSE_S, wait_s))
    if certificate is None:
        _end(members, None, as_json=as_json, status=EXIT_FAILED)
    out.write_bytes(gateway.get(f"{path}/certificate").body)
    _end(members, out, as_json=as_json, status=0)


def _standing(gateway: GatewayHttp, path: str, started_s: float) -> dict[str, object]:
    """How it stands; nothing while a ledger may not have heard of it yet."""
    try:
        return gateway.get(path).json()
    except Problem as problem:
        is_young = time.monotonic() - started_s < _UNKNOWN_S_MAX
        if not (is_young and problem.kind.retry):
            raise
        return {}


def _line(members: dict[str, object], request_id: str) -> str:
    from heptad.cli.certificate_lines import time_text

    match members.get("state"):
        case "received":
            decide_by = members.get("decide_by_ms")
            by = f", to be decided by {time_text(decide_by)}" if isinstance(decide_by, int) else ""
            return f"received  request {request_id}{by}"
        case "ordered":
            return "ordered   keys that were lent have to run out first: about a minute"
        case "erased":
            return "erased    the next checkpoint brings the proof"
        case "refused":
            ground = members.get("refusal_ground")
            return f"refused   {ground}: you may complain to a supervisory authority"
        case _:
            return f"recorded  request {request_id}"


def _end(members: dict[str, object], out: Path | None, *, as_json: bool, status: int) -> None:
    """Say what came of it, and end the command."""
    if as_json:
        file = {} if out is None else {"file": str(out)}
        print(json.dumps({**members, **file}))
    elif out is not None:
        print(
            f"{out}: check it with\n"
            f"  heptad verify {out} --policy FILE --cell cell.toml --subject ID"
        )
    elif members.get("state") != "refused":
        print(f"not done: ask again with\n  heptad erase --request {members.get('request_id')}")
    raise typer.Exit(status)
