"""`docs/errors`: a page for each error code, written from the one table.

`python -m heptad.cli.error_pages FOLDER` writes what is missing or stale and removes what no code
needs; a tidy test fails while there is such a page. Nobody edits the pages: what they should say
belongs into the table, where HTTP, gRPC and `heptad explain` read it too.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from heptad.cli.explain import retry_text
from heptad.model.problems import PROBLEMS, ProblemKind

INDEX_FILE = "README.md"


def pages() -> Mapping[str, str]:
    """File name to content, the index included."""
    return {INDEX_FILE: _index(), **{f"{code}.md": _page(kind) for code, kind in PROBLEMS.items()}}


def differences(folder: Path) -> list[str]:
    """What `write` would change in `folder`, one line each."""
    wanted = pages()
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.md")}
    missing = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    surplus = [f"{name} belongs to no code" for name in found.keys() - wanted.keys()]
    stale = [
        f"{name} is stale" for name in wanted.keys() & found.keys() if wanted[name] != found[name]
    ]
    return sorted([*missing, *surplus, *stale])


def write(folder: Path) -> None:
    """Make `folder` hold exactly `pages()`."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, "utf-8")


def _page(kind: ProblemKind) -> str:
    return "\n".join(
        [
            f"# `{kind.code}`",
            "",
            f"{kind.title}.",
            "",
            f"**What to do:** {kind.advice}",
            "",
            f"**Again?** {retry_text(kind)}",
            "",
            "| HTTP | gRPC |",
            "|---|---|",
            f"| {kind.http} | `{kind.grpc.value}` |",
            "",
            "The answer's `detail` says what happened in your case. [All codes](README.md).",
            "",
        ]
    )


def _index() -> str:
    rows = [
        f"| [`{kind.code}`]({kind.code}.md) | {kind.http} | {'yes' if kind.retry else 'no'} "
        f"| {kind.title} |"
        for kind in PROBLEMS.values()
    ]
    return "\n".join(
        [
            "# Error codes",
            "",
            "A code keeps its meaning for ever. Over HTTP it is the last part of `type` and the "
            "member `code` of the problem (RFC 9457); over gRPC the `reason` of "
            "`google.rpc.ErrorInfo`. `heptad explain CODE` prints the same.",
            "",
            "| code | HTTP | again? | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Write the pages into the folder that the command line names."""
    write(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
