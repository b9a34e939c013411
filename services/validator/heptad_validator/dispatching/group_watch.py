"""Whether enough replicas are up to agree, while nothing is under way that would show it.

A validator that reaches five replicas needs to know no more. One that reaches fewer may be cut off
from a group that is whole, which would commit what four of them pass on; so it asks those that it
does reach how many peers *they* reach. Only if none of them reaches a quorum is the group short.
A replica may lie about it: then requests are let in and wait, as they would have anyway.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

LOOK_S: Final = 1.0
ANSWER_S_MAX: Final = 1.0


class Reached(Protocol):
    """What the watch needs of a `ReplicaLink`."""

    is_connected: bool

    async def peers_connected(self, *, timeout_s: float) -> int:
        """How many other replicas this one reaches; 0 if it does not say."""


class GroupWatch:
    """Looks once a second; asks only when this validator itself does not reach a quorum."""

    def __init__(self, links: Sequence[Reached], *, quorum: int) -> None:
        self._links = links
        self._quorum = quorum
        self._shortage: str | None = None

    @property
    def shortage(self) -> str | None:
        """Why nothing can be agreed on, or None; ends as soon as a quorum is reached."""
        return None if self._reaches_quorum() else self._shortage

    async def run(self) -> None:
        """Look until cancelled; first when the streams have had time to come up."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        if self._reaches_quorum():
            self._shortage = None
            return
        reached = [link for link in self._links if link.is_connected]
        asked = (link.peers_connected(timeout_s=ANSWER_S_MAX) for link in reached)
        peers = await asyncio.gather(*asked)
        # A replica that reaches four others is itself the fifth.
        is_whole = max(peers, default=0) + 1 >= self._quorum
        self._shortage = (
            None
            if is_whole
            else f"{len(reached)} of {len(self._links)} replicas are up, {self._quorum} are needed"
        )

    def _reaches_quorum(self) -> bool:
        return sum(link.is_connected for link in self._links) >= self._quorum
