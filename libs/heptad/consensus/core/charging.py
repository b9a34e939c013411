"""Who is heard, and what each message is charged to its sender; see `heptad.consensus.allowance`.

What this replica has asked for is free where it was of use: how much that can be is bounded by what
it asks for. Everything else has its price, whether it was refused or not.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from heptad.consensus import facts
from heptad.consensus.allowance import (
    ANSWERED_ITEM_US,
    CHECK_US,
    FETCHED_ITEM_US,
    hashing_us,
    reading_us,
)
from heptad.consensus.core.parts import Parts
from heptad.consensus.errors import ForgedError
from heptad.consensus.messages import (
    BatchesReply,
    BlocksReply,
    ChainReply,
    FetchBatches,
    Message,
    SnapshotReply,
    is_batches_reply,
)
from heptad.model.ids import MemberIndex

_ANSWERS: Final = (BatchesReply, BlocksReply, ChainReply, SnapshotReply)


class Bill(NamedTuple):
    """What was there before a message was taken in."""

    sender: MemberIndex
    payload: bytes
    checked_before: int


def admits(parts: Parts, sender: MemberIndex, payload: bytes) -> Bill | None:
    """Begin to take in a message; None if its sender is not heard now."""
    if not parts.peers.admits(sender, parts.now_ms):
        return None
    return Bill(sender, payload, parts.meter.checked)


def charge(
    parts: Parts,
    bill: Bill,
    message: Message | None,
    error: Exception | None,
    *,
    was_useful: bool,
) -> None:
    """The message was taken in, or refused with `error`; an answer that was no use costs, too."""
    if isinstance(error, ForgedError):
        forged(parts, bill.sender)
    if error is None and was_useful and isinstance(message, _ANSWERS):
        return
    size = len(bill.payload)
    work_us = hashing_us(size) if is_batches_reply(bill.payload) else reading_us(size)
    work_us += CHECK_US * (parts.meter.checked - bill.checked_before)
    if isinstance(message, FetchBatches):
        work_us += FETCHED_ITEM_US * len(message.digests)
    parts.peers.charge(bill.sender, work_us)


def charge_answer(
    parts: Parts, peers: Iterable[MemberIndex], answer: Message, size_bytes: int
) -> None:
    """This was sent to `peers`; only what answers a fetch is charged, for the rest is our wish."""
    if not isinstance(answer, _ANSWERS):
        return
    for peer in peers:
        if peer in parts.peers:
            parts.peers.charge(peer, hashing_us(size_bytes) + ANSWERED_ITEM_US * _items(answer))


def forged(parts: Parts, member: MemberIndex) -> None:
    """A signature of this member did not hold."""
    for_ms = parts.peers.forged(member, parts.now_ms)
    if for_ms:
        parts.results.fact(facts.PEER_IGNORED, member=member, for_ms=for_ms)


def report_dropped(parts: Parts) -> None:
    """Tell what was dropped in this step: one fact for each sender, however many there were."""
    for member, count in parts.peers.take_dropped():
        why = "ignored" if parts.peers.is_ignored(member, parts.now_ms) else "allowance"
        parts.results.fact(facts.MESSAGES_DROPPED, member=member, count=count, why=why)
    for validator, count in parts.validators.take_dropped():
        why = "ignored" if parts.validators.is_ignored(validator, parts.now_ms) else "allowance"
        parts.results.fact(facts.MESSAGES_DROPPED, validator=validator, count=count, why=why)


def _items(answer: Message) -> int:
    match answer:
        case BatchesReply(batches):
            return len(batches)
        case BlocksReply(blocks) | ChainReply(blocks):
            return len(blocks)
        case _:
            return 1
