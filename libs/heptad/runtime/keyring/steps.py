"""What a step of a rotation leaves to be done by others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done. Done again, it says the same, but for `is_news`."""

    # What is so now, one line each, for people.
    facts: tuple[str, ...]
    # Members that have to read `cell.toml`, or their keys, again: one after the other, in this
    # order, each up before the next one stops.
    restart: tuple[str, ...]
    # What somebody has to do that no command can, one line each.
    by_hand: tuple[str, ...] = ()
    # The same, where not all members are restarted from here.
    elsewhere: tuple[str, ...] = ()
    # Whether this call has changed a file.
    is_news: bool = True
