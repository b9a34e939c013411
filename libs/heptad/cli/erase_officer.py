"""What `heptad erase --profile` does: an officer's decisions, and the list of what is open."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from heptad.cli.certificate_lines import time_text
from heptad.cli.exits import EXIT_FAILED, EXIT_OK, EXIT_USAGE, fail
from heptad.model.erasure import ErasureGround, RefusalGround
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of

if TYPE_CHECKING:
    from heptad.client import Officer
    from heptad.model.erasing import Erasure, Hold, Ordered

SUBJECTS_MAX: Final = 100_000
"""Ids in one file: more are better given in several."""

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Order:
    """What an officer wants; `act` is `order`, `refuse`, `hold`, `lift` or `list`."""

    act: str
    subjects: Sequence[str] = field(repr=False)
    ground: str
    reason: str = field(repr=False)
    out: Path | None
    wait_s: float


def read_subjects(named: Sequence[str], file: str) -> list[str]:
    """The ids of the command line and of the file, in order, each once. Raises: OSError."""
    lines: list[str] = []
    if file:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        lines = [line.strip() for line in text.splitlines()]
    return list(dict.fromkeys([*named, *(line for line in lines if line and line[0] != "#")]))


def act(profile: Path, order: Order, *, as_json: bool) -> NoReturn:
    """Do it, say what came of it, and end with 0 if all was done. Raises: Problem, OSError."""
    _check(order, as_json=as_json)
    status = asyncio.run(_act(profile, order, as_json=as_json))
    raise typer.Exit(status)


def _check(order: Order, *, as_json: bool) -> None:
    """End with 2 for what is not complete."""
    if order.act == "list":
        return
    words = ErasureGround if order.act == "order" else RefusalGround
    if not order.subjects or not order.ground or not order.reason:
        reason = "name subjects (or --file), --ground and --reason"
        fail(reason, status=EXIT_USAGE, as_json=as_json)
    if len(order.subjects) > SUBJECTS_MAX:
        reason = f"{len(order.subjects)} subjects; {SUBJECTS_MAX} may be"
        fail(reason, status=EXIT_USAGE, as_json=as_json)
    if order.ground not in list(words):
        reason = f"--ground {order.ground}: here it is one of {', '.join(words)}"
        fail(reason, status=EXIT_USAGE, as_json=as_json)


async def _act(profile: Path, order: Order, *, as_json: bool) -> int:
    from heptad.client import connect_officer

    async with connect_officer(profile) as officer:
        match order.act:
            case "list":
                return await _list(officer, as_json=as_json)
            case "order":
                return await _order(officer, order, as_json=as_json)
            case _:
                return await _decide(officer, order, as_json=as_json)


async def _order(officer: "Officer", order: Order, *, as_json: bool) -> int:
    ordered = await officer.order(
        order.subjects, ground=ErasureGround(order.ground), reason=order.reason
    )
    for each in ordered:
        _print_ordered(each, as_json=as_json)
    refused = sum(bool(each.refused_code) for each in ordered)
    if order.out is None:
        return EXIT_FAILED if refused else EXIT_OK
    missing = await _write_certificates(officer, order, ordered, as_json=as_json)
    return EXIT_FAILED if refused or missing else EXIT_OK


async def _write_certificates(
    officer: "Officer", order: Order, ordered: Sequence["Ordered"], *, as_json: bool
) -> int:
    """One file for each, named by its request; returns how many have not come."""
    assert order.out is not None
    order.out.mkdir(parents=True, exist_ok=True)
    give_up_s, missing = time.monotonic() + order.wait_s, 0
    for each in ordered:
        if each.refused_code:
            continue
        path = order.out / f"{request_id_of(each.request_id)}.json"
        try:
            file = await officer.certificate(
                each.request_id, wait_s=max(0.0, give_up_s - time.monotonic())
            )
        except Problem as problem:
            missing += 1
            _print({"file": str(path), "code": problem.code}, f"{path}: {problem}", as_json)
            continue
        path.write_bytes(file.encode())
        _print({"file": str(path)}, str(path), as_json)
    return missing


async def _decide(officer: "Officer", order: Order, *, as_json: bool) -> int:
    """One after the other: holds and refusals are decisions about a person each."""
    ground, failed = RefusalGround(order.ground), 0
    for subject_id in order.subjects:
        try:
            said = await _decided(officer, order, subject_id, ground)
        except Problem as problem:
            failed += 1
            said = {"code": problem.code, "detail": problem.detail}
        line = f"{subject_id}  " + "  ".join(map(_words, said.values()))
        _print({"subject_id": subject_id, **said}, line, as_json)
    return EXIT_FAILED if failed else EXIT_OK


async def _decided(
    officer: "Officer", order: Order, subject_id: str, ground: RefusalGround
) -> dict[str, object]:
    match order.act:
        case "refuse":
            erasure = await officer.refuse(subject_id, ground=ground, reason=order.reason)
            return {"state": erasure.state.value, "request_id": request_id_of(erasure.request_id)}
        case "hold":
            holds = await officer.set_hold(subject_id, ground=ground, reason=order.reason)
        case _:
            holds = await officer.lift_hold(subject_id, ground=ground, reason=order.reason)
    return {"holds": _holds(holds)}


def _holds(holds: Sequence["Hold"]) -> list[str]:
    return [hold.ground.value for hold in holds]


async def _list(officer: "Officer", *, as_json: bool) -> int:
    now_ms, count = time.time_ns() // 1_000_000, 0
    async for erasure in officer.open_erasures():
        count += 1
        _print(_listed(erasure), _list_line(erasure, now_ms), as_json)
    if not count and not as_json:
        print("nothing is open")
    return EXIT_OK


def _listed(erasure: "Erasure") -> dict[str, object]:
    return {
        "request_id": request_id_of(erasure.request_id),
        "subject_id": erasure.subject_id,
        "state": erasure.state.value,
        "ordered_by": erasure.ordered_by.value,
        "ground": erasure.ground.value,
        "received_at_ms": erasure.received_at_ms,
        "decide_by_ms": erasure.decide_by_ms,
    }


def _list_line(erasure: "Erasure", now_ms: int) -> str:
    """Whose it is, how it stands, and how long there is to decide (Art. 12(3))."""
    line = (
        f"{erasure.state:<8}  {erasure.subject_id or '-'}  {request_id_of(erasure.request_id)}  "
        f"{erasure.ground}, asked for {time_text(erasure.received_at_ms)}"
    )
    if erasure.state.value != "received":
        return line
    days = (erasure.decide_by_ms - now_ms) // _DAY_MS
    left = f"{days} days left" if days >= 0 else "OVERDUE"
    return f"{line}; decide by {time_text(erasure.decide_by_ms)} ({left})"


def _print_ordered(each: "Ordered", *, as_json: bool) -> None:
    request_id = request_id_of(each.request_id) if each.request_id else ""
    members = {"subject_id": each.subject_id, "request_id": request_id, "code": each.refused_code}
    line = f"{each.subject_id}  {request_id or 'refused: ' + each.refused_code}"
    _print({name: value for name, value in members.items() if value}, line, as_json)


def _words(value: object) -> str:
    """A value for people: of holds their grounds."""
    if isinstance(value, list):
        return f"on hold: {', '.join(value)}" if value else "no hold"
    return str(value)


def _print(members: dict[str, object], line: str, as_json: bool) -> None:
    print(json.dumps(members) if as_json else line, flush=True)
