"""README.txt of an export: what is in it, and how each entry is checked with nothing but a shell.

The commands keep to what every Unix has (sed, base64, sha256sum, openssl), because a person who
checks by hand does so in order not to have to believe a program of ours. A test runs them. The text
is `by_hand.txt` beside this file.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from heptad.exports.held import About
from heptad.exports.rows import in_utc, receipt_name


def read_me(about: About, indexes: Sequence[int]) -> bytes:
    """The text, with commands for the last entry."""
    who = "the subject itself" if about.role == "subject" else f"{about.role} {about.caller}"
    said = {
        "@ORIGIN@": about.origin,
        "@SUBJECT@": about.subject_id,
        "@CREATED@": in_utc(about.created_ms),
        "@WHO@": who,
        "@RECEIPT@": receipt_name(indexes[-1]) if indexes else "receipts/INDEX.json",
    }
    text = _template()
    for name, value in said.items():
        text = text.replace(name, value)
    return text.encode()


@lru_cache(maxsize=1)
def _template() -> str:
    return files(__package__).joinpath("by_hand.txt").read_text("utf-8")
