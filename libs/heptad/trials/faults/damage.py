"""Faults of what is on a disk: a whole store turned to rubbish, and single bits that have changed.

LMDB has no checksums, so what a disk gives back wrongly has to be noticed by what is stored: a
replica's record and state by their own, entries of the ledger by the tiles, tiles by each other and
by what was signed.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import lmdb

from heptad.transparency.tiled_tree import TILE_WIDTH
from heptad.trials.faults.trial import Fault, Trial
from heptad.trials.tour.steps import Disproved, require
from heptad.verification import ReceiptFile

AGAIN_TRIES_MAX: Final = 20
_AGAIN_PAUSE_S: Final = 0.5
"""How often, and how far apart, what was damaged is asked for once it is as before."""

LOG_EVENTS: Final = ("service_broke", "task_failed")
_PAGE_BYTES: Final = 4_096
_META_PAGES: Final = 2
_TILE: Final = "/tile/0/000"
_BUNDLE: Final = "/tile/entries/000"


def _path(trial: Trial, name: str) -> Path:
    folder = "store" if name.startswith("replica") else "log"
    return trial.stage.mesh.home / name / "data" / folder / "data.mdb"


async def corrupt_page(trial: Trial) -> str:
    """Every page of one replica's store but its heads is rubbish; then the pages are as before.

    The replica must not start on it, and must say so. It signed nothing meanwhile, so the very
    pages that it had when it was killed are its continuous record, and it may go on with them.
    """
    (name,) = trial.replicas(1, after=3)
    path = _path(trial, name)
    trial.begins()
    await trial.order("kill", name)
    good = await asyncio.to_thread(_spoil, path)
    try:
        start = asyncio.create_task(trial.order("restart", name))
        line = await trial.said(name, *LOG_EVENTS)
        await trial.hold()
        require(trial.state(name) != "ready", f"{name} serves from a damaged store")
    finally:
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await trial.order("kill", name)
        await asyncio.to_thread(path.write_bytes, good)
        trial.ends()
        await trial.order("restart", name)
    return f"{name} refused to start: {line.get('reason') or line}"


def _spoil(path: Path) -> bytes:
    """Overwrite all pages behind the two heads; what the file held before."""
    good = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(_META_PAGES * _PAGE_BYTES)
        file.write(os.urandom(len(good) - _META_PAGES * _PAGE_BYTES))
    return good


@contextmanager
def flipped(path: Path, value: bytes, bit: int) -> Iterator[int]:
    """Change one bit of a value wherever it lies in a file, then change it back; yields how often.

    In place: who has the file mapped sees it. Copies in pages that are free no longer count, but
    nobody can tell them from the one that does.
    """
    places, bad = list(_places(path, value)), _changed(value, bit)
    try:
        yield _exchange(path, places, value, bad)
    finally:
        _exchange(path, places, bad, value)


def _places(path: Path, value: bytes) -> Iterator[int]:
    data, at = path.read_bytes(), -1
    while (at := data.find(value, at + 1)) >= 0:
        yield at


def _changed(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _exchange(path: Path, places: Iterable[int], before: bytes, after: bytes) -> int:
    """Write `after` where `before` lies, of these places; how often it lay there.

    Where it does not lie any more the page has been used for something else.
    """
    exchanged = 0
    descriptor = os.open(path, os.O_RDWR)
    try:
        for place in places:
            if os.pread(descriptor, len(before), place) == before:
                os.pwrite(descriptor, after, place)
                exchanged += 1
    finally:
        os.close(descriptor)
    return exchanged


def _stored(path: Path, table: bytes, key: bytes) -> bytes:
    """A row of a store that nobody has open."""
    with lmdb.open(str(path.parent), max_dbs=16, readonly=True, lock=False) as environment:
        handle = environment.open_db(table, create=False)
        with environment.begin() as transaction:
            value = transaction.get(key, db=handle)
    if value is None:
        raise Disproved(f"{path} has no {key!r} in {table!r}")
    return bytes(value)


async def flip_bits_of_replica(trial: Trial) -> str:
    """One bit of a replica's safety record, then of its state, has changed while it was down.

    It must not start, and must say so: signed by such a record, a vote might contradict another.
    Nothing was written meanwhile, so with the bit as before it goes on where it stopped.
    """
    (name,) = trial.replicas(1, after=3)
    path, reasons = _path(trial, name), []
    trial.begins()
    try:
        for row in (b"record", b"state"):
            await trial.order("kill", name)
            value = await asyncio.to_thread(_stored, path, b"record", row)
            bit = random.randrange(len(value) * 8)  # noqa: S311  a cosmic ray, and no secret
            with flipped(path, value, bit):
                async with _starting(trial, name) as since:
                    line = await trial.said(name, *LOG_EVENTS, since=since)
                    require(trial.state(name) != "ready", f"{name} serves with a changed {row!r}")
            reasons.append(f"bit {bit} of its {row.decode()}: {line.get('reason')}")
    finally:
        trial.ends()
        await trial.order("restart", name)
    return f"{name} refused to start, {'; '.join(reasons)}"


@asynccontextmanager
async def _starting(trial: Trial, name: str) -> AsyncIterator[int]:
    """Order a start that is to fail; yields how long the log was. Killed in the end."""
    since = trial.log_size(name)
    start = asyncio.create_task(trial.order("restart", name))
    try:
        yield since
    finally:
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await trial.order("kill", name)


async def flip_bits_of_ledger(trial: Trial) -> str:
    """One bit of an entry, then of a tile, changes under the running ledger.

    It must not hand out the entry, nor a proof or a tile with it; it says what contradicts what.
    Whatever else is asked for goes on, writing too, and with the bit as before all is served again.
    """
    addresses, rows = await _old_rows(trial)
    good = {address: await _served(trial, address) for address in addresses}
    path, said = _path(trial, "ledger-1"), []
    trial.begins()
    try:
        for what, value in rows.items():
            bit = random.randrange(len(value) * 8)  # noqa: S311  a cosmic ray, and no secret
            since = trial.log_size("ledger-1")
            with flipped(path, value, bit) as copies:
                require(copies, f"the ledger's file does not hold {what}")
                await _is_noticed(trial, good)
                line = await trial.said("ledger-1", "handler_broke", since=since)
                await asyncio.sleep(trial.pace.hold_s / len(rows))
            said.append(f"bit {bit} of {what}: {line.get('reason')}")
            await _is_served_again(trial, good, what)
    finally:
        trial.ends()
    return "; ".join(said)


async def _old_rows(trial: Trial) -> tuple[list[str], dict[str, bytes]]:
    """What can be asked for of the first full tile, and what lies on the disk for it."""
    scene = trial.stage.scene
    await scene.checkpoint(size_min=TILE_WIDTH)
    request_id, index = min(trial.stage.history.acknowledged.items(), key=lambda item: item[1])
    require(index < TILE_WIDTH, f"the first acknowledged request is entry {index}")
    entry = ReceiptFile.parse(await scene.receipt(request_id)).entry
    tile = (await scene.get(_TILE)).body
    addresses = [f"/v1/requests/{request_id}/receipt", f"/v1/entries/{index}", _TILE, _BUNDLE]
    return addresses, {f"entry {index}": entry, "tile 0/0": tile}


async def _served(trial: Trial, address: str) -> bytes | None:
    """The answer's body; None where the cell cannot give it. Raises: Disproved."""
    reply = await trial.stage.scene.get(address)
    require(reply.status == 200 or reply.status >= 500, f"{address} got {reply.said}")
    return reply.body if reply.status == 200 else None


async def _is_served_again(trial: Trial, good: Mapping[str, bytes | None], what: str) -> None:
    """All is given out as before, soon: a busy cell may be late with one answer. Raises: Disproved.

    What is given out meanwhile is right.
    """
    for _ in range(AGAIN_TRIES_MAX):
        served = {address: await _served(trial, address) for address in good}
        for address, body in served.items():
            require(body in (None, good[address]), f"{address} was served with a changed bit")
        if served == good:
            return
        await asyncio.sleep(_AGAIN_PAUSE_S)
    missing = ", ".join(address for address, body in served.items() if body is None)
    require(False, f"{what} is as before, and {missing} is not served")


async def _is_noticed(trial: Trial, good: Mapping[str, bytes | None]) -> None:
    """Something is not given out, and all that is given out is right. Raises: Disproved."""
    served = {address: await _served(trial, address) for address in good}
    for address, body in served.items():
        require(body in (None, good[address]), f"{address} was served with a changed bit")
    require(None in served.values(), "a changed bit was not noticed")
    await trial.stage.scene.checkpoint()


FAULTS: Final = (
    Fault(
        "corrupted-page",
        "the pages of one replica's store are rubbish",
        "it refuses to start and says why; the other six go on",
        True,
        corrupt_page,
    ),
    Fault(
        "bit-flip-replica",
        "a bit of one replica's record, then of its state, has changed",
        "it refuses to start and says why; the other six go on",
        True,
        flip_bits_of_replica,
    ),
    Fault(
        "bit-flip-ledger",
        "a bit of an entry, then of a tile, changes under the ledger",
        "it serves neither and says why; all else goes on",
        True,
        flip_bits_of_ledger,
    ),
)
