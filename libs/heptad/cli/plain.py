"""Texts of others on a terminal: what comes out of a log or a file must not give it orders.

Else an archive or a receipt could write over its own verdict: an escape sequence in a claim clears
the line that says INVALID.
"""


def plain(value: object) -> str:
    """A line of somebody else's words, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))
