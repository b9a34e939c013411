"""What a liar would try on an auditor, and the reason with which each try is refused."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable

from heptad.transparency.tiles import CHECKPOINT_PATH
from heptad.trials.tour.auditor import http_reader
from heptad.trials.tour.scene import Scene
from heptad.trials.tour.steps import Disproved
from heptad.verification import (
    LogInvalidError,
    ReadPath,
    ReceiptFile,
    ReceiptRefusedError,
    ReceiptUnreadableError,
    verify_log,
    verify_receipt_file,
)

Change = Callable[[bytes], bytes]


async def refuse_forgeries(scene: Scene) -> str:
    """One changed bit in an entry, a receipt, a checkpoint, a tile."""
    request_id = next(iter(scene.acknowledged))
    receipt = await scene.receipt(request_id)
    reasons = [
        _refuse_receipt(scene, "entry", change_member(receipt, "entry", flip_last_base64)),
        _refuse_receipt(scene, "receipt", change_member(receipt, "proof", _flip_hash)),
        _refuse_receipt(scene, "cosignatures", change_member(receipt, "proof", drop_cosignatures)),
        *await asyncio.to_thread(_refuse_logs, scene),
    ]
    return "; ".join(reasons)


def _refuse_receipt(scene: Scene, what: str, forged: bytes) -> str:
    try:
        verify_receipt_file(ReceiptFile.parse(forged), policy=scene.policy, now_s=int(time.time()))
    except (ReceiptRefusedError, ReceiptUnreadableError) as reason:
        return f"{what}: {_in_short(reason)}"
    raise Disproved(f"a receipt with a changed {what} was accepted")


def _refuse_logs(scene: Scene) -> list[str]:
    with http_reader(scene.mesh.cell.gateways[0].http) as read:
        note = read(CHECKPOINT_PATH)
        if note is None:
            raise Disproved("there is no checkpoint")
        lie = note.replace(b"\n", b"\n1", 1)  # the size gets another digit in front
        return [
            _refuse_log(scene, "checkpoint", read, lie),
            _refuse_log(scene, "tile", _lying(read, "tile/0/", flip_first_bit), note),
            _refuse_log(scene, "entries", _lying(read, "tile/entries/", flip_last_bit), note),
        ]


def _refuse_log(scene: Scene, what: str, read: ReadPath, note: bytes) -> str:
    try:
        verify_log(read, policy=scene.policy, now_s=int(time.time()), note=note)
    except LogInvalidError as reason:
        return f"{what}: {_in_short(reason)}"
    raise Disproved(f"a log with a changed {what} was accepted")


def _lying(read: ReadPath, prefix: str, change: Change) -> ReadPath:
    """The same log, with every file below `prefix` changed."""

    def lie(path: str) -> bytes | None:
        data = read(path)
        return change(data) if data and path.startswith(prefix) else data

    return lie


def _in_short(reason: Exception) -> str:
    """The reason on one line, its hashes cut to what people compare."""
    return re.sub("([0-9a-f]{12})[0-9a-f]{52}", r"\1…", str(reason)).replace("; ", ", ")


def flip_first_bit(data: bytes) -> bytes:
    """The first bit changed."""
    return bytes((data[0] ^ 128,)) + data[1:]


def flip_last_bit(data: bytes) -> bytes:
    """The last bit changed."""
    return data[:-1] + bytes((data[-1] ^ 1,))


def flip_last_base64(text: bytes) -> bytes:
    """The last bit of what base64 text stands for, changed."""
    return base64.b64encode(flip_last_bit(base64.b64decode(text)))


def _flip_hash(proof: bytes) -> bytes:
    """A bit of the first inclusion hash; of the index where a log of one entry has no hash."""
    lines = proof.split(b"\n")
    at = next(number for number, line in enumerate(lines) if line.startswith(b"index ")) + 1
    if lines[at]:
        lines[at] = flip_last_base64(lines[at])
    else:
        lines[at - 1] = b"index 1"
    return b"\n".join(lines)


def drop_cosignatures(proof: bytes) -> bytes:
    """All but four of the signatures that replicas gave: too few."""
    lines = proof.split(b"\n")
    signatures = [number for number, line in enumerate(lines) if line.startswith("\u2014".encode())]
    # The log's own signature comes first; four cosignatures may stay behind it.
    gone = set(signatures[5:])
    return b"\n".join(line for number, line in enumerate(lines) if number not in gone)


def change_member(receipt: bytes, name: str, change: Change) -> bytes:
    """A receipt file with one member changed."""
    members = json.loads(receipt)
    members[name] = change(members[name].encode()).decode()
    return json.dumps(members).encode()
