"""One decoding of each payload for all replicas of a world.

A message that goes to six members would be read six times, and once more by the checkers: a sixth
of all the time that a history took. What is decoded is frozen and a function of its bytes alone, so
all may share it; rubbish is refused anew each time.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from heptad.consensus.decoding import PLAIN, Decoding

REMEMBERED_MAX: Final = 4_096
"""Payloads remembered, of each sort; more than are ever on their way at a time."""

_T = TypeVar("_T")


def shared_decoding() -> Decoding:
    """A decoding with a memory of its own, for one world."""
    return Decoding(message=_remembering(PLAIN.message), batch=_remembering(PLAIN.batch))


def _remembering(decode: Callable[[bytes], _T]) -> Callable[[bytes], _T]:
    """`decode`, but once for each payload while it is remembered."""
    known: dict[bytes, _T] = {}

    def decoded(payload: bytes) -> _T:
        value = known.get(payload)
        if value is None:
            value = decode(payload)
            if len(known) >= REMEMBERED_MAX:
                known.clear()
            known[payload] = value
        return value

    return decoded
