"""The attacks by name: who makes them, what they are, and how they are made."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.streams import open_frame_stream
from heptad.trials.hostile import payloads
from heptad.trials.hostile.arms import BATCHES, PEERS, STATUS, Arms, flood, listening

REPLICA: Final = "replica-7"
VALIDATOR: Final = "validator-2"

STREAMS_AT_ONCE: Final = 1_000
CONNECTIONS_AT_ONCE: Final = 300
"""For each honest replica."""


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attacker in the place of `member` does until its time is over."""

    name: str
    member: str
    story: str
    run: Callable[[Arms], Awaitable[None]]


async def _with_ear(
    make: Callable[[Arms], Iterator[bytes]], arms: Arms, *, mode: str = "hear"
) -> None:
    """Flood all replicas with messages, standing where they dial."""
    async with listening(arms, mode=mode):
        await flood(arms, PEERS, partial(make, arms))


async def _as_validator(make: Callable[[Arms], Iterator[bytes]], arms: Arms) -> None:
    await flood(arms, BATCHES, partial(make, arms))


async def _chatter(arms: Arms) -> None:
    """Whoever dials us is talked to without end on the half that is silent by agreement."""
    async with listening(arms, mode="chatter"):
        await asyncio.sleep(max(0.0, arms.until_s - time.monotonic()))


async def _streams(method: str, arms: Arms) -> None:
    """As many streams as a connection takes to each replica, opened again when they end."""

    async def one(channel: grpc.aio.Channel) -> None:
        while not arms.is_over:
            arms.tally.opened += 1
            stream = open_frame_stream(channel, method)
            try:
                async with asyncio.timeout(max(0.01, arms.until_s - time.monotonic())):
                    while await stream.read() is not None:
                        arms.tally.messages += 1
            except (grpc.aio.AioRpcError, Problem):
                arms.tally.broken += 1
            except TimeoutError:
                return
            finally:
                stream.cancel()

    channels = [arms.channel(target) for target in arms.targets()]
    try:
        await asyncio.gather(*(one(ch) for ch in channels for _ in range(STREAMS_AT_ONCE)))
    finally:
        for channel in channels:
            await channel.close()


async def _statuses(arms: Arms) -> None:
    """An ordinary question, asked a thousand times at once and again."""

    async def one(channel: grpc.aio.Channel) -> None:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(STATUS)
        while not arms.is_over:
            try:
                await ask(b"", timeout=5)
                arms.tally.messages += 1
            except grpc.aio.AioRpcError:
                arms.tally.broken += 1

    channels = [arms.channel(target) for target in arms.targets()]
    try:
        await asyncio.gather(*(one(ch) for ch in channels for _ in range(STREAMS_AT_ONCE // 10)))
    finally:
        for channel in channels:
            await channel.close()


async def _connections(arms: Arms) -> None:
    """Connections that never speak, and connections that speak a byte at a time."""
    context = _tls_of(arms)

    async def silent(host: str, port: int) -> None:
        await _hold(arms, host, port, None)

    async def dripping(host: str, port: int) -> None:
        await _hold(arms, host, port, context)

    async with listening(arms):
        jobs = []
        for address in arms.targets().values():
            host, _, port = address.rpartition(":")
            kinds = (silent, dripping) * (CONNECTIONS_AT_ONCE // 2)
            jobs += [kind(host, int(port)) for kind in kinds]
        await asyncio.gather(*jobs)


async def _hold(arms: Arms, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    """One connection, opened again when it is closed."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    while not arms.is_over:
        try:
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        except OSError:
            arms.tally.broken += 1
            await asyncio.sleep(0.2)
            continue
        arms.tally.opened += 1
        try:
            for number in range(len(preface)):
                if tls is not None:
                    writer.write(preface[number : number + 1])
                    await writer.drain()
                    arms.tally.messages += 1
                await asyncio.sleep(min(0.5, max(0.0, arms.until_s - time.monotonic())))
                if arms.is_over or reader.at_eof():
                    break
        except OSError:
            arms.tally.broken += 1
        finally:
            writer.transport.abort()


def _tls_of(arms: Arms) -> ssl.SSLContext:
    folder = arms.home / arms.name
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(arms.home / "pki" / "ca.pem")
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    return context


def _replica(
    name: str, story: str, make: Callable[[Arms], Iterator[bytes]], *, mode: str = "hear"
) -> Attack:
    return Attack(name, REPLICA, story, partial(_with_ear, make, mode=mode))


def _validator(name: str, story: str, make: Callable[[Arms], Iterator[bytes]]) -> Attack:
    return Attack(name, VALIDATOR, story, partial(_as_validator, make))


ATTACKS: Final = (
    _replica("bad-signatures", "votes and time-outs nearly right", payloads.bad_signatures),
    _replica("forged", "certificates of far rounds, nearly right", payloads.forged_certificates),
    _replica("far-votes", "votes for nothing, of all rounds there are", payloads.far_votes),
    _replica("proposals", "well signed blocks out of turn", payloads.proposals),
    _replica("replay", "what others said, again, and with bits turned", payloads.replays),
    _replica("rubbish", "random bytes behind every kind", payloads.rubbish),
    _replica("fetches", "the largest answers, never read", payloads.fetches, mode="deaf"),
    _replica("offers", "offers of batches that do not exist", payloads.offers),
    _replica("long", "4 MiB messages that nobody asked for", payloads.long_messages),
    _replica("oversized", "32 MiB messages", payloads.oversized),
    Attack("chatter", REPLICA, "talks without end to whoever dials it", _chatter),
    Attack("streams", REPLICA, "a thousand streams to each replica", partial(_streams, PEERS)),
    Attack("calls", REPLICA, "GetStatus without end", _statuses),
    Attack("connections", REPLICA, "half-open and dripping connections", _connections),
    _validator("bad-batches", "batches that nobody signed", payloads.bad_batches),
    _validator("gap-batches", "a full share of what never commits", payloads.gap_batches),
    _validator("rival-batches", "many batches under one number", payloads.rival_batches),
    Attack("batch-streams", VALIDATOR, "a thousand SubmitBatches", partial(_streams, BATCHES)),
)

SHORT: Final = ("fetches", "bad-signatures")
"""What `make test` runs."""


def find(name: str) -> Attack:
    """The attack of this name. Raises: KeyError."""
    for attack in ATTACKS:
        if attack.name == name:
            return attack
    raise KeyError(name)
