"""Ids on the command line: one in 64 begins with a dash, and is no option for all that."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperOption

from heptad.model.requests import is_request_id

if TYPE_CHECKING:
    from typer._click import Context


class TakesIds(TyperCommand):
    """A command that takes a request's id for what it is wherever it stands, as it is pasted.

    A request's id is a digest in base64url, so that it may begin with `-`. Without this, whoever
    got such an id would read "No such option: -C", or the help, if there is an `h` in it.
    """

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Parse the words as click does, the ids behind a `--`."""
        valued = {
            name
            for option in self.params
            if isinstance(option, TyperOption) and not (option.is_flag or option.count)
            for name in option.opts
        }
        return super().parse_args(ctx, ids_behind_dashes(args, valued))


def ids_behind_dashes(words: Sequence[str], valued: Collection[str]) -> list[str]:
    """The same words, ids that begin with a dash moved behind `--`.

    valued: the options that take the word behind them, whatever it begins with.
    """
    end = words.index("--") if "--" in words else len(words)
    before = ("", *words[:end])
    dashed = [
        at
        for at, word in enumerate(words[:end])
        if word.startswith("-") and is_request_id(word) and before[at] not in valued
    ]
    if not dashed:
        return list(words)
    kept = [word for at, word in enumerate(words[:end]) if at not in dashed]
    return [*kept, "--", *(words[at] for at in dashed), *words[end + 1 :]]
