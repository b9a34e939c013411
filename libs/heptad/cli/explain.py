"""`heptad explain`: what an error code means and what to do about it."""

import json
from typing import Annotated

import typer

from heptad.cli.exits import EXIT_USAGE, fail
from heptad.model.problems import PROBLEMS, ProblemKind


def command(
    code: Annotated[str | None, typer.Argument(help="A code such as request_expired.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain an error code, or list them all."""
    if code is None:
        _list(as_json=as_json)
        return
    kind = PROBLEMS.get(code)
    if kind is None:
        fail(_unknown(code), status=EXIT_USAGE, as_json=as_json)
    print(json.dumps(facts(kind)) if as_json else text(kind))


def facts(kind: ProblemKind) -> dict[str, object]:
    """A row of the table as JSON."""
    return {
        "code": kind.code,
        "http": kind.http,
        "grpc": kind.grpc.value,
        "retry": kind.retry,
        "title": kind.title,
        "advice": kind.advice,
    }


def text(kind: ProblemKind) -> str:
    """A row of the table for people."""
    return "\n".join(
        [
            f"{kind.code}: {kind.title}.",
            "",
            f"  What to do  {kind.advice}",
            f"  Again?      {retry_text(kind)}",
            f"  HTTP        {kind.http}",
            f"  gRPC        {kind.grpc.value}",
        ]
    )


def retry_text(kind: ProblemKind) -> str:
    """Whether sending the same bytes again can help."""
    if kind.retry:
        return "The same bytes may succeed later."
    return "The same bytes will be refused again."


def _list(*, as_json: bool) -> None:
    if as_json:
        print(json.dumps([facts(kind) for kind in PROBLEMS.values()]))
        return
    width = max(len(code) for code in PROBLEMS)
    for kind in PROBLEMS.values():
        print(f"{kind.code:<{width}}  {kind.http}  {kind.title}")


def _unknown(code: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(code, PROBLEMS, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `heptad explain` lists all codes"
    return f"no error has the code {code!r}{hint}"
