"""What an auditor does: reads public bytes, and does all of the arithmetic again."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from heptad.client import Terms
from heptad.model.entry import Kind
from heptad.trials.tour.scene import Scene
from heptad.trials.tour.steps import require
from heptad.verification import (
    HttpSource,
    ReadPath,
    ReceiptFile,
    VerifiedLog,
    verify_continuation_by_tiles,
    verify_log,
    verify_receipt_file,
)
from heptad.wire.convert.entry import decode_entry

RECEIPTS_FIRST: Final = 10
RECEIPTS_AT_ONCE: Final = 50


@dataclass(slots=True)
class Census:
    """The kinds of all entries of a log, by index."""

    kinds: list[Kind] = field(default_factory=list)

    def visit(self, first_index: int, entries: Sequence[bytes]) -> None:
        """Note a bundle's entries (`verify_log`'s hook)."""
        assert first_index == len(self.kinds)
        self.kinds += [decode_entry(entry).kind for entry in entries]

    def count(self, kind: Kind, *, start: int) -> int:
        """How many entries from index `start` on are of this kind."""
        return self.kinds[start:].count(kind)


async def verify_receipts(scene: Scene) -> str:
    """Some of the first ones, off line; `account` takes them all."""
    steps = 0
    some = list(scene.acknowledged.items())[:RECEIPTS_FIRST]
    for request_id, index in some:
        steps = await _verify_receipt(scene, request_id, index)
    return (
        f"{len(some)} receipts hold, {steps} steps of arithmetic in the last, "
        "by the policy in the home and without a network"
    )


async def _verify_receipt(scene: Scene, request_id: str, index: int) -> int:
    file = ReceiptFile.parse(await scene.receipt(request_id))
    report = verify_receipt_file(file, policy=scene.policy, now_s=int(time.time()))
    require(
        report.leaf_index == index,
        f"{request_id} was acknowledged at {index}, its receipt says {report.leaf_index}",
    )
    return len(report.findings)


async def hash_log(scene: Scene) -> str:
    """Every entry, every tile, up to the cosigned root."""
    verified, census = await read_log(scene)
    checkpoint = verified.checkpoint
    return (
        f"{checkpoint.size} entries in {verified.bundles} bundles and {verified.tiles} tiles hash "
        f"to {checkpoint.root.hex()[:16]}…; {census.count(Kind.REQUEST, start=0)} are requests"
    )


async def read_log(scene: Scene, *, size_min: int = 0) -> tuple[VerifiedLog, Census]:
    """Read and prove the whole log over HTTP. Raises: LogInvalidError, Disproved."""
    note = await scene.checkpoint(size_min=size_min)
    census = Census()

    def work() -> VerifiedLog:
        with http_reader(scene.mesh.cell.gateways[0].http) as read:
            return verify_log(
                read, policy=scene.policy, now_s=int(time.time()), note=note, visit=census.visit
            )

    return await asyncio.to_thread(work), census


async def continue_log(scene: Scene) -> str:
    """The log of now continues that of the tour's beginning."""
    new_note = await scene.checkpoint(size_min=max(scene.acknowledged.values()) + 1)

    def work() -> str:
        with http_reader(scene.mesh.cell.gateways[0].http) as read:
            old, new = verify_continuation_by_tiles(
                old_note=scene.checkpoint_first,
                new_note=new_note,
                read=read,
                policy=scene.policy,
                now_s=int(time.time()),
            )
        return f"from {old.size} to {new.size} entries nothing was changed or taken away"

    return await asyncio.to_thread(work)


async def account(scene: Scene) -> str:
    """Every acknowledged request is in the log, once."""
    indexes = set(scene.acknowledged.values())
    require(len(indexes) == len(scene.acknowledged), "two requests were given one index")
    _, census = await read_log(scene, size_min=max(indexes) + 1)
    strangers = [i for i in indexes if census.kinds[i] is not Kind.REQUEST]
    require(not strangers, f"no requests stand at {strangers[:5]}")
    room = asyncio.Semaphore(RECEIPTS_AT_ONCE)

    async def verify(request_id: str, index: int) -> None:
        async with room:
            await _verify_receipt(scene, request_id, index)

    async with asyncio.TaskGroup() as group:
        for request_id, index in scene.acknowledged.items():
            group.create_task(verify(request_id, index))
    status = await scene.client.ledger.status(terms=Terms())
    return _settle_accounts(scene, census, len(indexes), copies=status.duplicates)


def _settle_accounts(scene: Scene, census: Census, acknowledged: int, *, copies: int) -> str:
    """In a cell of our own nobody else writes, so what is in the log must be what we sent.

    `copies` are leaves that the ledger has found to be later copies of a request; it names them in
    the log as well, a while later.
    """
    requests = census.count(Kind.REQUEST, start=scene.log_size_first)
    once = requests - (copies if scene.is_own else 0)
    require(once >= acknowledged, f"{acknowledged} acknowledged, the log has {once}")
    if scene.is_own:
        require(once == acknowledged, f"{acknowledged} acknowledged, the log has {once}")
    others = f" ({once - acknowledged} by others)" if once > acknowledged else ""
    return f"{acknowledged} acknowledged, {once} in the log{others}; each receipt holds"


@contextmanager
def http_reader(address: str) -> Iterator[ReadPath]:
    """Reads a log from a gateway at `host:port` over one connection; blocking."""
    with HttpSource(f"http://{address}") as source:
        yield source.read
