"""Who is let in where: clients without TLS or a right certificate, and roles that are not right."""

import asyncio
from typing import Final

import grpc

from heptad.model.problems import Problem
from heptad.runtime.channels import open_channel
from heptad.runtime.identity import member
from heptad.runtime.status import problem_of
from heptad.runtime.tls import TlsMaterial, load_tls
from heptad.trials.meshes import RunningMesh
from heptad.trials.privacy.doors import REFUSED, CannotKnockError, Door, Knock, Knocker
from heptad.trials.privacy.listeners import Listeners
from heptad.trials.privacy.open_door import lets_in, open_doors
from heptad.trials.privacy.report import Outcome, Row, row_of

_CALL_S_MAX: Final = 10.0
_WRONG_ROLES: Final = {
    "replica": "/heptad.replica.v1.ReplicaService/PeerStream",
    "validator": "/heptad.validator.v1.ValidatorService/SubmitStream",
    "ledger": "/heptad.vault.v1.VaultService/Lease",
}
"""What an auditor, whom every listener lets in, may call nowhere. A gateway serves health only."""


async def judge(mesh: RunningMesh, listeners: Listeners) -> list[Row]:
    """A row for each way to knock, and one for roles."""
    origin = mesh.cell.origin
    doors = [
        Door(name, address, member(origin, name).dns_name)
        for name, address in listeners.of_kind("grpc").items()
    ]
    knocker = Knocker(_tls(mesh, "operator"), origin=origin)
    rows = [await _welcomed(knocker, doors), await _control()]
    rows += [await _refused(knocker, doors, knock) for knock in REFUSED]
    return [*rows, await _wrong_roles(mesh), await _classical(knocker, doors)]


async def _control() -> Row:
    """Each knock that is refused below gets in where nobody refuses it."""
    failed, tried = [], 0
    async with open_doors() as (knocker, doors):
        for knock in REFUSED:
            try:
                is_in = await lets_in(knocker, doors, knock)
            except CannotKnockError:
                continue  # its own row says that it was not checked
            tried += 1
            if not is_in:
                failed.append(f"{knock.value} fails at an open door too")
    claim = "positive control: the knocks that are refused get in at a door that refuses nobody"
    return row_of("listeners", claim, f"{tried - len(failed)} of {tried}", failed)


async def _welcomed(knocker: Knocker, doors: list[Door]) -> Row:
    """A control too: what is refused below is not refused for being a stranger to HTTP/2."""
    let_in = await asyncio.gather(*(knocker.is_let_in(door, Knock.OPERATOR) for door in doors))
    shut = [door.member for door, is_in in zip(doors, let_in, strict=True) if not is_in]
    claim = "positive control: the right certificate is let in"
    return row_of("listeners", claim, f"{sum(let_in)} of {len(doors)}", shut)


async def _classical(knocker: Knocker, doors: list[Door]) -> Row:
    """Not refused, since Python's gRPC has no setting for groups; so it is said."""
    let_in = await asyncio.gather(*(knocker.is_let_in(door, Knock.CLASSICAL) for door in doors))
    claim = "a client that offers no quantum-safe key exchange is let in with a classical one"
    detail = f"at {sum(let_in)} of {len(doors)}; the services themselves offer better, see links"
    outcome = Outcome.BY_DESIGN if any(let_in) else Outcome.HOLDS
    return Row("listeners", claim, outcome, detail)


async def _refused(knocker: Knocker, doors: list[Door], knock: Knock) -> Row:
    claim = f"{knock.value} is refused"
    try:
        let_in = await asyncio.gather(*(knocker.is_let_in(door, knock) for door in doors))
    except CannotKnockError as error:
        return Row("listeners", claim, Outcome.NOT_CHECKED, f"this TLS library cannot: {error}")
    inside = [
        f"{door.member} lets it in" for door, is_in in zip(doors, let_in, strict=True) if is_in
    ]
    return row_of("listeners", claim, f"at {len(doors) - sum(let_in)} of {len(doors)}", inside)


async def _wrong_roles(mesh: RunningMesh) -> Row:
    tls = _tls(mesh, "auditor")
    asked = [
        (name, address, method)
        for name, address in mesh.cell.member_addresses().items()
        if (method := _WRONG_ROLES.get(name.partition("-")[0]))
    ]
    codes = await asyncio.gather(*(_stream_code(mesh, tls, *each) for each in asked))
    wrong = [
        f"{name} answers an auditor with {code or 'a stream'}"
        for (name, _, _), code in zip(asked, codes, strict=True)
        if code != "role_refused"
    ]
    claim = "a certificate of the wrong role is refused"
    return row_of("listeners", claim, f"at {len(asked) - len(wrong)} of {len(asked)}", wrong)


async def _stream_code(
    mesh: RunningMesh, tls: TlsMaterial, name: str, address: str, method: str
) -> str:
    """The code with which a stream is refused; empty if it is not."""
    async with open_channel(
        address=address, peer_id=name, origin=mesh.cell.origin, tls=tls
    ) as channel:
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
        call = stream(timeout=_CALL_S_MAX, wait_for_ready=True)
        try:
            await call.read()
        except grpc.aio.AioRpcError as error:
            problem: Problem = problem_of(error, unavailable="validator_unavailable")
            return problem.code
        finally:
            call.cancel()
        return ""


def _tls(mesh: RunningMesh, client: str) -> TlsMaterial:
    folder = mesh.home / "clients" / client
    return load_tls(ca=folder / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key")
