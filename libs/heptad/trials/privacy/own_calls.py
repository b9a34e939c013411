"""What subjects and officers ask of the cell itself: keys, holds, exports, erasures.

Reasons that an officer writes and keys that a device brings are personal data like any payload, and
an export is all of it in one place: it goes out to who may have it, and stays nowhere. At the end
the check's own subjects are erased, one by its own word and one by an officer's: so nothing of a
check stays in a cell that goes on, and erasures are among the things that are searched.
"""

import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import Final

import grpc

from heptad.client.calls import Terms
from heptad.client.export_calls import ExportCalls
from heptad.client.privacy_calls import PrivacyCalls
from heptad.client.signing import sign_added_key, sign_revoked_key
from heptad.crypto.keys import Ed25519Key
from heptad.model.erasing import DecisionCall, OrderCall
from heptad.model.erasure import ErasureGround, RefusalGround
from heptad.model.exporting import ExportChunk, OfficersExport
from heptad.model.own_actions import ERASE, EXPORT, OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.requests import request_hash, request_id_of
from heptad.runtime.channels import open_channel
from heptad.runtime.tls import load_tls
from heptad.trials.errors import TrialFault
from heptad.trials.privacy.canaries import needles_of
from heptad.trials.privacy.raw_http import send
from heptad.trials.privacy.searching import Searcher
from heptad.trials.privacy.ways import Key, Ways

ERASURE_PATH: Final = "/v1/subjects/me/erasure"
EXPORT_PATH: Final = "/v1/subjects/me/export"
_TERMS: Final = Terms(deadline_s=20.0)


async def change_keys(ways: Ways, key: Key) -> None:
    """A second device comes and goes. Raises: Problem."""
    second = Ed25519Key.generate()
    ways.secret("a device's key id", second.public.kid.encode())
    ways.secret("a device's public key", second.public.raw)
    subject, origin = ways.subjects[key], ways.mesh.cell.origin
    added = sign_added_key(key, second, subject=subject, audience=origin)
    await ways.accepted("/v1/requests", added)
    kid = second.public.kid
    await ways.accepted(
        "/v1/requests", sign_revoked_key(key, kid=kid, subject=subject, audience=origin)
    )
    again = sign_added_key(key, second, subject=subject, audience=origin)
    await ways.posted("/v1/requests", again, what="a key that was there")


async def hold(ways: Ways, key: Key) -> None:
    """An officer keeps a subject's data, and lets go again. Raises: Problem."""
    reason = ways.text("reason")
    async with _officer(ways) as officer:
        call = DecisionCall(ways.subjects[key], RefusalGround.LEGAL_HOLD, reason)
        await officer.set_hold(call, terms=_TERMS)
        await officer.lift_hold(call, terms=_TERMS)
        ways.recorded += 2
        for subject in (ways.text("nobody"), f"{ways.mesh.cell.code}-{'a' * 26}"):
            with contextlib.suppress(Problem):
                await _kept(ways, officer, DecisionCall(subject, RefusalGround.LEGAL_HOLD, reason))


async def take_out(ways: Ways, key: Key) -> None:
    """A subject and an officer export the same data. Raises: Problem; TrialFault if they do not
    hold what was recorded: then nothing is shown by not finding it elsewhere."""
    token = own_call(ways, key, EXPORT, data={})
    headers = {"Authorization": f"Heptad {token}"}
    async with ways.http.get(EXPORT_PATH, headers=headers) as reply:
        archive = await reply.read()
        if reply.status != 200 or not _holds(archive, ways.text("payload")):
            raise TrialFault(f"{EXPORT_PATH} answered {reply.status} without what was recorded")
    call = OfficersExport(ways.subjects[key], ways.text("reason for an export"))
    async with _ledger_as_officer(ways) as channel:
        parts = [part async for part in ExportCalls(channel).export(call, terms=_TERMS)]
    archive = b"".join(part.data for part in parts if isinstance(part, ExportChunk))
    if not _holds(archive, ways.text("reason")):
        raise TrialFault("an officer's export does not hold the officer's own reason")
    ways.recorded += 2


def _holds(archive: bytes, text: str) -> bool:
    """Whether any member of a zip has this text, as it is or as base64 of something around it."""
    needles = tuple(needles_of("export", text.encode()))
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        searcher = Searcher(needles)
        return any(searcher.search(members.read(name), place=name) for name in members.namelist())


async def _kept(ways: Ways, officer: PrivacyCalls, call: DecisionCall) -> None:
    """Make a call that is refused, and keep the refusal's words."""
    try:
        await officer.set_hold(call, terms=_TERMS)
    except Problem as problem:
        ways.refused("gRPC, an officer's call", f"{problem.detail} {problem.field}".encode())
        raise


async def refuse_own_calls(ways: Ways, key: Key) -> None:
    """Calls that a subject signs, with something wrong in each, and pages of erasures."""
    wrong = {
        "signature": own_call(ways, key, ERASE)[:-8] + "AAAAAAAA",
        "another's": own_call(ways, key, ERASE, subject=ways.text("subject")),
        "another call": own_call(ways, key, ways.text("call")),
        "no JWS": ways.text("token"),
    }
    unknown = request_id_of(request_hash(iss="nobody", jti=ways.text("unknown")))
    heads = [
        f"{called} HTTP/1.1\r\nAuthorization: {scheme} {token}\r\nContent-Length: 0\r\n"
        for called in (f"POST {ERASURE_PATH}", f"GET {EXPORT_PATH}")
        for scheme in ("Heptad", ways.text("scheme"))
        for token in wrong.values()
    ]
    heads += [
        f"GET /v1/erasures/{name}{part} HTTP/1.1\r\nAccept: {accepted}\r\n"
        for name in (ways.text("id"), unknown)
        for part in ("", "/certificate")
        for accepted in ("text/html", "application/json")
    ]
    for number, head in enumerate(heads):
        whole = f"{head}Host: h\r\nConnection: close\r\n\r\n".encode()
        answer = await send(ways.mesh.cell.gateways[0].http, whole)
        ways.refused(f"HTTP, own call {number}", answer)


async def erase(ways: Ways, by_itself: Key, by_officer: Key) -> None:
    """Both subjects of the check, each in its way. Raises: TrialFault if it is not taken."""
    call = own_call(ways, by_itself, ERASE, data={"ground": "consent_withdrawn"})
    headers = {"Authorization": f"Heptad {call}"}
    async with ways.http.post(ERASURE_PATH, headers=headers) as reply:
        if reply.status not in (200, 202):
            raise TrialFault(f"{ERASURE_PATH} answered {reply.status}")
    reason = ways.text("reason for an order")
    subject = ways.subjects[by_officer]
    async with _officer(ways) as officer:
        order = OrderCall((subject,), ErasureGround.NO_LONGER_NEEDED, reason)
        (ordered,) = await officer.order(order, terms=_TERMS)
    if ordered.refused_code:
        raise TrialFault(f"an officer's order was refused: {ordered.refused_code}")
    ways.recorded += 2


def own_call(
    ways: Ways, key: Key, action: str, *, subject: str = "", data: Mapping[str, str] | None = None
) -> str:
    """What a subject asks of the cell itself, as a token; with a canary in its data by default."""
    changes: dict[str, object] = {"service": OWN_SERVICE, "action": action}
    if subject:
        changes["subject"] = subject
    if data is not None:
        changes["data"] = data
    return ways.signed(key, "own", changes=changes).decode()


@contextlib.asynccontextmanager
async def _officer(ways: Ways) -> AsyncIterator[PrivacyCalls]:
    async with _ledger_as_officer(ways) as channel:
        yield PrivacyCalls(channel)


def _ledger_as_officer(ways: Ways) -> grpc.aio.Channel:
    folder = ways.mesh.home / "clients" / "officer"
    tls = load_tls(ca=folder / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key")
    ledger = ways.mesh.cell.ledger
    return open_channel(
        address=ledger.address, peer_id=ledger.id, origin=ways.mesh.cell.origin, tls=tls
    )
